"""How much memory a pipeline takes, how to make it take less, how to let it go."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import TYPE_CHECKING

import psutil
import torch

from helpers.device import GIB, Device, find_device

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

WORKING_GIB = 2.0  # on top of the weights, to draw 512x512 in float16; rounded up


def sizes(pipe: DiffusionPipeline) -> dict[str, int]:
    """Bytes of the parameters of every network in a pipeline, by name."""
    return {
        name: sum(p.numel() * p.element_size() for p in network.parameters())
        for name, network in pipe.components.items()
        if isinstance(network, torch.nn.Module)
    }


def used(device: Device) -> int:
    """Bytes in use now: tensors on a card, or the whole process on a CPU."""
    if device.type == "cpu":
        return psutil.Process().memory_info().rss
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    return getattr(torch, device.type).memory_allocated()


def free(pipe: DiffusionPipeline) -> int:
    """Drops a pipeline's weights, even where variables still name the pipeline.

    It cannot draw afterwards, and neither can a pipeline that shares its networks.

    Returns:
        Measured bytes that the machine has back.
    """
    device = find_device()
    before = used(device)
    pipe.remove_all_hooks()
    for name in sizes(pipe):
        pipe.components[name].to("meta")  # shapes stay, numbers go
    gc.collect()
    if device.type != "cpu":
        getattr(torch, device.type).empty_cache()
    elif sys.platform == "linux":  # whose C library keeps freed memory, unless asked
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
    return max(before - used(device), 0)


def plan(
    pipe: DiffusionPipeline,
    device: Device,
    *,
    offload: str = "auto",
    vae_slicing: str = "auto",
    attention_slicing: str = "auto",
) -> dict[str, tuple[bool, str]]:
    """Chooses the savings that a pipeline needs on a device, without moving anything.

    The measured weights, plus room to work in, decide about the first; see
    https://huggingface.co/docs/diffusers/optimization/memory for all three.

    Args:
        pipe: The pipeline.
        device: Where it is to run.
        offload: Keep on the card only the network at work: ``"auto"``, ``"on"`` or
            ``"off"``, here and below.
        vae_slicing: Decode several pictures one after another.
        attention_slicing: Compute attention in pieces. It is slower, and saves
            memory only where torch has no fused attention: on Apple's chips.

    Returns:
        For each saving, whether it is on, and why.

    Raises:
        ValueError: A saving is neither ``"auto"`` nor ``"on"`` nor ``"off"``.
    """
    asked = {
        "offload": offload,
        "vae_slicing": vae_slicing,
        "attention_slicing": attention_slicing,
    }
    need = sum(sizes(pipe).values()) / GIB + WORKING_GIB
    measured = f"needs about {need:.1f} of {device.memory_gb:.1f} GB"
    best = {
        "offload": (need > device.memory_gb, measured),
        "vae_slicing": (True, "costs nothing, helps with several pictures at once"),
        "attention_slicing": (device.type == "mps", "helps on Apple's chips only"),
    }
    for name, value in asked.items():
        if value not in ("auto", "on", "off"):
            raise ValueError(f"{name} is {value!r}: take 'auto', 'on' or 'off'.")
        if value != "auto":
            best[name] = (value == "on", "you asked for it")
    if device.type not in ("cuda", "xpu"):
        best["offload"] = (False, "no card here: all is in the computer's own memory")
    return best


def fit(pipe: DiffusionPipeline, device: Device, **savings: str) -> dict[str, str]:
    """Moves a pipeline to a device with the savings that it needs there.

    Args:
        pipe: The pipeline; a second call undoes what the first one chose.
        device: Where it shall run.
        **savings: As in ``plan``.

    Returns:
        For each saving, ``"on"`` or ``"off"`` and why.
    """
    chosen = plan(pipe, device, **savings)
    on = {name: wanted for name, (wanted, _) in chosen.items()}
    pipe.remove_all_hooks()  # of an earlier offload, which would undo the next line
    if on["offload"]:
        pipe.enable_model_cpu_offload(device=device.type)
    else:
        pipe.to(device.type)
    if on["vae_slicing"]:
        pipe.vae.enable_slicing()
    else:
        pipe.vae.disable_slicing()
    pipe.enable_attention_slicing("auto" if on["attention_slicing"] else None)
    return {
        name: f"{'on' if wanted else 'off'}: {why}"
        for name, (wanted, why) in chosen.items()
    }
