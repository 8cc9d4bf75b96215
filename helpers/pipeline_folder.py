"""A folder that a pipeline is in: of a kind that we draw with, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from helpers.catalogue import Model
from helpers.errors import Mistake


def check_kind(model: Model, folder: Path, dissect: bool) -> None:
    """Stops a model of a kind that the notebook does not draw with.

    Args:
        model: For its name.
        folder: Holds it.
        dissect: As in ``helpers.models.load``.

    Raises:
        Mistake: One sentence with what to take instead.
    """
    built = json.loads((folder / "model_index.json").read_text())["_class_name"]
    built = built[-1] if isinstance(built, list) else built  # of a file of their own
    like = built.replace("Img2Img", "")  # which has the same parts
    if like not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        raise Mistake(
            "wrong kind",
            f"“{model.name}” is a {built}, and this course draws with Stable Diffusion "
            "1, 2 and XL: take a name from the list.",
        )
    schedule = folder / "scheduler" / "scheduler_config.json"
    if not schedule.is_file():
        raise Mistake(
            "incomplete",
            f"“{model.name}” has no scheduler: copy it again, or take pocket.",
        )
    predicts = json.loads(schedule.read_text()).get("prediction_type", "epsilon")
    if dissect and (like != "StableDiffusionPipeline" or predicts != "epsilon"):
        raise Mistake(
            "wrong kind",
            f"This notebook takes the model apart, and “{model.name}” ({built}, which "
            f"predicts {predicts}) is built otherwise: take stable-diffusion-v1-5 or "
            "pocket.",
        )


def parts_of(folder: Path) -> list[str]:
    """What a pipeline is made of, by name; each has its folder."""
    index = json.loads((folder / "model_index.json").read_text())
    return [name for name, of in index.items() if isinstance(of, list) and of[0]]


def check_whole(model: Model, folder: Path, allow_pickle: bool) -> None:
    """Stops where weights are missing or damaged; a damaged download is deleted.

    Args:
        model: For its name.
        folder: Holds it.
        allow_pickle: Files that are not safetensors will do.

    Raises:
        Mistake: One sentence that names the part.
    """
    own = folder.parent.name != "snapshots"  # not the hub's cache
    again = "copy it again" if own else "connect and run this cell again"
    pickled = []
    for part in parts_of(folder):
        place = folder / part
        if not place.is_dir():
            raise Mistake(
                "incomplete", f"“{model.name}” has no {part}: {again}, or take pocket."
            )
        if not (place / "config.json").is_file():
            continue  # every network has one
        weights = [*place.glob("*.safetensors")]
        if not weights and not any(place.glob("*.bin")):
            raise Mistake(
                "incomplete",
                f"The {part} of “{model.name}” has no weights: {again}, or take "
                "pocket.",
            )
        if not weights:
            pickled.append(part)
        for file in weights:
            if not _opens(file):
                if not own:
                    file.resolve().unlink()
                    file.unlink(missing_ok=True)  # a link, where the cache has links
                raise Mistake(
                    "damaged",
                    f"{part}/{file.name} of “{model.name}” is damaged: {again}, or "
                    "take pocket.",
                )
    if pickled and not allow_pickle:
        raise only_pickle(model, pickled)


def _opens(file: Path) -> bool:
    try:
        safe_open(file, "pt")
    except (SafetensorError, OSError):
        return False
    return True


def only_pickle(model: Model, parts: Iterable[str]) -> Mistake:
    """What to say of parts whose weights are pickle files only."""
    return Mistake(
        "pickle",
        f"“{model.name}” has only pickle files for {', '.join(sorted(parts))}, and "
        "they can run any program on this machine: if you trust who made them, load "
        "it with allow_pickle=True.",
    )
