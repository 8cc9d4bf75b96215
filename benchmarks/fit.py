"""What fits where: ``python -m benchmarks.fit``.

Builds Stable Diffusion 1.5 and SDXL from their published configurations with random
weights, and prints for each plan of ``helpers.memory`` what it says drawing needs and
what drawing takes. On a card that is the measured peak, under a T4's limit of 14.7 GiB.
Without one, every tensor of a run without numbers is followed instead, which
says nothing about the card's own overhead; and the largest run that the computer's own
memory allows is measured, in float32.

The configurations are those of https://huggingface.co/stable-diffusion-v1-5 and of
stabilityai/stable-diffusion-xl-base-1.0.
"""

import argparse
import resource
import time
import weakref
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.training_utils import cast_training_params
from peft import LoraConfig
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from helpers.device import GIB, Device, find_device
from helpers.memory import LADDER, fit, free, need, plan, sizes, work
from pocket.architecture import MODEL_DIR

T4 = Device("cuda", "Tesla T4", 14.7, torch.float16)
FULL_SIZE = {"Stable Diffusion 1.5": 512, "SDXL": 1024}  # and the side it draws
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}


def build(
    name: str, device: str, dtype: torch.dtype = torch.float16
) -> DiffusionPipeline:
    """A model of ``FULL_SIZE`` with random weights; on ``"meta"`` without any."""
    tokenizer = CLIPTokenizer.from_pretrained(MODEL_DIR / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            networks: dict[str, torch.nn.Module] = {
                "text_encoder": CLIPTextModel(CLIPTextConfig(**CLIP_L)),
                "vae": AutoencoderKL(**VAE, sample_size=FULL_SIZE[name]),
            }
            if name == "SDXL":
                clip_g = CLIPTextConfig(**CLIP_G)
                networks["text_encoder_2"] = CLIPTextModelWithProjection(clip_g)
                networks["unet"] = UNet2DConditionModel(**SDXL_UNET)
            else:
                networks["unet"] = UNet2DConditionModel(
                    sample_size=64, cross_attention_dim=768
                )
    finally:
        torch.set_default_dtype(before)
    if device != "meta":
        for network in networks.values():
            network.to_empty(device=device)
            for weight in network.parameters():
                torch.nn.init.normal_(weight, std=0.02)
            for buffer_name, buffer in network.named_buffers():
                if buffer_name.endswith("position_ids"):
                    buffer.copy_(torch.arange(buffer.shape[-1]))
    parts = {"tokenizer": tokenizer, "scheduler": scheduler} | networks
    if name == "SDXL":
        return StableDiffusionXLPipeline(**parts, tokenizer_2=tokenizer)
    return StableDiffusionPipeline(
        **parts,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


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


class Fused(TorchFunctionMode):
    """Puts it in place of torch's, which builds the table on ``"meta"``."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            names = ("query", "key", "value")
            return Attention.apply(
                *args[:3], *(kwargs[n] for n in names if n in kwargs)
            )
        return func(*args, **kwargs)


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and keeps the most."""

    def __init__(self, weights: torch.nn.Module) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in weights.parameters():
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
    """What ``helpers.memory.work`` says, counted: one picture, with guidance."""
    unet, side = pipe.unet, size // pipe.vae_scale_factor
    kind = {"dtype": unet.dtype, "device": "meta"}
    more: dict[str, Any] = {}
    if hasattr(pipe, "text_encoder_2"):
        texts, ids = torch.empty(2, 1280, **kind), torch.empty(2, 6, **kind)
        more["added_cond_kwargs"] = {"text_embeds": texts, "time_ids": ids}
    embeddings = torch.empty(2, 77, unet.config.cross_attention_dim, **kind)
    with Fused(), Peak(unet) as in_unet:
        unet(torch.empty(2, 4, side, side, **kind), 999, embeddings, **more)
    if hasattr(pipe, "upcast_vae"):
        pipe.vae.to(torch.float32)  # as SDXL's pipeline does
        kind["dtype"] = torch.float32
    with Fused(), Peak(pipe.vae) as in_vae:
        pipe.vae.decode(torch.empty(1, 4, side, side, **kind))
    return {"unet": in_unet.most, "vae": in_vae.most}


def followed_training(lora: bool, batch: int) -> float:
    """GiB that a step of notebook 05 or 06 takes on Stable Diffusion 1.5 at 512.

    Args:
        lora: Of rank 16 on the layers of notebook 06; else one row of the table.
        batch: Pictures at once, those of the kind included.
    """
    pipe = build("Stable Diffusion 1.5", "meta")
    unet, kind = pipe.unet.requires_grad_(False), {"device": "meta"}
    embeddings = torch.empty(batch, 77, 768, dtype=unet.dtype, **kind)
    if lora:
        layers = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
        layers += ["conv1", "conv2"]
        unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=layers))
        cast_training_params(unet)
    else:
        embeddings.requires_grad_()
    learned = sum(p.numel() for p in unet.parameters() if p.requires_grad)
    noisy = torch.empty(batch, 4, 64, 64, dtype=unet.dtype, **kind)
    times = torch.empty(batch, **kind)
    with Fused(), Peak(unet) as peak:
        noise_pred = unet(noisy, times, embeddings).sample.float()
        F.mse_loss(noise_pred, torch.empty_like(noise_pred)).backward()
    adam = 2 * 4 * learned  # two means; the gradients are counted
    return (sum(sizes(pipe).values()) + peak.most + adam) / GIB


def table_of_training() -> None:
    """What training needs, every tensor counted; nothing is computed twice."""
    print("\n| training Stable Diffusion 1.5 at 512, float16 | pictures | counted GB |")
    print("|---|---|---|")
    for name, lora in (("textual inversion", False), ("DreamBooth-LoRA", True)):
        for batch in (1, 2, 4, 8):
            print(f"| {name} | {batch} | {followed_training(lora, batch):.2f} |")


def table_of_counts() -> None:
    """What the formulas say against what was counted."""
    print("| float16, one picture with guidance | size | computed | counted |")
    print("|---|---|---|---|")
    for name, usual in FULL_SIZE.items():
        for size in sorted({512, 768, usual}):
            pipe = build(name, "meta")
            computed, counted = work(pipe, size, 1), followed(pipe, size)
            for part in counted:
                both = (f"{x[part] / 2**20:,.0f} MB" for x in (computed, counted))
                print(f"| {name}, {part} | {size} | {' | '.join(both)} |")


def table_of_plans(device: Device) -> None:
    """The need of every plan, and what it really takes where there is a card."""
    on_card = torch.cuda.is_available()
    if on_card:  # no more than a T4 has
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, T4.memory_gb * GIB / total))
    print(
        f"\n| {device}, float16 | computed GB | measured GB | seconds a step | chosen |"
    )
    print("|---|---|---|---|---|")
    for name, size in FULL_SIZE.items():
        pipe = build(name, "meta")
        chosen = plan(pipe, device)
        for offload, tiling in LADDER:
            computed = need(pipe, offload, tiling, size, 1)
            measured, spent = "-", "-"
            if on_card:
                measured, spent = measure(name, device, offload, tiling)
            mine = (offload, tiling) == (chosen.offload, chosen.vae_tiling)
            label = f"{name}, offload {offload}{', tiling' if tiling else ''}"
            print(f"| {label} | {computed:.2f} | {measured} | {spent} | {'x' * mine} |")


def measure(
    name: str, device: Device, offload: str, tiling: bool, steps: int = 10
) -> tuple[str, str]:
    """Peak and seconds of a picture on the card, or that there was no room."""
    pipe = build(name, "cpu")
    pipe.set_progress_bar_config(disable=True)
    try:
        fit(pipe, device, offload=offload, vae_tiling="on" if tiling else "off")
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        pipe("a hippo", num_inference_steps=steps, output_type="np")
    except torch.cuda.OutOfMemoryError:
        return "no room", "-"
    else:
        peak = torch.cuda.max_memory_allocated() / GIB
        return f"{peak:.2f}", f"{(time.perf_counter() - start) / steps:.2f}"
    finally:
        free(pipe)


def on_this_computer(name: str) -> None:
    """Draws at full size with random weights in the computer's own memory."""
    pipe = build(name, "cpu", torch.float32)
    pipe.set_progress_bar_config(disable=True)
    device, size = find_device(), FULL_SIZE[name]
    chosen = fit(pipe, device, size=size)
    weights = sum(sizes(pipe).values()) / GIB
    start = time.perf_counter()
    pipe("a hippo", num_inference_steps=1, output_type="np")
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(f"\n{name} in float32 on {device}: {chosen}.")
    print(f"weights {weights:.2f} GB, peak of the process {peak:.2f} GB, {spent:.0f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draw", choices=FULL_SIZE, help="also draw here, in float32")
    options = parser.parse_args()
    table_of_counts()
    table_of_training()
    device = find_device()
    table_of_plans(device if device.type == "cuda" else T4)
    if device.type != "cuda":
        print("\nNo card here: nothing on it was measured.")
    if options.draw:
        on_this_computer(options.draw)


if __name__ == "__main__":
    main()
