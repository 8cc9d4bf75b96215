"""Grids with labels, any picture a learner has, files that carry their settings."""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from helpers.errors import Mistake

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
    side: int | None = None,
) -> Image.Image:
    """Puts pictures side by side on white, each with its label below.

    Args:
        images: Pictures, of any sizes.
        cols: Pictures in a row; as many as rows where it is not given.
        labels: A line for each picture; long ones are wrapped.
        side: Pixels of the largest picture: all shrink to it together, or grow two,
            three... times, so that they keep their proportions. Where it is not given,
            small pictures grow to 256 and large ones stay as they are.

    Raises:
        ValueError: There are no pictures, or not one label for each.
    """
    if not images:
        raise ValueError("There are no pictures to put into a grid.")
    labels = [""] * len(images) if labels is None else labels
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} pictures need as many labels: {len(labels)}.")
    cols = min(cols or math.ceil(math.sqrt(len(images))), len(images))

    largest = max(max(image.size) for image in images)
    times = max((side or 256) // largest, 1)
    if side and largest > side:
        times = side / largest
    tiles = [_resize(image.convert("RGB"), times) for image in images]
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


def same(image: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures are the same in every pixel, to within 1 of 255.

    That much is rounding: a result may differ in its last bit where another program
    takes a core meanwhile (``helpers.cores``).
    """
    if image.size != other.size:
        return False
    pair = [np.asarray(picture.convert("RGB"), int) for picture in (image, other)]
    return bool(np.abs(pair[0] - pair[1]).max() <= 1)


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


def open_picture(
    source: str | Path | bytes, size: int | tuple[int, int]
) -> Image.Image:
    """Opens any picture as a model wants it: upright, RGB, cut to size.

    What is transparent becomes white, 16 bits become 8, of an animation the first frame
    is taken.

    Args:
        source: A file's path, or what is in it.
        size: Pixels: the side of a square, or width and height.

    Raises:
        Mistake: There is no such file, or it is no picture, or too large to open.
    """
    name = "This" if isinstance(source, bytes) else f"“{Path(source).name}”"
    box = (size, size) if isinstance(size, int) else size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file) as image:
                image.draft("RGB", (2 * box[0], 2 * box[1]))  # reads large JPEGs fast
                upright = ImageOps.exif_transpose(image)
    except (FileNotFoundError, IsADirectoryError):
        raise Mistake(
            "no file",
            f"There is no file {name} here: upload it into the notebook's folder "
            "first.",
        ) from None
    except Image.DecompressionBombError:
        raise Mistake(
            "too large",
            f"{name} has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million "
            "pixels: make it smaller first.",
        ) from None
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise Mistake(
            "no picture",
            f"{name} is not a picture that can be read here, or a part of it is "
            "missing: save it again as PNG or JPEG.",
        ) from None
    return ImageOps.fit(_as_rgb(upright), box, Image.LANCZOS)


def open_pictures(folder: str | Path, size: int | tuple[int, int]) -> list[Image.Image]:
    """Opens all pictures of a folder, in the order of their names; see `open_picture`.

    Each picture's ``info["name"]`` is the name of its file, without the ending.

    Raises:
        Mistake: There is no such folder, no picture in it, or one that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Mistake(
            "no folder",
            f"There is no folder “{folder.name}” here: make it and put pictures in.",
        )
    endings = Image.registered_extensions()
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in endings)
    if not files:
        raise Mistake(
            "no pictures",
            f"The folder “{folder.name}” holds no pictures: put some into it.",
        )
    pictures = [open_picture(file, size) for file in files]
    for picture, file in zip(pictures, files, strict=True):
        picture.info["name"] = file.stem
    return pictures


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which convert() would cut off at 255
        grey = np.asarray(image).astype(np.uint32) // 257
        image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _resize(image: Image.Image, times: float) -> Image.Image:
    size = (max(round(image.width * times), 1), max(round(image.height * times), 1))
    return image.resize(size, Image.LANCZOS)


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
