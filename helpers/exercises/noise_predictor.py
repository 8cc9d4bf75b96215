"""Exercises of notebook 13, a network that finds noise."""

from __future__ import annotations

from typing import Any

import torch

from helpers.exercises.engine import ask, compare, exercise


def _static(count: int, seed: int = 0) -> torch.Tensor:
    """Pictures of nothing but noise, (count, 1, 16, 16), in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 16, 16, generator=generator, dtype=torch.float64)


def _function(pictures: torch.Tensor) -> torch.Tensor:
    """One number for each picture, in which every pixel has a say of its own."""
    weights = torch.linspace(-0.5, 1, 256, dtype=torch.float64).view(1, 1, 16, 16)
    return (weights * pictures).sum(dim=(1, 2, 3)).tanh() / 2


@exercise(
    """Ask the function twice: for the picture, and for a copy of it in which one pixel
    is larger by `nudge`. How much did its answer rise, for each unit of nudge?""",
    """
    def slope(function, picture, row, column, nudge):
        nudged = picture.clone()
        nudged[..., row, column] += nudge
        return (function(nudged) - function(picture)) / nudge""",
)
def slope(answer: Any) -> str | None:
    """A finite difference, forward or central."""
    picture, row, column, nudge = 0.1 * _static(1), 3, 12, 0.01

    def at(row: int | slice, column: int | slice, step: float) -> torch.Tensor:
        nudged = picture.clone()
        nudged[..., row, column] += step
        return _function(nudged)

    start, there = _function(picture), at(row, column, nudge)
    right = (there - start) / nudge
    central = (there - at(row, column, -nudge)) / (2 * nudge)
    everywhere = at(slice(None), slice(None), nudge)
    got = ask(answer, _function, picture, row, column, nudge)
    mistakes = {
        "nothing changed: are both calls for the same picture? Nudge a copy.": 0
        * start,
        "that is the rise itself; how much is it for each unit of nudge?": there
        - start,
        "the sign is turned: it is after minus before.": -right,
        "row and column are swapped.": (at(column, row, nudge) - start) / nudge,
        "that nudges every pixel at once; nudge one.": (everywhere - start) / nudge,
        "divide by the nudge, do not multiply.": (there - start) * nudge,
    }
    rule = "it should be the rise of the function over the nudge; yours says {got}."
    if compare(got, central, {}, "no") is None:
        return None
    return compare(got, right, mistakes, rule)


@exercise(
    """Three lines: put `sigma` times the noise on the clean pictures, ask
    `unet(noisy, sigma)`, take the mean of the squared differences from the noise.""",
    """
    def noise_loss(unet, clean, noise, sigma):
        noisy = clean + sigma * noise
        noise_pred = unet(noisy, sigma)
        return F.mse_loss(noise_pred, noise)""",
)
def noise_loss(answer: Any) -> str | None:
    """What a noise predictor is trained on: equation 14 of arXiv:2006.11239."""
    clean, noise = _static(4), _static(4, seed=1)
    sigma = torch.tensor([0.1, 0.5, 2.0, 4.0], dtype=torch.float64).view(4, 1, 1, 1)
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def unet(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return weight * noisy / (1 + sigma)

    def error(noisy: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return unet(noisy, sigma) - target

    noisy = clean + sigma * noise
    got = ask(answer, unet, clean, noise, sigma)
    right = error(noisy, noise).square().mean()
    mistakes = {
        "the noise goes onto the picture `sigma` times as large.": (
            error(clean + noise, noise).square().mean()
        ),
        "the U-Net has to find the noise: it should be asked for the noisy pictures.": (
            error(clean, noise).square().mean()
        ),
        "compare with the noise, not with the clean pictures.": (
            error(noisy, clean).square().mean()
        ),
        "compare with the noise as it was drawn, before `sigma` made it larger.": (
            error(noisy, sigma * noise).square().mean()
        ),
        "those are the differences; square them.": error(noisy, noise).abs().mean(),
        "that is the sum of the squares; take their mean.": (
            error(noisy, noise).square().sum()
        ),
        "that is the root of it; the square itself is enough.": right.sqrt(),
    }
    rule = "it should be the mean squared difference of `noise_pred` and `noise`."
    problem = compare(got, right, mistakes, rule)
    if problem is None and not getattr(got, "requires_grad", False):
        return "the number is right, but no gradient leads back: return the tensor."
    return problem


@exercise(
    """Go through `zip(sigmas, sigmas[1:])`. The noise in `x` is `sigma` times the
    prediction, and `sigma_next` times it is to stay. So how much goes?""",
    """
    def remove_noise(unet, x, sigmas):
        for sigma, sigma_next in zip(sigmas, sigmas[1:]):
            noise_pred = unet(x, sigma)
            x = x - (sigma - sigma_next) * noise_pred
        return x""",
)
def remove_noise(answer: Any) -> str | None:
    """Euler's steps down the noise levels: as in algorithm 1 of arXiv:2206.00364."""
    start = _static(2)
    sigmas = torch.tensor([4.0, 2.5, 1.0, 0.0], dtype=torch.float64)

    def unet(x: torch.Tensor, sigma: Any) -> torch.Tensor:
        return (x / (0.5 + sigma)).tanh()

    def go(share: Any, told: Any = lambda a, b: a, count: int = 3) -> torch.Tensor:
        x = start
        for a, b in [*zip(sigmas, sigmas[1:], strict=False)][:count]:
            x = x - share(a, b) * unet(x, told(a, b))
        return x

    got = ask(answer, unet, start, sigmas)
    right = go(lambda a, b: a - b)
    mistakes = {
        "that takes all of the noise at every step; only a bit of it goes.": (
            go(lambda a, b: a)
        ),
        "noise is added: the prediction has to be subtracted.": go(lambda a, b: b - a),
        "the prediction is of noise of size 1: how much of it goes at this step?": (
            go(lambda a, b: 1)
        ),
        "what stays and what goes are swapped.": go(lambda a, b: b),
        "it comes back after its first step; look where `return` stands.": (
            go(lambda a, b: a - b, count=1)
        ),
        "the U-Net is told the next `sigma`; `x` still has the noise of this one.": (
            go(lambda a, b: a - b, told=lambda a, b: b)
        ),
        "that is the static it began with: is the new `x` used?": start,
    }
    rule = "each step should take `sigma - sigma_next` times the prediction away."
    return compare(got, right, mistakes, rule)
