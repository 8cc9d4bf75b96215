"""Grids with labels, any picture a learner has, files that carry their settings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from helpers import labels as text
from helpers.errors import Mistake
from helpers.files import written_whole
from helpers.pictures import as_rgb, open_picture, open_pictures, read

__all__ = ["open_picture", "open_pictures"]  # with the rest of this file

KEY = "settings"  # of the text chunk in a PNG file
GAP = 8  # pixels around each picture
NARROWEST = 64  # pixels of a line of text, however narrow the picture
NAMES = 120  # pixels for the names of the rows of a table
_told: set[str] = set()  # signs of which it is said that no font has them


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
        labels: A line for each picture; long ones are wrapped. What no font on this
            machine has is drawn as a box, and told once.
        side: Pixels of the largest picture: all shrink to it together, or grow two,
            three... times, so that they keep their proportions. Where it is not given,
            small pictures grow to 256 and large ones stay as they are.

    Raises:
        Mistake: There are no pictures.
        ValueError: There is not one label for each.
    """
    if not images:
        raise Mistake("no pictures", "There are no pictures: none was drawn or saved.")
    labels = [""] * len(images) if labels is None else labels
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} pictures need as many labels: {len(labels)}.")
    cols = min(cols or math.ceil(math.sqrt(len(images))), len(images))

    largest = max(max(image.size) for image in images)
    times = max((side or 256) // largest, 1)
    if side and largest > side:
        times = side / largest
    tiles = [_resize(as_rgb(image), times) for image in images]
    width = max(tile.width for tile in tiles)
    if any(labels):
        width = max(width, NARROWEST)
    height = max(tile.height for tile in tiles)
    _tell_missing([str(label) for label in labels])
    texts = [text.wrap(str(label), width) for label in labels]
    text_height = max(len(lines) for lines in texts) * round(text.FONT_SIZE * 1.4)

    cell = (width + 2 * GAP, height + text_height + 2 * GAP)
    rows = math.ceil(len(tiles) / cols)
    sheet = Image.new("RGB", (cols * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (tile, lines) in enumerate(zip(tiles, texts, strict=True)):
        x, y = i % cols * cell[0] + GAP, i // cols * cell[1] + GAP
        sheet.paste(tile, (x + (width - tile.width) // 2, y))
        text.write(draw, (x + width / 2, y + height + GAP / 2), lines)
    return sheet


def table(
    rows: Mapping[str, Sequence[Image.Image]],
    heads: Sequence[str],
    title: str = "",
    side: int | None = None,
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """Puts pictures into rows that have names, under heads, all under one title.

    Args:
        rows: Its pictures by the name of the row; as many in each as there are heads.
        heads: One for each column.
        title: What is true of all of them.
        side: As in ``grid``.
        labels: A line for each picture, row after row.

    Raises:
        Mistake: There are no pictures.
        ValueError: A row has not one picture for each head.
    """
    if any(len(row) != len(heads) for row in rows.values()):
        raise ValueError(f"each row needs {len(heads)} pictures, one for each head.")
    sheet = grid(
        [image for row in rows.values() for image in row], len(heads), labels, side
    )
    width, height = sheet.width // len(heads), sheet.height // len(rows)
    _tell_missing([*rows, *heads, title])
    names = [text.wrap(name, NAMES) for name in rows]
    above = [text.wrap(head, width - GAP) for head in heads]
    over = text.wrap(title, NAMES + sheet.width)
    heads_at = len(over) * text.LINE + GAP
    top = heads_at + max(map(len, above)) * text.LINE
    whole = Image.new("RGB", (NAMES + GAP + sheet.width, top + sheet.height), "white")
    whole.paste(sheet, (NAMES + GAP, top))
    draw = ImageDraw.Draw(whole)
    text.write(draw, (whole.width / 2, 0), over)
    for i, lines in enumerate(above):
        x, y = NAMES + GAP + (i + 0.5) * width, top - len(lines) * text.LINE
        text.write(draw, (x, y), lines)
    for i, lines in enumerate(names):
        y = top + (i + 0.5) * height - len(lines) * text.LINE / 2
        text.write(draw, (GAP + NAMES / 2, y), lines)
    return whole


def same(image: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures are the same in every pixel, to within 1 of 255.

    That much is rounding: a result may differ in its last bit where another program
    takes a core meanwhile (``helpers.cores``).
    """
    return image.size == other.size and apart(image, other) <= 1


def apart(image: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures of one size in any value, of 255."""
    pair = [np.asarray(picture.convert("RGB"), int) for picture in (image, other)]
    return int(np.abs(pair[0] - pair[1]).max())


def save(image: Image.Image, path: str | Path, /, **settings: Any) -> Path:
    """Saves a picture as PNG, with the settings that made it inside the file.

    A picture of that name stays whole until the new one is.

    Args:
        image: The picture.
        path: Where to; folders are made.
        **settings: What JSON can hold, such as ``prompt="a frog", seed=4``. Numbers and
            arrays of numpy and torch, paths, tuples and sets are saved as JSON's own.

    Returns:
        The path.

    Raises:
        ValueError: The file's name does not end in ``.png``.
        Mistake: JSON cannot hold a setting.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path.name} cannot carry settings: let it end in .png.")
    for name, value in settings.items():
        try:
            _to_json(value).encode()
        except (TypeError, ValueError, RecursionError):
            raise Mistake(
                "setting",
                f"{name} is of a kind ({type(value).__name__}) that cannot be written "
                "into the picture's file: give it as text or as a number.",
            ) from None
    info = PngInfo()
    info.add_itxt(KEY, _to_json(settings))
    if image.mode not in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"):
        image = as_rgb(image)  # PNG has no such mode
    with written_whole(path) as part:
        image.save(part, "PNG", pnginfo=info)
    return path


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """What JSON holds in the place of something that it does not know."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if hasattr(value, "tolist"):  # numpy's and torch's, one number or many
        return value.tolist()
    raise TypeError


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads the settings that ``save`` put into a file.

    Raises:
        Mistake: The file holds none, or is no picture.
    """
    info = read(path).info
    try:
        return json.loads(info[KEY])
    except (KeyError, TypeError, ValueError):
        raise Mistake(
            "no settings",
            f"{Path(path).name} holds no settings: only pictures saved with "
            "helpers.images.save do, and most websites remove them.",
        ) from None


def _resize(image: Image.Image, times: float) -> Image.Image:
    size = (max(round(image.width * times), 1), max(round(image.height * times), 1))
    return image.resize(size, Image.LANCZOS)


def _tell_missing(labels: list[str]) -> None:
    """Says once of each sign that no font has it."""
    new = [sign for sign in text.missing(labels) if sign not in _told]
    _told.update(new)
    if new:
        print(
            f"No font on this machine has {' '.join(new)}: a box stands in the label."
        )
