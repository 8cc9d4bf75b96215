"""From the hub onto this disk: whole, or one sentence that says what to do."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from helpers.catalogue import DEFAULT, Model
from helpers.errors import Mistake
from helpers.libraries import quiet
from helpers.pipeline_folder import check_kind, check_whole, only_pickle, parts_of

LORA = "pytorch_lora_weights.safetensors"  # what a LoRA's file is called


def hub_answers(timeout: float = 3.0) -> bool:
    """Whether models can be fetched now (``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` count).

    Args:
        timeout: Seconds to wait.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(DEFAULT.id, timeout=timeout)
    except HfHubHTTPError as error:
        return error.response.status_code < 500
    except Exception:  # noqa: BLE001 - each hub version names a dead network anew
        return False
    return True


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
    if folder.is_dir():
        check_kind(model, folder, dissect)
        unet = [file.name for file in folder.glob("unet/*.safetensors")]
        if unet and all(".fp16" in name for name in unet):
            model = replace(model, variant="fp16")
    else:
        model, folder = _fetch_from_hub(model, dissect, allow_pickle)
    check_whole(model, folder, allow_pickle)
    return model, folder


def _fetch_from_hub(
    model: Model, dissect: bool, allow_pickle: bool
) -> tuple[Model, Path]:
    from huggingface_hub import hf_hub_download

    online = hub_answers()
    kinds = (model.variant,) if model.download_gb else (None, "fp16")
    cached = [k for k in kinds if is_cached(replace(model, variant=k), allow_pickle)]
    if not online and not cached:
        size = f" (a download of {model.download_gb} GB)" if model.download_gb else ""
        raise Mistake(
            "offline",
            f"The hub does not answer, so “{model.name}”{size} cannot be fetched: "
            "take pocket, or connect and run this cell again.",
        )
    where = {"revision": model.revision, "local_files_only": not online}
    with _plain_words(model):
        for file in ("scheduler/scheduler_config.json", "model_index.json"):
            index = hf_hub_download(model.id, file, **where)
        folder = Path(index).parent
        check_kind(model, folder, dissect)
        if cached:
            model = replace(model, variant=cached[0])
        else:
            model = _announce(model, folder, allow_pickle)
        if model.lora:
            hf_hub_download(model.lora, LORA, local_files_only=not online)
        if online:
            _download(model, folder, allow_pickle)
    return model, folder


def _download(model: Model, folder: Path, allow_pickle: bool) -> None:
    """Fetches what is not here; whatever goes wrong is no matter where all is."""
    from diffusers import DiffusionPipeline

    try:
        with quiet(progress=True):
            DiffusionPipeline.download(
                model.id,
                variant=model.variant,
                use_safetensors=None if allow_pickle else True,
                revision=model.revision,
            )
    except Exception:  # a hub that is busy, a bad token: perhaps all is here
        with suppress(Mistake):
            check_whole(model, folder, allow_pickle)
            return
        raise


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
class _Weights:
    """A file of weights on the hub."""

    part: str
    variant: str | None
    safe: bool
    size: int


def _weights_on_hub(model: Model, folder: Path) -> list[_Weights]:
    """The files of weights of the parts that a pipeline is made of."""
    from huggingface_hub import HfApi

    about = HfApi().model_info(
        model.id, revision=model.revision, files_metadata=True, timeout=10
    )
    pattern = re.compile(
        r"(\w+)/(?:diffusion_pytorch_|pytorch_)?model(?:\.(\w+))?(?:-\d+-of-\d+)?"
        r"\.(safetensors|bin)"
    )
    parts = parts_of(folder)
    return [
        _Weights(found[1], found[2], found[3] == "safetensors", file.size or 0)
        for file in about.siblings
        if (found := pattern.fullmatch(file.rfilename)) and found[1] in parts
    ]


def _announce(model: Model, folder: Path, allow_pickle: bool) -> Model:
    """Says how large a download is, or why there will be none.

    The library would find out by itself which files to take (and raise, in many words,
    where there are none); this says beforehand how much that is, whether there is room,
    and which parts are pickled, and takes the half size of what nobody listed.

    Returns:
        The model; one that is not in the catalogue in half the size, if there is that.
    """
    files = _weights_on_hub(model, folder)
    safe = {file.part for file in files if file.safe}
    pickled = {file.part for file in files} - safe
    if pickled and not allow_pickle:
        raise only_pickle(model, pickled)
    if not model.download_gb:
        half = {
            file.part
            for file in files
            if file.variant == "fp16" and (file.safe or file.part in pickled)
        }
        model = replace(model, variant="fp16" if half == safe | pickled else None)
    needed = sum(
        file.size
        for file in files
        if file.variant == model.variant and file.safe == (file.part in safe)
    )
    room = cache_disk().free
    if room < needed:
        raise Mistake(
            "too large",
            f"“{model.name}” is {_large(needed)} and the disk has room for "
            f"{_large(room)}: delete what you do not need, or take pocket.",
        )
    print(f"Downloading {model.name}: {_large(needed)}, once.")
    return model


def _large(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


@contextmanager
def _plain_words(model: Model) -> Iterator[None]:
    """One sentence for whatever the hub or the disk answers."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except Mistake:
        raise
    except Exception as error:  # noqa: BLE001 - httpx's or httpx2's, by version
        cause = error.__cause__  # the hub's answer, behind “it is not here either”
        if isinstance(error, LocalEntryNotFoundError):
            error = cause if isinstance(cause, HfHubHTTPError) else error
        raise _in_plain_words(model, error) from None


# What the hub's errors mean to a learner, the special ones before those they are a kind
# of: https://huggingface.co/docs/huggingface_hub/package_reference/utilities
_ANSWERS = {
    "GatedRepoError": (
        "gated",
        "“{id}” is given out after a form: fill it in at https://huggingface.co/{id}, "
        "log in, or take stable-diffusion-v1-5.",
    ),
    "RevisionNotFoundError": (
        "no revision",
        "“{id}” has no revision “{revision}”: leave “@{revision}” away for the newest.",
    ),
    "RepositoryNotFoundError": (  # the hub says 401, as if one had to log in
        "not public",
        "The hub has no public model “{id}”: check the spelling, or take a name from "
        "the list.",
    ),
    "LocalEntryNotFoundError": (
        "incomplete",
        "Only a part of “{name}” is here, and the hub does not answer: take pocket, or "
        "connect and run this cell again.",
    ),
    "EntryNotFoundError": (
        "not diffusers",
        "“{id}” is not in the form that diffusers reads: take a name from the list.",
    ),
    401: (  # with a token, or it would be one of the above
        "bad token",
        "The hub does not accept the token on this machine: log out with hf auth "
        "logout, or take HF_TOKEN away; these models need none.",
    ),
    403: (
        "forbidden",
        "The token on this machine may not read “{id}”: log out with hf auth logout, "
        "or make one that may.",
    ),
    "full": (
        "disk full",
        "The disk is full before “{name}” is whole: delete what you do not need and "
        "run this cell again, or take pocket.",
    ),
    "else": (
        "broken off",
        "The download of “{name}” broke off, the hub {how}: run this cell again, what "
        "is whole stays; or take pocket.",
    ),
}


def _in_plain_words(model: Model, error: Exception) -> Mistake:
    status = error.response.status_code if hasattr(error, "response") else None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    what: str | int = "else"
    if known := [name for name in _ANSWERS if name in kinds]:
        what = known[0]
    elif status in _ANSWERS:
        what = status
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what = "full"
    kind, sentence = _ANSWERS[what]
    how = f"answers {status}" if status else f"stopped ({type(error).__name__})"
    about = {"id": model.id, "name": model.name, "revision": model.revision}
    return Mistake(kind, sentence.format(**about, how=how))
