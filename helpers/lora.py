"""LoRA on a U-Net: what learns, its loss, its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, UNet2DConditionModel

LAYERS = ["to_q", "to_k", "to_v", "to_out.0"]  # attention
LAYERS += ["ff.net.0.proj", "ff.net.2"]  # the small network behind it
LAYERS += ["conv1", "conv2"]  # the blocks between
MOST = 8  # times that an error counts, however little is left of the picture


def add_lora(
    unet: UNet2DConditionModel, name: str, rank: int, alpha: float
) -> dict[str, torch.nn.Parameter]:
    """Puts a new LoRA beside the matrices of a U-Net, and lets nothing else learn.

    It begins at random, and the same each time.

    Args:
        unet: What is to learn. LoRAs that it has already are taken out.
        name: Of the LoRA.
        rank: Rows of ``A`` and columns of ``B``.
        alpha: What is learned counts ``alpha / rank`` times.

    Returns:
        The thin matrices by name, in float32 on any machine.
    """
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    if getattr(unet, "peft_config", None):
        unet.unload_lora()
    unet.requires_grad_(False)
    torch.manual_seed(0)
    lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules=LAYERS)
    unet.add_adapter(lora, name)
    cast_training_params(unet)
    return {name: p for name, p in unet.named_parameters() if p.requires_grad}


def noise_loss(
    unet: UNet2DConditionModel,
    scheduler: DDPMScheduler,
    clean: torch.Tensor,
    text_embeddings: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """How far a U-Net is off the noise on some pictures: a mean squared error.

    It is over ``alpha_bar``, the signal's share, which makes it the error of ``v``
    (Salimans and Ho, arXiv:2202.00512): where there is hardly a picture left, a small
    error of the noise is a large one of the picture, and colours are settled there.

    Args:
        unet: Predicts the noise.
        scheduler: Adds it, as where the U-Net was trained.
        clean: Latents, (batch, 4, height / 8, width / 8).
        text_embeddings: (batch, 77, width).
        generator: On the CPU; decides noise and timesteps.
    """
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    t = torch.randint(1000, (len(clean),), generator=generator).to(clean.device)
    noisy = scheduler.add_noise(clean, noise, t).to(unet.dtype)
    noise_pred = unet(noisy, t, text_embeddings).sample.float()
    errors = F.mse_loss(noise_pred, noise, reduction="none").mean((1, 2, 3))
    alpha_bar = scheduler.alphas_cumprod.to(errors)[t]
    return (errors / alpha_bar.clamp(min=1 / MOST)).mean()


def save_lora(unet: UNet2DConditionModel, name: str, folder: str | Path) -> Path:
    """Writes a LoRA in the library's form, with its alpha; returns the file."""
    from diffusers import StableDiffusionPipeline
    from peft import get_peft_model_state_dict

    folder = Path(folder)
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet, adapter_name=name),
        unet_lora_adapter_metadata=unet.peft_config[name].to_dict(),
    )
    return folder / "pytorch_lora_weights.safetensors"
