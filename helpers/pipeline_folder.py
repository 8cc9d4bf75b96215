"""A folder that a pipeline is in: of a kind that we draw with, and whole."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from helpers.catalogue import Model
from helpers.errors import Mistake

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")  # all have them


def check_kind(model: Model, folder: Path, dissect: bool) -> None:
    """Stops a model of a kind that the notebook does not draw with.

    Args:
        model: For its name.
        folder: Holds it.
        dissect: As in ``helpers.models.load``.

    Raises:
        Mistake: One sentence with what to take instead.
    """
    built = read_json(model, folder, "model_index.json").get("_class_name")
    if isinstance(built, list):  # of a file of their own
        built = built[-1] if built else None
    if not isinstance(built, str):
        raise _damaged(model, folder, "model_index.json", "it names no _class_name")
    like = built.replace("Img2Img", "")  # which has the same parts
    if like not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        raise Mistake(
            "wrong kind",
            f"“{model.name}” is a {built}, and this course draws with Stable Diffusion "
            "1, 2 and XL: take a name from the list.",
        )
    for part in PARTS:
        if part not in parts_of(model, folder):
            raise Mistake(
                "incomplete",
                f"The model_index.json of “{model.name}” names no {part}: copy it "
                "again, or take pocket.",
            )
    schedule = "scheduler/scheduler_config.json"
    if not (folder / schedule).is_file():
        raise Mistake(
            "incomplete",
            f"“{model.name}” has no scheduler: copy it again, or take pocket.",
        )
    predicts = read_json(model, folder, schedule).get("prediction_type", "epsilon")
    if dissect and (like != "StableDiffusionPipeline" or predicts != "epsilon"):
        raise Mistake(
            "wrong kind",
            f"This notebook takes the model apart, and “{model.name}” ({built}, which "
            f"predicts {predicts}) is built otherwise: take stable-diffusion-v1-5 or "
            "pocket.",
        )


def read_json(model: Model, folder: Path, file: str) -> dict[str, Any]:
    """What a file of settings says.

    Raises:
        Mistake: It is no JSON object; a download that is none is deleted.
    """
    try:
        settings = json.loads((folder / file).read_bytes())
    except (ValueError, OSError, RecursionError):
        settings = None
    if isinstance(settings, dict):
        return settings
    raise _damaged(model, folder, file, "it is no JSON object")


def parts_of(model: Model, folder: Path) -> list[str]:
    """What a pipeline is made of, by name; each has its folder."""
    index = read_json(model, folder, "model_index.json")
    listed = {name: of for name, of in index.items() if isinstance(of, list)}
    listed.pop("_class_name", None)
    for name, of in listed.items():
        if len(of) != 2 or not all(isinstance(word, str | None) for word in of):
            reason = f"its entry {name} names no library and class"
            raise _damaged(model, folder, "model_index.json", reason)
    return [name for name, of in listed.items() if of[0]]


def check_whole(model: Model, folder: Path, allow_pickle: bool) -> None:
    """Stops where weights are missing or damaged; a damaged download is deleted.

    Args:
        model: For its name.
        folder: Holds it.
        allow_pickle: Files that are not safetensors will do.

    Raises:
        Mistake: One sentence that names the part.
    """
    pickled = []
    for part in parts_of(model, folder):
        place = folder / part
        if not os.path.isdir(place):
            raise Mistake(
                "incomplete",
                f"“{model.name}” has no {part}: {_again(folder)}, or take pocket.",
            )
        network = (place / "config.json").is_file()  # each has one
        weights = _weights_in(place) if network else []
        if lacks := _lacks(part, place, network, weights):
            raise Mistake(
                "incomplete",
                f"The {part} of “{model.name}” has no {lacks}: {_again(folder)}, or "
                "take pocket.",
            )
        if not network:
            continue
        read_json(model, folder, f"{part}/config.json")
        if not any(map(_is_safe, weights)):
            pickled.append(part)
        for file in filter(_is_safe, weights):
            if not _opens(file):
                raise _damaged(model, folder, f"{part}/{file.name}")
    if pickled and not allow_pickle:
        raise only_pickle(model, pickled)


def _lacks(part: str, place: Path, network: bool, weights: list[Path]) -> str | None:
    """What a part is nothing without; the libraries make do, and draw noise."""
    if network and not weights:
        return "weights"
    words = [place / "tokenizer.json", place / "vocab.json"]
    if part.startswith("tokenizer") and not any(file.is_file() for file in words):
        return "vocabulary"
    return None


def needs_half(model: Model, folder: Path) -> bool:
    """Whether some part is there in half size only; of the others the full one does."""
    found = [_weights_in(folder / part) for part in parts_of(model, folder)]
    return any(files and all(".fp16" in f.name for f in files) for files in found)


def count_weights(model: Model, folder: Path) -> int:
    """About how many numbers loading a pipeline reads, without reading them."""
    count = 0
    for part in parts_of(model, folder):
        files = _weights_in(folder / part)
        half = [file for file in files if ".fp16" in file.name]
        chosen = half if model.variant and half else sorted(set(files) - set(half))
        safe = [file for file in chosen if _is_safe(file)]
        count += sum(map(_count, safe or chosen))
    return count


def _count(file: Path) -> int:
    if not _is_safe(file):
        return file.stat().st_size // 2  # at most
    with safe_open(file, "pt") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118 - it is no dict
    return sum(map(math.prod, shapes))


def _weights_in(place: Path) -> list[Path]:
    return [*place.glob("*.safetensors"), *place.glob("*.bin")]


def _is_safe(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _opens(file: Path) -> bool:
    try:
        safe_open(file, "pt")
    except (SafetensorError, OSError):
        return False
    return True


def _again(folder: Path) -> str:
    own = folder.parent.name != "snapshots"  # not the hub's cache
    return "copy it again" if own else "connect and run this cell again"


def _damaged(model: Model, folder: Path, file: str, reason: str = "") -> Mistake:
    """What to say of a damaged file; a download is deleted, to be fetched again."""
    again = _again(folder)
    if again != "copy it again":
        (folder / file).resolve().unlink(missing_ok=True)
        (folder / file).unlink(missing_ok=True)  # a link, where the cache has links
    why = f" ({reason})" if reason else ""
    return Mistake(
        "damaged",
        f"{file} of “{model.name}” is damaged{why}: {again}, or take pocket.",
    )


def only_pickle(model: Model, parts: Iterable[str]) -> Mistake:
    """What to say of parts whose weights are pickle files only."""
    return Mistake(
        "pickle",
        f"“{model.name}” has only pickle files for {', '.join(sorted(parts))}, and "
        "they can run any program on this machine: if you trust who made them, load "
        "it with allow_pickle=True.",
    )
