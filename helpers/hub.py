"""From the hub onto this disk: whole, or one sentence that says what to do."""

from __future__ import annotations

import functools
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.catalogue import Model
from helpers.errors import Mistake
from helpers.hub_words import ask_hub, plain_words
from helpers.libraries import quiet
from helpers.pipeline_folder import (
    check_kind,
    check_whole,
    needs_half,
    only_pickle,
    parts_of,
)

LORA = "pytorch_lora_weights.safetensors"  # what a LoRA's file is called


def fetch(
    model: Model, dissect: bool = False, allow_pickle: bool = False
) -> tuple[Model, Path]:
    """Sees to it that a model's files are on this disk, whole, and of the right kind.

    Args:
        model: A folder is only looked through; anything else comes from the hub, or
            from the hub's cache where that does not answer.
        dissect: As in ``helpers.models.load``, and so below.
        allow_pickle: Files that are not safetensors will do.

    Returns:
        The model, with the variant that is on this disk now, and the folder. Asked for
        an id off line, some hub clients want files that were never needed.

    Raises:
        Mistake: One sentence for whatever the hub, the net or the disk did.
    """
    folder = Path(model.id)
    if folder.is_absolute():
        check_kind(model, folder, dissect)
    else:
        model, folder = _fetch_from_hub(model, dissect, allow_pickle)
    if not model.variant and needs_half(model, folder):
        model = replace(model, variant="fp16")
    check_whole(model, folder, allow_pickle)
    return model, folder


def _fetch_from_hub(
    model: Model, dissect: bool, allow_pickle: bool
) -> tuple[Model, Path]:
    from huggingface_hub import hf_hub_download

    hub = ask_hub()
    if hub.token_problem:
        _say_once(
            f"The token on this machine {hub.token_problem}, so it is left out: log "
            "out with hf auth logout, or take HF_TOKEN away; public models need none."
        )
    online = hub.problem is None
    kinds = (model.variant,) if model.download_gb else (None, "fp16")
    cached = [k for k in kinds if is_cached(replace(model, variant=k), allow_pickle)]
    if not online and not cached:
        size = f" (a download of {model.download_gb} GB)" if model.download_gb else ""
        raise Mistake(
            "offline",
            f"The hub cannot be reached ({hub.problem}), so “{model.name}”{size} "
            "cannot be fetched: take pocket, or mend that and run this cell again.",
        )
    where = {"local_files_only": not online, "token": hub.token}
    with plain_words(model):
        for file in ("scheduler/scheduler_config.json", "model_index.json"):
            index = hf_hub_download(model.id, file, revision=model.revision, **where)
        folder = Path(index).parent
        check_kind(model, folder, dissect)
        if model.lora:
            hf_hub_download(model.lora, LORA, **where)
        if cached:
            model = replace(model, variant=cached[0])
        if online:
            model = _download(model, folder, allow_pickle, hub.token, bool(cached))
    return model, folder


_say_once = functools.cache(print)


def _download(
    model: Model, folder: Path, allow_pickle: bool, token: bool | None, cached: bool
) -> Model:
    """Fetches what is not here; whatever goes wrong is no matter where all is.

    Returns:
        The model; with the variant that is taken, if nobody listed it.
    """
    from huggingface_hub import snapshot_download

    try:
        files = _files_on_hub(model, folder, token)
        model, needed = _choose_files(model, files, allow_pickle, cached)
        if not cached:
            _announce(model, needed)
        names = [file.name for file in needed]
        with quiet(progress=True):
            snapshot_download(
                model.id, revision=model.revision, allow_patterns=names, token=token
            )
    except Exception:  # a hub that is busy, or one that changed: perhaps all is here
        with suppress(Mistake):
            check_whole(model, folder, allow_pickle)
            return model
        raise
    return model


def is_cached(model: Model, allow_pickle: bool = False) -> bool:
    """Whether an earlier download has a model's U-Net."""
    from huggingface_hub import try_to_load_from_cache

    kind = f".{model.variant}" if model.variant else ""
    weights = f"unet/diffusion_pytorch_model{kind}"
    files = [f"{weights}.safetensors"] + [f"{weights}.bin"] * allow_pickle
    found = [
        try_to_load_from_cache(model.id, f, revision=model.revision) for f in files
    ]
    return any(isinstance(path, str) for path in found)


def cache_disk() -> Any:
    """The disk that models come to: bytes as ``total``, ``used`` and ``free``."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return shutil.disk_usage(place)


@dataclass(frozen=True)
class _File:
    """A file of a pipeline's part on the hub."""

    name: str
    size: int
    part: str
    variant: str | None = None
    kind: str = ""  # of weights: "safetensors", or "bin", which is pickled


def _files_on_hub(model: Model, folder: Path, token: bool | None) -> list[_File]:
    """What the parts that a pipeline is made of have on the hub."""
    from huggingface_hub import HfApi

    about = HfApi(token=token).model_info(
        model.id, revision=model.revision, files_metadata=True, timeout=10
    )
    weights = re.compile(
        r"(?:diffusion_pytorch_|pytorch_)?model(?:\.(\w+))?(?:-\d+-of-\d+)?"
        r"\.(safetensors|bin)"
    )
    parts = parts_of(model, folder)
    files = []
    for sibling in about.siblings:
        part, _, name = sibling.rfilename.rpartition("/")
        about_it = sibling.rfilename, sibling.size or 0, part
        if part in parts and (found := weights.fullmatch(name)):
            files.append(_File(*about_it, *found.groups()))
        elif part in parts and name.endswith((".json", ".txt")):
            files.append(_File(*about_it))
    return files


def _choose_files(
    model: Model, files: list[_File], allow_pickle: bool, cached: bool
) -> tuple[Model, list[_File]]:
    """Which files make a whole pipeline: of each part one set of weights.

    Raises:
        Mistake: There is none, or only with pickled parts, and nobody asked for those.
    """
    weights = [file for file in files if file.kind]
    safe = {file.part for file in weights if file.kind == "safetensors"}
    parts = {file.part for file in weights}
    if parts - safe and not allow_pickle:
        raise only_pickle(model, parts - safe)

    def of(variant: str | None, part: str) -> list[_File]:
        kind = "safetensors" if part in safe else "bin"
        sets = {None: [], variant: []}
        for file in weights:
            if file.part == part and file.kind == kind and file.variant in sets:
                sets[file.variant].append(file)
        return sets[variant] or sets[None]

    listed = model.download_gb or cached
    for variant in (model.variant, "fp16") if listed else ("fp16",):
        chosen = {part: of(variant, part) for part in parts}
        if parts and all(chosen.values()):
            half = any(f.variant for some in chosen.values() for f in some)
            needed = [file for some in chosen.values() for file in some]
            needed += [file for file in files if not file.kind]
            return replace(model, variant="fp16" if half else None), needed
    raise Mistake(
        "no whole set",
        f"The hub has no whole set of weights of “{model.name}” that diffusers reads: "
        "take a name from the list.",
    )


def _announce(model: Model, needed: list[_File]) -> None:
    """Says how large a download is, or that there is no room for it."""
    size, room = sum(file.size for file in needed), cache_disk().free
    if room < size:
        raise Mistake(
            "too large",
            f"“{model.name}” is {_large(size)} and the disk has room for "
            f"{_large(room)}: delete what you do not need, or take pocket.",
        )
    print(f"Downloading {model.name}: {_large(size)}, once.")


def _large(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"
