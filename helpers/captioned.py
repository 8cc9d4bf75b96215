"""Pictures with a caption each: a file of text beside every picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from helpers.errors import Mistake
from helpers.pictures import open_pictures


def write_captioned(
    pictures: Iterable[Image.Image], captions: Iterable[str], folder: str | Path
) -> Path:
    """Writes pictures, ``00.png`` and so on, and ``00.txt`` with its caption.

    What stands in the folder under such names is replaced, and what an earlier, larger
    set left there goes. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.stem.isdigit() and old.suffix in (".png", ".txt"):
            old.unlink()
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        picture.save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(f"{caption}\n", encoding="utf-8")
    return folder


def open_captioned(
    folder: str | Path, size: int | tuple[int, int]
) -> tuple[list[Image.Image], list[str]]:
    """Opens the pictures of a folder, as ``open_pictures`` does, and their captions.

    Returns:
        The pictures, and as many captions; ``cat.png`` has that in ``cat.txt``.

    Raises:
        Mistake: As of ``open_pictures``, or a picture has no caption.
    """
    pictures = open_pictures(folder, size)
    captions = []
    for picture in pictures:
        name = picture.info["name"]
        file = Path(folder) / f"{name}.txt"
        if not file.is_file():  # two pictures of one name keep their ending
            file = (Path(folder) / name).with_suffix(".txt")
        caption = _read(file) if file.is_file() else ""
        if not caption:
            raise Mistake(
                "no caption",
                f"“{name}” has no caption: write what it shows into “{file.name}”, "
                "beside it.",
            )
        captions.append(caption)
    return pictures, captions


def _read(file: Path) -> str:
    return " ".join(file.read_text(encoding="utf-8-sig", errors="replace").split())
