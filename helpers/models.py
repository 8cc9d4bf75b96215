"""``load``: one call from a name to a pipeline that fits the machine."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from helpers.catalogue import CATALOGUE, DEFAULT, POCKET, Model
from helpers.cores import share_cores
from helpers.device import Device, find_device
from helpers.errors import Mistake, is_full
from helpers.hub import LORA, fetch, is_cached
from helpers.hub_words import hub_problem
from helpers.libraries import be_brief, in_dtype, quiet
from helpers.memory import apply_savings, choose_savings, network_sizes, unload
from helpers.names import find_model, show, tidy
from helpers.pipeline_folder import count_weights
from helpers.rescue import protect
from helpers.schedulers import suit_scheduler

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_loaded: weakref.ref[DiffusionPipeline] | None = None  # what the next load frees


def load(
    name: str = "auto", *, dissect: bool = False, allow_pickle: bool = False
) -> DiffusionPipeline:
    """Loads a text-to-image pipeline, frees the one before, and says which it is.

    The one before is kept until the new one is read, where memory holds both.

    Args:
        name: ``"auto"``, a name in ``CATALOGUE``, a hub id or a folder; an id may end
            in ``@`` and a branch, tag or commit. ``Model.address`` is one, too.
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
    chosen, why = choose(name, device)
    try:
        model, folder = fetch(chosen, dissect, allow_pickle)
    except Mistake as mistake:
        if not _is_auto(name) or chosen == CATALOGUE["pocket"]:
            raise
        print(mistake)
        why, folder = "the other one could not be had", POCKET
        model = chosen = CATALOGUE["pocket"]
    if not _both_fit(model, folder, device):
        _unload_previous()
    with _unreadable(model):
        pipe = _read(model, folder, device, allow_pickle)
        suit_scheduler(pipe, model.name, dissect)
        _check_numbers(model, pipe, device)
    pipe.register_to_config(_name_or_path=chosen.address)  # for ``describe``
    _unload_previous()
    protect(pipe, apply_savings(pipe, device))
    be_brief()
    if device.type == "cpu":
        share_cores(pipe.unet)
    pipe.set_progress_bar_config(delay=3, leave=False)  # only where one has to wait
    _loaded = weakref.ref(pipe)
    _introduce(pipe, model, device, why)
    return pipe


def _introduce(pipe: DiffusionPipeline, model: Model, device: Device, why: str) -> None:
    kind = str(device.dtype).removeprefix("torch.")
    print(f"Model: {model.name} in {kind} on {device}. Why: {why}.")
    if device.type != "cpu":
        print(f"Memory: {pipe.savings}.")


def _both_fit(model: Model, folder: Path, device: Device) -> bool:
    takes = count_weights(model, folder) * device.dtype.itemsize
    return takes < psutil.virtual_memory().available


def _unload_previous() -> None:
    global _loaded
    if _loaded is not None and (previous := _loaded()) is not None:
        unload(previous)
    _loaded = None


@contextmanager
def _unreadable(model: Model) -> Iterator[None]:
    """One sentence for whatever the libraries raise while they read a pipeline."""
    try:
        yield
    except (Mistake, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - of any kind, from three libraries
        if is_full(error):
            raise
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        reason = show(f"{type(error).__name__}: {first.strip()}".rstrip(": "))
        raise Mistake(
            "unreadable",
            f"“{model.name}” cannot be read ({reason}): copy it again, or take pocket.",
        ) from error


def _check_numbers(model: Model, pipe: DiffusionPipeline, device: Device) -> None:
    """Stops where weights were in no file, or a size is none, and so no sum of any."""
    for part in network_sizes(pipe):
        weights = pipe.components[part].named_parameters()
        if lacking := [name for name, weight in weights if weight.is_meta]:
            raise Mistake(
                "incomplete",
                f"The {part} of “{model.name}” lacks weights (such as {lacking[0]}): "
                "copy it again, or take pocket.",
            )
    choose_savings(pipe, device)  # adds up, and moves nothing


def _read(
    model: Model, folder: Path, device: Device, allow_pickle: bool
) -> DiffusionPipeline:
    import diffusers

    with quiet():
        pipe = diffusers.AutoPipelineForText2Image.from_pretrained(
            folder,
            variant=model.variant,
            use_safetensors=None if allow_pickle else True,
            **in_dtype(device.dtype),
        )
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
    if _is_auto(name):
        return _choose_for(device)
    return find_model(name)


def describe(pipe: DiffusionPipeline) -> Model:
    """Returns the entry of a loaded pipeline; for one not listed, what it says itself.

    So a notebook gets the size, steps and guidance that suit whatever is loaded.
    """
    address = str(pipe.name_or_path)
    try:
        model, _ = find_model(address)
    except Mistake:  # of a folder that is gone since
        model = Model(Path(address).name, address)
    if model.id in {listed.id for listed in CATALOGUE.values()}:
        return model
    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    return replace(model, size=size)


def _is_auto(name: str | os.PathLike[str]) -> bool:
    return tidy(os.fspath(name)).lower() == "auto"


def _choose_for(device: Device) -> tuple[Model, str]:
    pocket = CATALOGUE["pocket"]
    if device.type != "cuda":
        why = "it needs no graphics card, and there is no NVIDIA one here"
        if "google.colab" in sys.modules:
            why += " (Runtime > Change runtime type > T4 GPU gives one)"
        return pocket, why
    problem = hub_problem()
    if problem is None:
        return DEFAULT, "there is a graphics card, and the hub answers"
    if is_cached(DEFAULT):
        return DEFAULT, "there is a graphics card, and it was downloaded earlier"
    return pocket, f"the hub cannot be reached ({problem}), and this one is here"
