"""From the hub onto this disk: whole, or one sentence that says what to do."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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


def fetch(model: Model, dissect: bool = False, allow_pickle: bool = False) -> None:
    """Sees to it that a model's files are on this disk, whole, and of the right kind.

    Args:
        model: A folder is only looked through; anything else comes from the hub, or
            from the hub's cache where that does not answer.
        dissect: As in ``helpers.models.load``, and so below.
        allow_pickle: Files that are not safetensors will do.

    Raises:
        Mistake: One sentence for whatever the hub, the net or the disk did.
    """
    if Path(model.id).is_dir():
        if dissect:
            _check_kind(model, Path(model.id))
        _check_whole(model, Path(model.id))
        return
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    online = hub_answers()
    if not online and not is_cached(model):
        size = f" (a download of {model.download_gb} GB)" if model.download_gb else ""
        raise Mistake(
            f"The hub does not answer, so “{model.name}”{size} cannot be fetched: "
            "take pocket, or connect and run this cell again."
        )
    here = {"revision": model.revision, "local_files_only": not online}
    with _plain_words(model):
        if dissect:
            for file in ("scheduler/scheduler_config.json", "model_index.json"):
                index = hf_hub_download(model.id, file, **here)
            _check_kind(model, Path(index).parent)
        if online and not is_cached(model):
            _announce(model, allow_pickle)
        with quiet(progress=True):
            folder = DiffusionPipeline.download(
                model.id,
                variant=model.variant,
                use_safetensors=None if allow_pickle else True,
                **here,
            )
            if model.lora:
                hf_hub_download(model.lora, LORA, local_files_only=not online)
    _check_whole(model, Path(folder))


def is_cached(model: Model) -> bool:
    from huggingface_hub import try_to_load_from_cache

    kind = f".{model.variant}" if model.variant else ""
    weights = f"unet/diffusion_pytorch_model{kind}.safetensors"
    found = try_to_load_from_cache(model.id, weights, revision=model.revision)
    return isinstance(found, str)


def disk() -> Any:
    """The disk that models come to: bytes as ``total``, ``used`` and ``free``."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    return shutil.disk_usage(place)


def _announce(model: Model, allow_pickle: bool) -> None:
    """Says how large a download is, or why there will be none."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError

    about = HfApi().model_info(model.id, revision=model.revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in about.siblings}
    if "model_index.json" not in sizes:
        raise EntryNotFoundError
    safe = [n for n in sizes if n.endswith(".safetensors") and "/" in n]
    if not safe and not allow_pickle:
        raise Mistake(
            f"“{model.id}” has only pickle files, which can run any program on this "
            f'machine: if you trust who made them, load("{model.id}", '
            "allow_pickle=True)."
        )
    dots = 2 if model.variant else 1  # model.fp16.safetensors
    need = sum(sizes[n] for n in safe if Path(n).name.count(".") == dots)
    room = disk().free
    if room < need:
        raise Mistake(
            f"“{model.name}” is {_large(need)} and the disk has room for "
            f"{_large(room)}: delete what you do not need, or take pocket."
        )
    print(f"Downloading {model.name}: {_large(need)}, once.")


def _large(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"


def _check_kind(model: Model, folder: Path) -> None:
    """Stops a model that is not built like Stable Diffusion 1."""
    index = json.loads((folder / "model_index.json").read_text())
    built = index["_class_name"]
    schedule = folder / "scheduler" / "scheduler_config.json"
    predicts = json.loads(schedule.read_text()).get("prediction_type", "epsilon")
    if built != "StableDiffusionPipeline" or predicts != "epsilon":
        raise Mistake(
            f"This notebook takes the model apart, and “{model.name}” ({built}, which "
            f"predicts {predicts}) is built otherwise: take stable-diffusion-v1-5 or "
            "pocket."
        )


def _check_whole(model: Model, folder: Path) -> None:
    """Stops where weights are missing or damaged; a damaged download is deleted."""
    for config in folder.glob("*/config.json"):  # every network has one
        weights = [*config.parent.glob("*.safetensors"), *config.parent.glob("*.bin")]
        if not weights:
            raise Mistake(
                f"The {config.parent.name} of “{model.name}” has no weights in "
                f"{folder.name}: fetch it again, or take pocket."
            )
        for file in weights:
            if file.suffix == ".safetensors" and not _opens(file):
                if folder.parent.name == "snapshots":  # the hub's cache, not theirs
                    file.resolve().unlink()
                    file.unlink()
                raise Mistake(
                    f"{config.parent.name}/{file.name} of “{model.name}” is damaged: "
                    "run this cell again to fetch it anew, or take pocket."
                )


def _opens(file: Path) -> bool:
    try:
        safe_open(file, "pt")
    except (SafetensorError, OSError):
        return False
    return True


@contextmanager
def _plain_words(model: Model) -> Iterator[None]:
    """One sentence for whatever the hub or the disk answers.

    https://huggingface.co/docs/huggingface_hub/package_reference/utilities
    """
    from huggingface_hub import errors

    try:
        yield
    except Mistake:
        raise
    except errors.GatedRepoError:
        problem = (
            f"“{model.id}” is given out after a form: fill it in at https://"
            f"huggingface.co/{model.id}, log in, or take stable-diffusion-v1-5."
        )
    except errors.RevisionNotFoundError:
        problem = (
            f"“{model.id}” has no revision “{model.revision}”: leave “@"
            f"{model.revision}” away for the newest."
        )
    except errors.RepositoryNotFoundError:  # the hub says 401, as if one had to log in
        problem = (
            f"The hub has no public model “{model.id}”: check the spelling, or take a "
            "name from the list."
        )
    except errors.LocalEntryNotFoundError:
        problem = (
            f"Only a part of “{model.name}” is here, and the hub does not answer: take "
            "pocket, or connect and run this cell again."
        )
    except errors.EntryNotFoundError:
        problem = (
            f"“{model.id}” is not in the form that diffusers reads: take a name from "
            "the list."
        )
    except errors.HfHubHTTPError as error:
        if error.response.status_code == 401:  # with a token, or it would be the above
            problem = (
                "The hub does not accept the token on this machine: log out with hf "
                "auth logout, or take HF_TOKEN away; these models need none."
            )
        elif error.response.status_code == 403:
            problem = (
                f"The token on this machine may not read “{model.id}”: log out with hf "
                "auth logout, or make one that may."
            )
        else:
            problem = _broke_off(model, f"answers {error.response.status_code}")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            problem = (
                f"The disk is full before “{model.name}” is whole: delete what you do "
                "not need and run this cell again, or take pocket."
            )
        else:
            problem = _broke_off(model, "is silent")
    except Exception as error:  # noqa: BLE001 - httpx's or httpx2's, by version
        problem = _broke_off(model, f"stopped ({type(error).__name__})")
    else:
        return
    raise Mistake(problem) from None


def _broke_off(model: Model, how: str) -> str:
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
