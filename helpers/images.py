"""Grids with labels, and files that carry the settings that made them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

KEY = "settings"  # of the text chunk in a PNG file
FONT_SIZE = 15
GAP = 8  # pixels around each picture


def caption(
    prompt: str | None = None,
    *,
    seed: int | None = None,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    **others: Any,
) -> str:
    """One line that says what made a picture; what is not given is left out."""
    parts = [] if prompt is None else [f"“{prompt}”"]
    if seed is not None:
        parts.append(f"seed {seed}")
    if num_inference_steps is not None:
        parts.append(f"{num_inference_steps} step{'s' * (num_inference_steps != 1)}")
    if guidance_scale is not None:
        parts.append(f"guidance {guidance_scale:g}")
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in others.items()]
    return " · ".join(parts)


def grid(
    images: Sequence[Image.Image],
    cols: int | None = None,
    labels: Sequence[str] | None = None,
    side: int = 256,
) -> Image.Image:
    """Puts pictures side by side on white, each with its label below.

    Args:
        images: Pictures, of any sizes.
        cols: Pictures in a row; as many as rows where it is not given.
        labels: A line for each picture; long ones are wrapped.
        side: Pixels; where the largest picture is smaller, all are shown two,
            three... times as large, so that they keep their proportions.

    Raises:
        ValueError: There are no pictures, or not one label for each.
    """
    if not images:
        raise ValueError("There are no pictures to put into a grid.")
    labels = [""] * len(images) if labels is None else labels
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} pictures need as many labels: {len(labels)}.")
    cols = min(cols or math.ceil(math.sqrt(len(images))), len(images))

    times = max(side // max(max(image.size) for image in images), 1)
    tiles = [_enlarge(image.convert("RGB"), times) for image in images]
    width = max(tile.width for tile in tiles)
    height = max(tile.height for tile in tiles)
    font = ImageFont.load_default(FONT_SIZE)
    texts = [_wrap(label, font, width) for label in labels]
    line = round(FONT_SIZE * 1.4)
    text_height = max(text.count("\n") + 1 if text else 0 for text in texts) * line

    cell = (width + 2 * GAP, height + text_height + 2 * GAP)
    rows = math.ceil(len(tiles) / cols)
    sheet = Image.new("RGB", (cols * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (tile, text) in enumerate(zip(tiles, texts, strict=True)):
        x, y = i % cols * cell[0] + GAP, i // cols * cell[1] + GAP
        sheet.paste(tile, (x + (width - tile.width) // 2, y))
        spot = (x + width / 2, y + height + GAP / 2)
        draw.multiline_text(spot, text, "black", font, "ma", align="center")
    return sheet


def save(image: Image.Image, path: str | Path, **settings: Any) -> Path:
    """Saves a picture as PNG, with the settings that made it inside the file.

    Args:
        image: The picture.
        path: Where to; folders are made.
        **settings: What JSON can hold, such as ``prompt="a frog", seed=4``.

    Returns:
        The path.

    Raises:
        ValueError: The file's name does not end in ``.png``.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path.name} cannot carry settings: let it end in .png.")
    info = PngInfo()
    info.add_itxt(KEY, json.dumps(settings, ensure_ascii=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, pnginfo=info)
    return path


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads the settings that ``save`` put into a file.

    Raises:
        ValueError: The file holds none.
    """
    with Image.open(path) as image:
        text = image.info.get(KEY)
    if text is None:
        raise ValueError(
            f"{Path(path).name} holds no settings: only pictures saved with "
            "helpers.images.save do, and most websites remove them."
        )
    return json.loads(text)


def _enlarge(image: Image.Image, times: int) -> Image.Image:
    return image.resize((image.width * times, image.height * times), Image.LANCZOS)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Breaks a text into lines no wider than ``width`` pixels, at its spaces."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
