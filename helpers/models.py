"""``load``: one call from a name to a pipeline that fits the machine."""

from __future__ import annotations

import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.catalogue import CATALOGUE, DEFAULT, POCKET, SUCCESSORS, Model
from helpers.cores import share_cores
from helpers.device import Device, find_device
from helpers.errors import Mistake
from helpers.hub import LORA, fetch, hub_answers, is_cached
from helpers.libraries import in_dtype, quiet
from helpers.memory import apply_savings, unload
from helpers.rescue import protect

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

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
    try:
        model, folder = fetch(model, dissect, allow_pickle)
    except Mistake as mistake:
        if name != "auto":
            raise
        print(mistake)
        model, why = CATALOGUE["pocket"], "the other one could not be had"
        folder = POCKET
    if _loaded is not None and (previous := _loaded()) is not None:
        unload(previous)
    pipe = _read(model, folder, device, allow_pickle)
    protect(pipe, apply_savings(pipe, device))
    if device.type == "cpu":
        share_cores(pipe.unet)
    pipe.set_progress_bar_config(delay=3, leave=False)  # only where one has to wait
    _loaded = weakref.ref(pipe)

    kind = str(device.dtype).removeprefix("torch.")
    print(f"Model: {model.name} in {kind} on {device}. Why: {why}.")
    if device.type != "cpu":
        print(f"Memory: {pipe.savings}.")
    return pipe


def _read(
    model: Model, folder: Path, device: Device, allow_pickle: bool
) -> DiffusionPipeline:
    import diffusers

    with quiet():
        try:
            pipe = diffusers.AutoPipelineForText2Image.from_pretrained(
                folder,
                variant=model.variant,
                use_safetensors=None if allow_pickle else True,
                **in_dtype(device.dtype),
            )
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise Mistake(
                "unreadable", f"“{model.name}” cannot be read ({reason})."
            ) from None
        pipe.register_to_config(_name_or_path=model.id)  # for ``describe``
        if model.lora:
            pipe.load_lora_weights(model.lora, weight_name=LORA, local_files_only=True)
            pipe.fuse_lora()
            sampler = getattr(diffusers, model.scheduler)
            pipe.scheduler = sampler.from_config(pipe.scheduler.config)
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
            raise Mistake(
                "missing", f"The pocket model is missing: {POCKET} should hold it."
            )
        return model, "you chose it"
    if name in SUCCESSORS:
        raise Mistake(
            "gone", f"“{name}” was taken off the hub: take “{SUCCESSORS[name]}”."
        )
    if (Path(name) / "model_index.json").is_file():
        folder = Path(name).resolve()
        return Model(folder.name, str(folder)), "you chose this folder"
    id, _, revision = name.partition("@")
    if _is_address(id):
        found = known.get(id, Model(id, id))
        return replace(found, revision=revision or None), "you chose it by its address"
    raise Mistake(
        "no model",
        f"There is no model “{name}”: take auto, {', '.join(CATALOGUE)}, or an "
        "address on the hub such as CompVis/stable-diffusion-v1-4.",
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
        return DEFAULT, "there is a graphics card, and the hub answers"
    if is_cached(DEFAULT):
        return DEFAULT, "there is a graphics card, and it was downloaded earlier"
    return pocket, "the hub does not answer, and this one is already here"
