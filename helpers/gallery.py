"""Hundreds of pictures, each made once, by one process or by many.

A folder comes first, and ``manifest.jsonl``, the list of what shall be in it. What the
list has and the folder has not is to do. So a gallery that was stopped, killed or begun
on another machine goes on from the folder alone, and nobody waits for anybody.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from helpers.errors import Mistake
from helpers.files import written_whole
from helpers.images import KEY, save

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

MANIFEST, DIARY = "manifest.jsonl", "made.jsonl"  # in the gallery's folder
END_OF_PNG = b"IEND\xaeB`\x82"

Row = dict[str, Any]  # of the manifest: a picture's index, and all that makes it


def plan(
    folder: str | Path,
    prompts: Sequence[str],
    count: int,
    *,
    first_seed: int = 0,
    **settings: Any,
) -> list[Row]:
    """Writes the manifest of a gallery, before there is any picture.

    Prompts take turns and each picture has a seed of its own, so a gallery can be made
    larger later: ask for a larger ``count``.

    Args:
        folder: Of the gallery.
        prompts: What to draw.
        count: How many pictures.
        first_seed: Picture ``i`` has the seed ``first_seed + i``.
        **settings: What else makes a picture: ``model``, ``size`` in pixels,
            ``num_inference_steps``, ``guidance_scale``; numbers and texts.

    Returns:
        A row for each picture.

    Raises:
        Mistake: No prompt or no picture is asked for, or the folder holds a gallery of
            other settings.
    """
    if not prompts or count < 1:
        raise Mistake("gallery", "A gallery needs at least one prompt and one picture.")
    rows = [
        {"index": i, "prompt": prompts[i % len(prompts)], "seed": first_seed + i}
        | settings
        for i in range(count)
    ]
    path = Path(folder) / MANIFEST
    before = read_manifest(folder) if path.exists() else []
    for old, new in zip(before, rows, strict=False):
        if old != new:
            _tell_difference(Path(folder), old, new)
    if len(before) < count:
        with written_whole(path) as part:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows


def _tell_difference(folder: Path, old: Row, new: Row) -> None:
    name = next(n for n in [*old, *new] if old.get(n) != new.get(n))
    raise Mistake(
        "other gallery",
        f"“{folder.name}” holds a gallery whose picture {old['index']} has "
        f"{name} {old.get(name)!r}, and you ask for {new.get(name)!r}: take another "
        "folder, or the same settings.",
    )


def read_manifest(folder: str | Path) -> list[Row]:
    """The rows of a gallery's manifest.

    Raises:
        Mistake: There is none, or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        if [row["index"] for row in rows] != list(range(len(rows))):
            raise ValueError("rows are missing")
    except OSError:
        raise Mistake(
            "no gallery",
            f"There is no gallery in “{path.parent.name}” ({MANIFEST} is missing): say "
            "what to draw, or name another folder.",
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Mistake(
            "damaged",
            f"{MANIFEST} in “{path.parent.name}” is damaged: delete it, and plan the "
            "gallery again; pictures that fit the new plan count.",
        ) from None
    return rows


def path_of(folder: str | Path, row: Row) -> Path:
    """Where the picture of a row belongs."""
    return Path(folder) / f"{row['index']:04}.png"


def is_whole(folder: str | Path, row: Row) -> bool:
    """Whether the picture of a row is there, to its end, and made by that row."""
    path = path_of(folder, row)
    try:
        with path.open("rb") as file:
            file.seek(-len(END_OF_PNG), os.SEEK_END)
            ends = file.read() == END_OF_PNG
        with Image.open(path) as image:  # its beginning: the pixels are not decoded
            return ends and json.loads(image.info[KEY]) == row
    except (OSError, KeyError, TypeError, ValueError):
        return False


def to_do(
    folder: str | Path, rows: Sequence[Row], process: int = 0, processes: int = 1
) -> list[Row]:
    """What one of several processes has to make: of its share, what is not there yet.

    The share is cut before looking, so that it is the same whoever looks when.
    """
    return [row for row in rows[process::processes] if not is_whole(folder, row)]


def draw(pipe: DiffusionPipeline, rows: Sequence[Row]) -> list[Image.Image]:
    """The pictures of some rows, all at once, each from its own seed."""
    first = rows[0]
    return pipe(
        [row["prompt"] for row in rows],
        generator=[torch.Generator("cpu").manual_seed(row["seed"]) for row in rows],
        num_inference_steps=first["num_inference_steps"],
        guidance_scale=first["guidance_scale"],
        width=first["size"],
        height=first["size"],
    ).images


def make(
    pipe: DiffusionPipeline,
    folder: str | Path,
    rows: Sequence[Row],
    *,
    batch_size: int = 1,
    process: int = 0,
) -> Iterator[Row]:
    """Draws what is not there yet, and gives each row once its picture lies there.

    A line for each goes into the diary, ``made.jsonl``: who made it, and when.

    Args:
        pipe: Draws.
        folder: Of the gallery.
        rows: A process's share of the manifest.
        batch_size: Pictures at once; more than 1 may round a last bit differently.
        process: Its number, for the diary.
    """
    missing = (row for row in rows if not is_whole(folder, row))  # looks when it comes
    while batch := [row for _, row in zip(range(batch_size), missing, strict=False)]:
        for row, image in zip(batch, draw(pipe, batch), strict=True):
            save(image, path_of(folder, row), **row)
            entry = {"index": row["index"], "process": process}
            entry |= {"pid": os.getpid(), "time": time.time()}
            with (Path(folder) / DIARY).open("a") as diary:
                diary.write(json.dumps(entry) + "\n")  # at once: lines stay whole
            yield row


def read_diary(folder: str | Path) -> list[dict[str, Any]]:
    """Who made which picture when: ``index``, ``process``, ``pid``, ``time``."""
    path = Path(folder) / DIARY
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def sweep(folder: str | Path) -> None:
    """Removes what killed processes left half written, once the gallery is whole."""
    if not to_do(folder, read_manifest(folder)):
        for part in Path(folder).glob("*.part"):
            part.unlink(missing_ok=True)
