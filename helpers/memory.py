"""How much memory a pipeline takes, how to make it take less, how to let it go."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import torch

from helpers.device import GB, Device, find_device
from helpers.errors import Mistake, is_full

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

RESERVE_GB = 0.5  # of a card, for what is no tensor: its context, gaps between tensors

NOTHING_LEFT = (
    "The memory is full, and nothing is left to save: take fewer pictures at once, or "
    "smaller ones, or stop what else uses it."
)

# From the cheapest in time to the dearest: where the networks are, and whether the VAE
# works in tiles.
LADDER = [("off", False), ("off", True), ("model", False)]
LADDER += [("model", True), ("sequential", True)]


@dataclass(frozen=True)
class Savings:
    """What a pipeline does to take less memory, and how much it takes then.

    Attributes:
        offload: Which networks wait in the computer's memory: ``"off"`` none,
            ``"model"`` all but the one at work, ``"sequential"`` all but the layer at
            work.
        vae_tiling: The VAE works on pieces of large pictures.
        vae_slicing: It works on several pictures one after another.
        attention_slicing: Attention is computed in pieces: slower, and of use only
            where torch has no fused attention, on Apple's chips.
        needs_gb: What drawing takes at its most, in GB, computed beforehand.
        why: The reason, in a few words.
    """

    offload: str
    vae_tiling: bool
    vae_slicing: bool
    attention_slicing: bool
    needs_gb: float
    why: str

    def __str__(self) -> str:
        place = {
            "off": "all on the device",
            "model": "one network at a time on the card",
            "sequential": "one layer at a time on the card",
        }[self.offload]
        also = [
            name.replace("_", " ").replace("vae", "VAE")
            for name in ("vae_tiling", "attention_slicing")
            if getattr(self, name)
        ]
        return f"{', '.join([place, *also])}: {self.why}"


def network_sizes(pipe: DiffusionPipeline) -> dict[str, int]:
    """Bytes of the parameters of every network in a pipeline, by name."""
    return {
        name: sum(p.numel() * p.element_size() for p in network.parameters())
        for name, network in pipe.components.items()
        if isinstance(network, torch.nn.Module)
    }


def memory_in_use(device: Device) -> int:
    """Bytes in use now: tensors on a card, or the whole process on a CPU."""
    if device.type == "cpu":
        return psutil.Process().memory_info().rss
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    return getattr(torch, device.type).memory_allocated()


def unload(pipe: DiffusionPipeline) -> int:
    """Drops a pipeline's weights, even where variables still name the pipeline.

    It cannot draw afterwards, and neither can a pipeline that shares its networks.

    Returns:
        Measured bytes that the machine has back.
    """
    device = find_device()
    before = memory_in_use(device)
    pipe.remove_all_hooks()
    for name in network_sizes(pipe):
        pipe.components[name].to("meta")  # shapes stay, numbers go
    give_back()
    return max(before - memory_in_use(device), 0)


def give_back() -> None:
    """Gives the memory that nothing uses any more back to the machine."""
    from diffusers.training_utils import free_memory  # takes seconds

    free_memory()
    if sys.platform == "linux":  # whose C library keeps freed memory, unless asked
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)


def working_memory(pipe: DiffusionPipeline, size: int, count: int) -> dict[str, int]:
    """Bytes that the networks take while they work, on top of their weights.

    Counted, not guessed: ``benchmarks.memory`` follows every tensor through them.
    A VAE holds at most six times its widest map at full size; a U-Net holds 26 times
    its first map where its first block has attention, as in Stable Diffusion 1 and 2,
    and 16 times where it has none, as in SDXL.

    Args:
        pipe: The pipeline.
        size: Side of the pictures in pixels.
        count: How many pictures at once; the VAE works on one after another.
    """
    unet, vae = pipe.unet, pipe.vae
    first = unet.config.block_out_channels[0]
    spots = (size // pipe.vae_scale_factor) ** 2
    times = 26 if "CrossAttn" in unet.config.down_block_types[0] else 16
    both = 2 * count  # with and without the prompt
    widest = vae.config.block_out_channels[0]
    upcast = hasattr(pipe, "text_encoder_2") and vae.config.force_upcast  # SDXL
    return {
        "unet": both * times * first * spots * unet.dtype.itemsize,
        "vae": 6 * widest * size**2 * (4 if upcast else vae.dtype.itemsize),
    }


def memory_needed(
    pipe: DiffusionPipeline, offload: str, vae_tiling: bool, size: int, count: int
) -> float:
    """GB that drawing takes at its most, as in ``Savings``."""
    weights, at_work = network_sizes(pipe), working_memory(pipe, size, count)
    stays = sum(weights.get(name, 0) for name in pipe._exclude_from_cpu_offload)
    if vae_tiling:
        tile = min(size, pipe.vae.tile_sample_min_size)
        at_work["vae"] = working_memory(pipe, tile, count)["vae"]
        if tile < size:  # all tiles, and the picture that they are joined to
            at_work["vae"] += 2 * 3 * size**2 * pipe.vae.dtype.itemsize
    if offload == "off":
        return (sum(weights.values()) + max(at_work.values())) / GB
    if offload == "sequential":
        weights = {name: _largest_layer(pipe.components[name]) for name in weights}
    comes = weights.keys() - pipe._exclude_from_cpu_offload  # the others stay
    return (stays + max(weights[name] + at_work.get(name, 0) for name in comes)) / GB


def count_that_fits(
    pipe: DiffusionPipeline, size: int, most: int = 8, sharing: int = 1
) -> int:
    """How many pictures at once have room in what is free now: 1, 2, 4, ...

    Args:
        pipe: Loaded already, so that its weights are not counted again.
        size: Side of the pictures in pixels.
        most: No more than so many.
        sharing: So many processes share the memory.
    """
    device = find_device()
    if device.type in ("cuda", "xpu"):
        free, _ = getattr(torch, device.type).mem_get_info()
    else:
        free = psutil.virtual_memory().available
    count = 1
    while 2 * count <= most:
        takes = max(working_memory(pipe, size, 2 * count).values())
        if sharing * takes > 0.8 * free:
            break
        count *= 2
    return count


def _largest_layer(network: torch.nn.Module) -> int:
    return max(
        sum(p.numel() * p.element_size() for p in layer.parameters(recurse=False))
        for layer in network.modules()
    )


def _wishes(asked: dict[str, str]) -> dict[str, str]:
    """Every saving, as it was asked for or "auto"."""
    choices = {"offload": ["auto", "off", "model", "sequential"]}
    for name in ("vae_tiling", "vae_slicing", "attention_slicing"):
        choices[name] = ["auto", "on", "off"]
    for name, value in asked.items():
        if value not in choices.get(name, []):
            takes = ", ".join(choices.get(name, choices))
            raise Mistake("saving", f"{name} is {value!r}: take one of {takes}.")
    return {name: asked.get(name, "auto") for name in choices}


def _ladder(wish: dict[str, str], card: bool) -> Iterator[tuple[str, bool]]:
    """The steps of ``LADDER`` that there are here and that the wishes allow."""
    for offload, tiling in LADDER:
        if offload != "off" and not card:
            continue  # all is in the computer's own memory
        if card and wish["offload"] not in ("auto", offload):
            continue
        if wish["vae_tiling"] != "auto":
            tiling = wish["vae_tiling"] == "on"
        yield offload, tiling


def _why(takes: float, device: Device, wish: dict[str, str]) -> str:
    why = f"drawing needs about {takes:.2f} of {device.memory_gb:.1f} GB"
    card = device.type in ("cuda", "xpu")
    if not card and wish["offload"] in ("model", "sequential"):
        return f"{why}, and there is no card to offload from"
    return why + ", as you asked" * any(value != "auto" for value in wish.values())


def choose_savings(
    pipe: DiffusionPipeline,
    device: Device,
    *,
    size: int | None = None,
    count: int = 1,
    after: Savings | None = None,
    **asked: str,
) -> Savings:
    """Chooses the cheapest savings that suffice, without moving anything.

    https://huggingface.co/docs/diffusers/optimization/memory has all of them.

    Args:
        pipe: The pipeline.
        device: Where it is to run.
        size: Side of the pictures in pixels; None is what the model was trained for.
        count: How many pictures at once.
        after: Savings that did not suffice: only what takes less is considered.
        **asked: ``offload``: ``"auto"``, ``"off"``, ``"model"`` or ``"sequential"``;
            ``vae_tiling``, ``vae_slicing``, ``attention_slicing``: ``"auto"``,
            ``"on"`` or ``"off"``.

    Raises:
        Mistake: A saving that there is not, or nothing is left to save.
    """
    wish = _wishes(asked)
    size = size or pipe.unet.config.sample_size * pipe.vae_scale_factor
    card = device.type in ("cuda", "xpu")
    room = device.memory_gb - (RESERVE_GB if card else 0)
    options = [
        (offload, tiling, memory_needed(pipe, offload, tiling, size, count))
        for offload, tiling in _ladder(wish, card)
    ]
    if after is not None:
        before = memory_needed(pipe, after.offload, after.vae_tiling, size, count)
        options = [option for option in options if option[2] < before]
    if not options:
        raise Mistake("memory full", NOTHING_LEFT)
    enough = [option for option in options if option[2] <= room]
    offload, tiling, takes = (enough or options[-1:])[0]
    wanted = ("on", "auto") if device.type == "mps" else ("on",)
    return Savings(
        offload,
        tiling,
        vae_slicing=wish["vae_slicing"] != "off",  # costs nothing
        attention_slicing=wish["attention_slicing"] in wanted,
        needs_gb=takes,
        why=_why(takes, device, wish),
    )


def apply_savings(pipe: DiffusionPipeline, device: Device, **wishes: Any) -> Savings:
    """Moves a pipeline to a device with the savings that it needs there.

    Where others use the device too, so that it has no room, the next saving is taken.

    Args:
        pipe: The pipeline; a second call undoes what the first one chose.
        device: Where it shall run.
        **wishes: As in ``choose_savings``.

    Raises:
        Mistake: As in ``choose_savings``.
    """
    chosen = choose_savings(pipe, device, **wishes)
    try:
        _move(pipe, device, chosen)
    except RuntimeError as error:
        if not is_full(error):
            raise
    else:
        return chosen
    give_back()
    return apply_savings(pipe, device, **wishes | {"after": chosen})


def _move(pipe: DiffusionPipeline, device: Device, chosen: Savings) -> None:
    pipe.remove_all_hooks()  # of an earlier offload, which would undo the next line
    if chosen.offload == "model":
        pipe.enable_model_cpu_offload(device=device.type)
    elif chosen.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device.type)
    else:
        pipe.to(device.type)
    vae = pipe.vae
    (vae.enable_slicing if chosen.vae_slicing else vae.disable_slicing)()
    (vae.enable_tiling if chosen.vae_tiling else vae.disable_tiling)()
    pipe.enable_attention_slicing("auto" if chosen.attention_slicing else None)
