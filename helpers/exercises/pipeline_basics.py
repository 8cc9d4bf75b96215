"""Exercises of notebook 01, pipeline basics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from helpers.exercises.engine import exercise, number
from helpers.images import read_settings


@exercise(
    """`draw` hands `width` and `height` on to the pipeline. Both come in blocks of 8,
    and `model.size` is a good height.""",
    """size = {"width": 2 * model.size, "height": model.size}
    wide = draw("a hippo on the beach", seed=1, **suits, **size)""",
)
def wide(answer: Any) -> str | None:
    """A picture twice as wide as high."""
    if not isinstance(answer, Image.Image):
        return f"`wide` is a {type(answer).__name__}, and draw(...) gives a picture."
    if answer.width != 2 * answer.height:
        return f"it is {answer.width} wide and {answer.height} high."
    return None


# How many numbers the latent of a picture 768 wide and 512 high has.
numbers = number(
    "One spot for 8 by 8 pixels, four numbers for each spot.",
    "numbers = 4 * (512 // 8) * (768 // 8)  # 24,576",
    4 * (512 // 8) * (768 // 8),
    {
        768 * 512 * 3: "those are the pixels, and the U-Net works on the latent.",
        (512 // 8)
        * (768 // 8): "those are the spots, and each of them holds four numbers.",
        4 * 64 * 64: "that is a square of 512, and this picture is wider.",
    },
    "section 4 has the shape of a latent.",
)


@exercise(
    "`save(image, path, **settings)`: give it the same settings as `draw`.",
    """mine = {"prompt": "a wizard in the snow", "seed": 7, **suits}
    save(draw(**mine), OUT / "mine.png", model=model.name, **mine)
    saved = OUT / "mine.png\"""",
)
def saved(answer: Any) -> str | None:
    """A file from which its picture can be made again."""
    if not Path(answer).is_file():
        return f"there is no file {Path(answer).name}."
    try:
        known = read_settings(answer)
    except ValueError as error:
        return str(error)
    needed = ("prompt", "seed", "num_inference_steps", "guidance_scale")
    lacking = [name for name in needed if name not in known]
    if lacking:
        return f"the file lacks {' and '.join(lacking)}."
    if Path(answer).name == "first_picture.png":
        return "that one is mine; save one of yours."
    return None
