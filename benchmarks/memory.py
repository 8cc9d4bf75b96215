"""What fits where: ``python -m benchmarks.memory``.

Builds Stable Diffusion 1.5 and SDXL from their published configurations with random
weights, and prints what drawing and training need: as ``helpers.memory`` computes it,
as it is counted by following every tensor of a run without numbers, and, on a card, as
the peak that was measured under a T4's limit of 15.8 GB. With ``--here`` the
computer's own memory is measured as well, in float32.

Memory is counted in GB of 10^9 bytes.
"""

import argparse
import gc
import multiprocessing
import resource
import time
import weakref
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import psutil
import torch
from diffusers import DiffusionPipeline
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.device import GB, Device, find_device
from helpers.errors import Mistake, is_full
from helpers.latents import Latents
from helpers.memory import (
    LADDER,
    apply_savings,
    choose_savings,
    memory_needed,
    network_sizes,
    working_memory,
)
from helpers.training import Training, save_memory
from tools.full_size import FULL_SIZE, build

T4 = Device("cuda", "Tesla T4", 15.8, torch.float16)

# Following tensors that hold no numbers


class Attention(torch.autograd.Function):
    """Attention as a card computes it: in one go, without a table of all pairs."""

    @staticmethod
    def forward(ctx, query, key, value):
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx, *grads):
        return tuple(map(torch.empty_like, ctx.saved_tensors[:3]))


def fused(query, key, value, *args, **kwargs):
    """Stands for torch's, which builds the table on ``"meta"``."""
    return Attention.apply(query, key, value)


FUSED = patch.object(F, "scaled_dot_product_attention", fused)


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and keeps the most."""

    def __init__(self, pipe: DiffusionPipeline) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for name in network_sizes(pipe):
            for tensor in pipe.components[name].parameters():
                self.known.add(tensor.untyped_storage())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.known:
                    self.known.add(storage)
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._gone, storage.nbytes())
        return out

    def _gone(self, size: int) -> None:
        self.now -= size


@torch.no_grad()
def followed(pipe: DiffusionPipeline, size: int) -> dict[str, int]:
    """What ``working_memory`` says, counted: one picture, with guidance."""
    unet, side = pipe.unet, size // pipe.vae_scale_factor
    kind = {"dtype": unet.dtype, "device": "meta"}
    more: dict[str, Any] = {}
    if hasattr(pipe, "text_encoder_2"):
        texts, ids = torch.empty(2, 1280, **kind), torch.empty(2, 6, **kind)
        more["added_cond_kwargs"] = {"text_embeds": texts, "time_ids": ids}
    embeddings = torch.empty(2, 77, unet.config.cross_attention_dim, **kind)
    with FUSED, Peak(pipe) as in_unet:
        unet(torch.empty(2, 4, side, side, **kind), 999, embeddings, **more)
    if hasattr(pipe, "text_encoder_2"):
        pipe.vae.float()  # as SDXL's pipeline does
        kind["dtype"] = torch.float32
    with FUSED, Peak(pipe) as in_vae:
        pipe.vae.decode(torch.empty(1, 4, side, side, **kind))
    return {"unet": in_unet.most, "vae": in_vae.most}


def begin_training(
    pipe: DiffusionPipeline, lora: bool, recompute: bool
) -> dict[str, torch.nn.Parameter]:
    """What notebook 06 trains, by name, or with ``lora=False`` notebook 05."""
    for name in network_sizes(pipe):
        pipe.components[name].requires_grad_(False)
    if recompute:
        pipe.unet.train().enable_gradient_checkpointing()
    if lora:
        layers = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
        layers += ["conv1", "conv2"]
        adapter = LoraConfig(r=16, lora_alpha=16, target_modules=layers)
        pipe.unet.add_adapter(adapter)
        cast_training_params(pipe.unet)
        return {n: p for n, p in pipe.unet.named_parameters() if p.requires_grad}
    table = pipe.text_encoder.get_input_embeddings()
    row = torch.nn.Parameter(torch.zeros(table.embedding_dim, device=pipe.device))
    table.register_forward_hook(lambda table, ids, rows: rows + row.to(rows.dtype))
    return {"row": row}


def loss_of(pipe: DiffusionPipeline, lora: bool, batch: int) -> torch.Tensor:
    """The loss of one step at 512 pixels, as the notebook computes it."""
    unet, kind = pipe.unet, {"device": pipe.device}
    ids = torch.zeros(batch, 77, dtype=torch.long, **kind)
    with torch.set_grad_enabled(not lora):
        text_embeddings = pipe.text_encoder(ids)[0]
    noise = torch.randn(batch, 4, 64, 64, **kind)
    t = torch.full((batch,), 500, **kind)
    noise_pred = unet(noise.to(unet.dtype), t, text_embeddings).sample
    return F.mse_loss(noise_pred.float(), noise)


def followed_training(
    lora: bool, batch: int, recompute: bool, dtype: torch.dtype = torch.float16
) -> float:
    """GB that training Stable Diffusion 1.5 takes, as ``begin_training``."""
    pipe = build("Stable Diffusion 1.5", "meta", dtype)
    learned = begin_training(pipe, lora, recompute).values()
    with FUSED, Peak(pipe) as peak:
        loss_of(pipe, lora, batch).backward()
    adam = 2 * 4 * sum(p.numel() for p in learned)  # two means; gradients are counted
    return (sum(network_sizes(pipe).values()) + peak.most + adam) / GB


def train(lora: bool, batch: int, recompute: bool, device: Device, steps: int) -> float:
    """Trains Stable Diffusion 1.5 of random weights; returns seconds a step."""
    pipe = build("Stable Diffusion 1.5", device.type, device.dtype)
    learned = begin_training(pipe, lora, recompute)
    rarely = patch("helpers.training.SECONDS_BETWEEN_SAVES", 10**6)
    with TemporaryDirectory() as folder, rarely:
        settings = {"steps": steps + 2, "learning_rate": 1e-6}
        training = Training(learned, Path(folder) / "checkpoint", **settings)
        began = []
        for _ in training:
            began.append(time.perf_counter())
            training.learn(loss_of(pipe, lora, batch))
        return (began[-1] - began[1]) / steps  # the first warms up, the last is saved


def table_of_training(device: Device) -> None:
    """What training needs, counted, and on a card measured."""
    print(
        f"\n| training Stable Diffusion 1.5 at 512, {device}, float16 | pictures "
        "| counted GB | measured GB | seconds a step | chosen |"
    )
    print("|---|---|---|---|---|---|")
    unet = build("Stable Diffusion 1.5", "meta").unet
    one = torch.empty(1, 4, 64, 64, device="meta")
    for name, lora in (("textual inversion", False), ("DreamBooth-LoRA", True)):
        for batch in (1, 2, 4, 8):
            with redirect_stdout(None):
                chosen = save_memory(unet, Latents(one, one, ""), batch, device)
            for recompute in (False, True):
                counted = followed_training(lora, batch, recompute)
                measured, seconds = "-", "-"
                if torch.cuda.is_available():
                    how = partial(train, lora, batch, recompute, device, steps=10)
                    measured, seconds = on_card(how)
                label = f"{name}{', computed twice' * recompute}"
                print(
                    f"| {label} | {batch} | {counted:.2f} | {measured} | {seconds} "
                    f"| {'x' * (chosen == recompute)} |"
                )


def table_of_counts() -> None:
    """What the formulas say against what was counted."""
    print("| float16, one picture with guidance | size | computed | counted |")
    print("|---|---|---|---|")
    for name, usual in FULL_SIZE.items():
        for size in sorted({512, 768, usual}):
            pipe = build(name, "meta")
            computed, counted = working_memory(pipe, size, 1), followed(pipe, size)
            for part in counted:
                both = (f"{x[part] / 1e6:,.0f} MB" for x in (computed, counted))
                print(f"| {name}, {part} | {size} | {' | '.join(both)} |")


def table_of_savings(device: Device) -> None:
    """What all savings need, and what they really take where there is a card."""
    print(
        f"\n| {device}, float16, 10 steps | computed GB | measured GB | seconds "
        "| chosen |"
    )
    print("|---|---|---|---|---|")
    for name, size in FULL_SIZE.items():
        pipe = build(name, "meta")
        chosen = choose_savings(pipe, device)
        for offload, tiling in LADDER:
            computed = memory_needed(pipe, offload, tiling, size, 1)
            measured, seconds = "-", "-"
            if torch.cuda.is_available():
                how = partial(draw, name, device, offload, tiling)
                measured, seconds = on_card(how)
            mine = (offload, tiling) == (chosen.offload, chosen.vae_tiling)
            label = f"{name}, offload {offload}{', tiling' if tiling else ''}"
            print(
                f"| {label} | {computed:.2f} | {measured} | {seconds} | {'x' * mine} |"
            )


def draw(
    name: str, device: Device, offload: str, tiling: bool, steps: int = 10
) -> float:
    """Draws a picture with random weights; returns its seconds."""
    pipe = build(name, "cpu", device.dtype)
    pipe.set_progress_bar_config(disable=True)
    apply_savings(pipe, device, offload=offload, vae_tiling="on" if tiling else "off")
    if device.type != "cpu":  # warms up
        pipe("a hippo", num_inference_steps=1, output_type="np")
    start = time.perf_counter()
    pipe("a hippo", num_inference_steps=steps, output_type="np")
    return time.perf_counter() - start


def on_card(how: Callable[[], float]) -> tuple[str, str]:
    """Peak and seconds of what runs on the card, or that there was no room."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        seconds = how()
    except (RuntimeError, Mistake) as error:
        if isinstance(error, RuntimeError) and not is_full(error):
            raise
        return "no room", "-"
    return f"{torch.cuda.max_memory_allocated() / GB:.2f}", f"{seconds:.2f}"


def here(how: Callable[[], float]) -> tuple[float, float]:
    """GB that something takes of a process's memory at its most, and its result."""
    before = psutil.Process().memory_info().rss
    result = how()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (peak - before) / GB, result


def table_here() -> None:
    """Predicted and measured in the computer's own memory, each in a fresh process."""
    device = replace(find_device(), type="cpu", dtype=torch.float32)
    runs = []
    for name, size in FULL_SIZE.items():
        pipe = build(name, "meta", torch.float32)
        predicted = memory_needed(pipe, "off", False, size, 1)
        how = partial(draw, name, device, "off", False, steps=1)
        runs.append((f"{name}, a picture of one step at {size}", predicted, how))
    for name, lora in (("textual inversion", False), ("DreamBooth-LoRA", True)):
        for recompute in (False, True):
            predicted = followed_training(lora, 1, recompute, torch.float32)
            how = partial(train, lora, 1, recompute, device, steps=2)
            label = f"{name}, a step with one picture{', computed twice' * recompute}"
            runs.append((label, predicted, how))
    print("\n| float32, on the CPU | predicted GB | measured GB | seconds |")
    print("|---|---|---|---|")
    spawn = multiprocessing.get_context("spawn")
    for label, predicted, how in runs:
        measured, seconds = "no room", "-"
        if predicted * GB < 0.9 * psutil.virtual_memory().available:
            with spawn.Pool(1) as process:
                peak, spent = process.apply(here, (how,))
            measured, seconds = f"{peak:.2f}", f"{spent:.1f}"
        print(f"| {label} | {predicted:.2f} | {measured} | {seconds} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--here", action="store_true", help="measure in float32 on the CPU, too"
    )
    options = parser.parse_args()
    device = find_device()
    if device.type == "cuda":  # no more than a T4 has
        part = T4.memory_gb / device.memory_gb
        torch.cuda.set_per_process_memory_fraction(min(1.0, part))
        device = replace(device, memory_gb=min(T4.memory_gb, device.memory_gb))
    else:
        print("No card here: nothing on it is measured.\n")
        device = T4
    if options.here:  # first: a process begins with the peak of the one it comes from
        table_here()
    table_of_counts()
    table_of_savings(device)
    table_of_training(device)


if __name__ == "__main__":
    main()
