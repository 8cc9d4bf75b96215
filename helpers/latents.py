"""Pictures as latents, encoded once: what a training learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from PIL import Image


@dataclass(frozen=True)
class Latents:
    """Pictures as the VAE sees them: encoded once, drawn from at every step.

    The VAE answers with a distribution, not a point (arXiv:2112.10752), so each draw
    is a little different, as if the picture were encoded anew.

    Attributes:
        mean: (pictures, channels, height / 8, width / 8), scaled for the U-Net.
        std: The same shape.
        digest: Another one for other pictures.
    """

    mean: torch.Tensor
    std: torch.Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, picks: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draws latents, (len(picks), channels, height / 8, width / 8).

        Args:
            picks: Numbers of the pictures.
            generator: On the CPU; decides.
        """
        mean, std = self.mean[picks], self.std[picks]
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        return mean + std * noise


@torch.no_grad()
def encode(
    pipe: StableDiffusionPipeline, images: Sequence[Image.Image], flip: bool = True
) -> Latents:
    """Encodes pictures once, so that training need not do it at every step.

    Args:
        pipe: Its VAE encodes.
        images: RGB, all of one size.
        flip: Take the mirror image of each as well.
    """
    vae = pipe.vae
    pixels = pipe.image_processor.preprocess(list(images)).to(vae.device, vae.dtype)
    if flip:
        pixels = torch.cat([pixels, pixels.flip(-1)])
    each = [vae.encode(one[None]).latent_dist for one in pixels]
    factor = vae.config.scaling_factor
    mean = torch.cat([posterior.mean for posterior in each]).float()
    std = torch.cat([posterior.std for posterior in each]).float()
    digest = sha256(pixels.float().cpu().numpy().tobytes()).hexdigest()[:16]
    return Latents(mean * factor, std * factor, digest)
