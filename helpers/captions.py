"""Which words fit a picture: the U-Net that is to draw them decides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import torch

from helpers.device import find_device
from helpers.latents import encode

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from PIL import Image

TIMESTEPS = (350, 650, 950)  # little noise, more, and hardly anything else
SHOWS_AT = {  # with how much noise each part of a caption is told apart best
    "subject": (250, 350, 450),
    "place": TIMESTEPS,
    "style": (150, 250, 350),
    "all": (250, 350, 450, 950),
}
KEPT = 2  # of each part of a caption, for the last round
MANY = 32  # captions: of more than that most are dropped after one look


@torch.no_grad()
def errors(
    pipe: StableDiffusionPipeline,
    picture: Image.Image,
    captions: Sequence[str],
    timesteps: Sequence[int] = TIMESTEPS,
    seed: int = 0,
    batch_size: int = 16,
) -> torch.Tensor:
    """How far off the U-Net is about the noise on a picture, caption by caption.

    The noise is the same for all captions, so what differs are the captions (Li et al.,
    "Your Diffusion Model is Secretly a Zero-Shot Classifier", arXiv:2303.16203).

    Args:
        pipe: Its U-Net predicts the noise.
        picture: RGB, of the size that the model draws.
        captions: What may be said of the picture.
        timesteps: How much noise, 0 to 999; one look at each.
        seed: Of the noise.
        batch_size: Captions at once.

    Returns:
        Mean squared errors, (looks, captions), on the CPU.
    """
    device, unet = find_device().type, pipe.unet
    generator = torch.Generator("cpu").manual_seed(seed)
    latents = encode(pipe, [picture], flip=False).mean.cpu()  # (1, 4, h / 8, w / 8)
    noises = [torch.randn(latents.shape, generator=generator) for _ in timesteps]
    rows = []
    for begin in range(0, len(captions), batch_size):
        some = list(captions[begin : begin + batch_size])
        said = pipe.encode_prompt(some, device, 1, False)[0]  # (captions, 77, width)
        looks = []
        for t, noise in zip(timesteps, noises, strict=True):
            alpha_bar = pipe.scheduler.alphas_cumprod[t].cpu()
            noisy = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
            noisy = noisy.to(device, unet.dtype).expand(len(some), -1, -1, -1)
            off = unet(noisy, t, said).sample.float().cpu() - noise
            looks.append(off.square().mean((1, 2, 3)))
        rows.append(torch.stack(looks))
    return torch.cat(rows, 1)


def rank(
    pipe: StableDiffusionPipeline,
    picture: Image.Image,
    captions: Sequence[str],
    timesteps: Sequence[int] = TIMESTEPS,
    seed: int = 0,
) -> list[tuple[str, float]]:
    """Captions of a picture, the best first, each with its error.

    Each look counts alike: its errors are shares of their mean over all captions, since
    where there is little noise they are a hundred times as large.

    Args:
        pipe: As for ``errors``, and so below.
        picture: RGB, of the size that the model draws.
        captions: What may be said of it.
        timesteps: How much noise, 0 to 999; one look at each.
        seed: Of the noise.

    Returns:
        Pairs of a caption and its error, below 1 for those better than the mean.
    """
    off = errors(pipe, picture, captions, timesteps, seed)
    share = (off / off.mean(1, keepdim=True)).mean(0).tolist()
    return sorted(zip(captions, share, strict=True), key=lambda pair: pair[1])


def write(
    pipe: StableDiffusionPipeline,
    picture: Image.Image,
    subjects: Sequence[str],
    places: Sequence[str],
    styles: Sequence[str],
    seed: int = 0,
) -> list[tuple[str, float]]:
    """Writes captions of a picture, part by part, the best first.

    First the subject, with all else unsaid; then the place and the style of the best
    one; then the subject again, with these said. The best two of each are then tried
    together. Of a long list one look leaves an eighth.

    Args:
        pipe: As for ``errors``.
        picture: RGB, of the size that the model draws.
        subjects: Such as "a fox".
        places: Such as "in the snow".
        styles: Such as "a watercolour of".
        seed: Of the noise.

    Returns:
        As ``rank``; a caption reads "a watercolour of a fox in the snow".
    """

    def best(part: str, ways: list[str]) -> list[int]:
        left, timesteps = list(ways), SHOWS_AT[part]
        if len(ways) > MANY:
            (off,) = errors(pipe, picture, ways, timesteps[1:2], seed)
            left = [ways[i] for i in off.argsort()[: len(ways) // 8]]
        order = rank(pipe, picture, left, timesteps, seed)
        return [ways.index(way) for way, _ in order[:KEPT]]

    who = subjects[best("subject", list(subjects))[0]]
    where = [places[i] for i in best("place", [f"{who} {place}" for place in places])]
    ways = [f"{style} {who} {where[0]}" for style in styles]
    how = [styles[i] for i in best("style", ways)]
    ways = [f"{how[0]} {subject} {where[0]}" for subject in subjects]
    again = [subjects[i] for i in best("subject", ways)]
    together = [" ".join(parts) for parts in product(how, again, where)]
    return rank(pipe, picture, together, SHOWS_AT["all"], seed)
