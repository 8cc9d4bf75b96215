"""Files that hold a training: written whole or not at all, read whole or not at all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from helpers.errors import Mistake, in_plain_words
from helpers.files import written_whole

_unwritten: dict[Path, bytes] = {}  # what the disk refused, for this kernel


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint; until it is whole, the one before stays.

    What cannot be written stays in memory: ``read_checkpoint`` finds it.

    Raises:
        Mistake: The disk is full, or nothing may be written there.
    """
    try:
        _write(path, partial(torch.save, state))
    except Mistake:
        with suppress(MemoryError):
            torch.save(state, memory := io.BytesIO())
            _unwritten[path] = memory.getvalue()
        raise


def _write(path: Path, save: Callable[[Path], object]) -> None:
    try:
        with written_whole(path) as part:
            save(part)
        _unwritten.pop(path, None)
    except (OSError, RuntimeError) as error:  # torch's own, of a full disk
        raise in_plain_words(error) or error from error


@contextmanager
def going_on(told: set[str]) -> Iterator[None]:
    """What the disk refuses is said, once, and stops nobody.

    Args:
        told: The kinds of refusals that were said already.
    """
    try:
        yield
    except (OSError, Mistake) as error:
        mistake = in_plain_words(error)
        if mistake is None:
            raise
        if mistake.kind not in told:
            print(f"Not saved, but it goes on learning. {mistake}")
        told.add(mistake.kind)


def is_kept(path: Path) -> bool:
    """Whether there is a checkpoint to read, on the disk or in memory."""
    return path in _unwritten or path.exists()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint; no pickled program in it runs.

    Raises:
        Mistake: It is damaged; a single flipped bit is found out by its checksums.
    """
    if kept := _unwritten.get(path):
        with going_on(set()):
            _write(path, lambda part: part.write_bytes(kept))
        return _load(io.BytesIO(kept))
    try:
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(broken)
        return _load(path)
    except Exception as error:  # on odd bytes torch raises whatever its parts do
        raise Mistake("damaged", f"{path.name} is damaged.") from error


def _load(source: Path | io.BytesIO) -> dict[str, Any]:
    return torch.load(source, map_location="cpu", weights_only=True)
