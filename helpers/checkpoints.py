"""Files that hold a training: written whole or not at all, read whole or not at all."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from helpers.errors import Mistake, in_plain_words


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint; until it is whole, the one before stays.

    Raises:
        Mistake: The disk is full, or nothing may be written there.
    """
    part = path.with_suffix(f".{os.getpid()}.part")  # one for each open notebook
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, part)
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch's own, of a full disk
        raise in_plain_words(error) or error from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint; no pickled program in it runs.

    Raises:
        Mistake: It is damaged; a single flipped bit is found out by its checksums.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(broken)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on odd bytes torch raises whatever its parts do
        raise Mistake("damaged", f"{path.name} is damaged.") from error
