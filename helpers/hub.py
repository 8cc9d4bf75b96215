"""From the hub onto this disk: whole, or one sentence that says what to do."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from helpers.forms import Mistake

if TYPE_CHECKING:
    from helpers.models import Model

KNOWN = "stable-diffusion-v1-5/stable-diffusion-v1-5"  # asked whether it is there
LORA = "pytorch_lora_weights.safetensors"  # what a LoRA's file is called


def hub_answers(timeout: float = 3.0) -> bool:
    """Whether models can be fetched now (``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` count).

    Args:
        timeout: Seconds to wait.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(KNOWN, timeout=timeout)
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
    if (folder := Path(model.id)).is_dir():
        _check_kind(model, folder, dissect)
        unet = [file.name for file in folder.glob("unet/*.safetensors")]
        if unet and all(".fp16" in name for name in unet):
            model = replace(model, variant="fp16")
        _check_whole(model, folder, allow_pickle)
        return model, folder
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    online = hub_answers()
    kinds = (model.variant,) if model.download_gb else (None, "fp16")
    cached = [k for k in kinds if is_cached(replace(model, variant=k), allow_pickle)]
    if not online and not cached:
        size = f" (a download of {model.download_gb} GB)" if model.download_gb else ""
        raise Mistake(
            f"The hub does not answer, so “{model.name}”{size} cannot be fetched: "
            "take pocket, or connect and run this cell again."
        )
    here = {"revision": model.revision, "local_files_only": not online}
    with _plain_words(model):
        for file in ("scheduler/scheduler_config.json", "model_index.json"):
            index = hf_hub_download(model.id, file, **here)
        folder = Path(index).parent
        _check_kind(model, folder, dissect)
        if cached:
            model = replace(model, variant=cached[0])
        else:
            model = _announce(model, folder, allow_pickle)
        if model.lora:
            hf_hub_download(model.lora, LORA, local_files_only=not online)
        if online:
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
                    _check_whole(model, folder, allow_pickle)
                    return model, folder
                raise
    _check_whole(model, folder, allow_pickle)
    return model, folder


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


def disk() -> Any:
    """The disk that models come to: bytes as ``total``, ``used`` and ``free``."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return shutil.disk_usage(place)


def _announce(model: Model, folder: Path, allow_pickle: bool) -> Model:
    """Says how large a download is, or why there will be none.

    Returns:
        The model; one that is not in the catalogue in half the size, if there is that.
    """
    from huggingface_hub import HfApi

    about = HfApi().model_info(
        model.id, revision=model.revision, files_metadata=True, timeout=10
    )
    weights = re.compile(
        r"(\w+)/(?:diffusion_pytorch_|pytorch_)?model(\.\w+)?(?:-\d+-of-\d+)?"
        r"\.(safetensors|bin)"
    )
    parts, files = _parts(folder), []  # (part, variant, ending, bytes)
    for file in about.siblings:
        found = weights.fullmatch(file.rfilename)
        if found and found[1] in parts:
            files.append((*found.groups(""), file.size or 0))
    safe = {part for part, _, ending, _ in files if ending == "safetensors"}
    pickled = {part for part, *_ in files} - safe
    if pickled and not allow_pickle:
        raise _only_pickle(model, pickled)
    if not model.download_gb:
        half = {
            part
            for part, variant, ending, _ in files
            if variant == ".fp16" and (ending == "safetensors" or part in pickled)
        }
        model = replace(model, variant="fp16" if half == safe | pickled else None)
    kind = f".{model.variant}" if model.variant else ""
    need = sum(
        size
        for part, variant, ending, size in files
        if variant == kind and ending == ("safetensors" if part in safe else "bin")
    )
    room = disk().free
    if room < need:
        raise Mistake(
            f"“{model.name}” is {_large(need)} and the disk has room for "
            f"{_large(room)}: delete what you do not need, or take pocket."
        )
    print(f"Downloading {model.name}: {_large(need)}, once.")
    return model


def _only_pickle(model: Model, parts: Iterable[str]) -> Mistake:
    return Mistake(
        f"“{model.name}” has only pickle files for {', '.join(sorted(parts))}, and "
        "they can run any program on this machine: if you trust who made them, load "
        "it with allow_pickle=True."
    )


def _large(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


def _check_kind(model: Model, folder: Path, dissect: bool) -> None:
    """Stops a model of a kind that the notebook does not draw with."""
    built = json.loads((folder / "model_index.json").read_text())["_class_name"]
    built = built[-1] if isinstance(built, list) else built  # of a file of their own
    parts_of = built.replace("Img2Img", "")  # which has the same
    if parts_of not in ("StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        raise Mistake(
            f"“{model.name}” is a {built}, and this course draws with Stable Diffusion "
            "1, 2 and XL: take a name from the list."
        )
    schedule = folder / "scheduler" / "scheduler_config.json"
    if not schedule.is_file():
        raise Mistake(
            f"“{model.name}” has no scheduler: copy it again, or take pocket."
        )
    predicts = json.loads(schedule.read_text()).get("prediction_type", "epsilon")
    if dissect and (parts_of != "StableDiffusionPipeline" or predicts != "epsilon"):
        raise Mistake(
            f"This notebook takes the model apart, and “{model.name}” ({built}, which "
            f"predicts {predicts}) is built otherwise: take stable-diffusion-v1-5 or "
            "pocket."
        )


def _parts(folder: Path) -> list[str]:
    """What a pipeline is made of, by name; each has its folder."""
    index = json.loads((folder / "model_index.json").read_text())
    return [name for name, of in index.items() if isinstance(of, list) and of[0]]


def _check_whole(model: Model, folder: Path, allow_pickle: bool) -> None:
    """Stops where weights are missing or damaged; a damaged download is deleted."""
    own = folder.parent.name != "snapshots"  # not the hub's cache
    again = "copy it again" if own else "connect and run this cell again"
    pickled = []
    for part in _parts(folder):
        place = folder / part
        if not place.is_dir():
            raise Mistake(f"“{model.name}” has no {part}: {again}, or take pocket.")
        if not (place / "config.json").is_file():
            continue  # every network has one
        weights = [*place.glob("*.safetensors")]
        if not weights and not any(place.glob("*.bin")):
            raise Mistake(
                f"The {part} of “{model.name}” has no weights: {again}, or take pocket."
            )
        if not weights:
            pickled.append(part)
        for file in weights:
            if not _opens(file):
                if not own:
                    file.resolve().unlink()
                    file.unlink()
                raise Mistake(
                    f"{part}/{file.name} of “{model.name}” is damaged: {again}, or "
                    "take pocket."
                )
    if pickled and not allow_pickle:
        raise _only_pickle(model, pickled)


def _opens(file: Path) -> bool:
    try:
        safe_open(file, "pt")
    except (SafetensorError, OSError):
        return False
    return True


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
        raise Mistake(_in_plain_words(model, error)) from None


def _in_plain_words(model: Model, error: Exception) -> str:
    # https://huggingface.co/docs/huggingface_hub/package_reference/utilities
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"“{model.id}” is given out after a form: fill it in at https://"
            f"huggingface.co/{model.id}, log in, or take stable-diffusion-v1-5."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"“{model.id}” has no revision “{model.revision}”: leave “@"
            f"{model.revision}” away for the newest."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        # The hub says 401, as if one had to log in.
        return (
            f"The hub has no public model “{model.id}”: check the spelling, or take a "
            "name from the list."
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return (
            f"Only a part of “{model.name}” is here, and the hub does not answer: take "
            "pocket, or connect and run this cell again."
        )
    if isinstance(error, errors.EntryNotFoundError):
        return (
            f"“{model.id}” is not in the form that diffusers reads: take a name from "
            "the list."
        )
    status = error.response.status_code if hasattr(error, "response") else None
    if status == 401:  # with a token, or it would be one of the above
        return (
            "The hub does not accept the token on this machine: log out with hf auth "
            "logout, or take HF_TOKEN away; these models need none."
        )
    if status == 403:
        return (
            f"The token on this machine may not read “{model.id}”: log out with hf "
            "auth logout, or make one that may."
        )
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"The disk is full before “{model.name}” is whole: delete what you do not "
            "need and run this cell again, or take pocket."
        )
    how = f"answers {status}" if status else f"stopped ({type(error).__name__})"
    return (
        f"The download of “{model.name}” broke off, the hub {how}: run this cell "
        "again, what is whole stays; or take pocket."
    )


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Without the libraries' remarks, and progress bars; errors still come through."""
    import diffusers
    import transformers

    logs = [diffusers.utils.logging, transformers.utils.logging]
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        if not progress:
            log.disable_progress_bar()
    try:
        yield
    finally:
        for log, (verbosity, bars) in zip(logs, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
