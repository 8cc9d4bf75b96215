"""Exercises of notebook 14, the autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from helpers.exercises.engine import ask, compare, exercise


def _made_up(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _unfit(answer: Callable, *arguments: torch.Tensor) -> str | None:
    """Says so where a right answer would spoil what comes after it in the notebook."""
    copies = [argument.clone() for argument in arguments]
    answer(*copies)
    if not all(map(torch.equal, copies, arguments)):
        return (
            "right, but it changes the tensors that it is given, and the next cells "
            "need them: make new ones."
        )
    return None


def _no_gradient(answer: Callable) -> str | None:
    """Says so where a training could not learn through a mean and a log variance."""
    given = torch.zeros(2, 8, 8, 8, requires_grad=True)
    try:
        answer(*(given * 1).chunk(2, dim=1)).sum().backward()
    except Exception:  # noqa: BLE001 - an answer may be anything
        return "right, but no gradient finds its way through: use torch's functions."
    return None


@exercise(
    """The deviation is the square root of the variance, and half of a logarithm is that
    of a square root: `torch.exp(log_variance / 2)`.""",
    """
    def draw_latents(mean, log_variance, noise):
        return mean + torch.exp(log_variance / 2) * noise""",
)
def draw_latents(answer: Any) -> str | None:
    """Latents drawn from a mean and a log variance."""
    mean, log_variance, noise = (_made_up(2, 4, 8, 8, seed=seed) for seed in range(3))
    std = torch.exp(log_variance / 2)
    mistakes = {
        "that is the variance; the deviation is its square root.": (
            mean + std**2 * noise
        ),
        "that is a logarithm still: its exponential is the variance.": (
            mean + log_variance * noise
        ),
        "half of a logarithm is one still: take its exponential.": (
            mean + log_variance / 2 * noise
        ),
        "every draw would be the same: the deviation is how much noise.": mean + std,
        "that is drawn around 0; the mean says around what.": std * noise,
        "the noise comes as large as it is given, whatever the variance.": mean + noise,
        "the variance has no say: the deviation is how much noise.": mean,
    }
    rule = "it should be the mean, plus the deviation times the noise that is given."
    got = ask(answer, mean, log_variance, noise)
    problem = compare(got, mean + std * noise, mistakes, rule)
    return (
        problem
        or _unfit(answer, mean, log_variance, noise)
        or _no_gradient(lambda *halves: answer(*halves, noise))
    )


@exercise(
    """Two terms: `F.mse_loss(decoded, pictures)`, and the mean over all latents of the
    KL formula above, which has a half in front. Only the second is weighed.""",
    """
    def vae_loss(pictures, decoded, mean, log_variance, kl_weight):
        error = F.mse_loss(decoded, pictures)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return error + kl_weight * kl.mean()""",
)
def vae_loss(answer: Any) -> str | None:
    """Squared error, plus the weighted mean of the KL divergence."""
    pictures, decoded = (_made_up(2, 3, 32, 32, seed=seed) for seed in (3, 4))
    mean, log_variance = (_made_up(2, 4, 4, 4, seed=seed) for seed in (5, 6))
    error, weight = F.mse_loss(decoded, pictures), 0.3
    each = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    kl = each.mean()
    std = 0.5 * (mean**2 + (log_variance / 2).exp() - 1 - log_variance)
    absolute = F.l1_loss(decoded, pictures)
    mistakes = {
        "where is the KL term?": error,
        "where is the error of the pictures?": weight * kl,
        "the KL term is not weighed.": error + kl,
        "the weight belongs to the KL term, not to the error.": weight * error + kl,
        "both are weighed; only the KL term should be.": weight * (error + kl),
        "the KL formula has a half in front.": error + 2 * weight * kl,
        "the KL term pulls the wrong way: its sign is turned around.": (
            error - weight * kl
        ),
        "that is the sum of the KL over all latents; take the mean.": (
            error + weight * each.sum()
        ),
        "that is the KL of each picture, summed; take the mean over all latents.": (
            error + weight * each.sum((1, 2, 3)).mean()
        ),
        "the variance is the exponential of its logarithm, not of half of it.": (
            error + weight * std.mean()
        ),
        "that is the absolute error; square it.": absolute + weight * kl,
        "that is the sum of the squared errors; take the mean.": (
            error * pictures.numel() + weight * kl
        ),
    }
    rule = f"for made-up numbers it is {error + weight * kl:.3f}, yours says {{got}}."
    got = ask(answer, pictures, decoded, mean, log_variance, weight)
    problem = compare(got, error + weight * kl, mistakes, rule)
    given = (pictures, decoded, mean, log_variance)
    return (
        problem
        or _unfit(lambda *tensors: answer(*tensors, weight), *given)
        or _no_gradient(lambda *halves: answer(pictures, decoded, *halves, weight))
    )


@exercise(
    """The mean of the squared differences first. Then ten times the logarithm, to base
    10, of how often it fits into the square of the largest difference there can be.""",
    """
    def psnr(picture, other):
        error = (picture - other).square().mean()
        return 10 * torch.log10(2**2 / error)""",
)
def psnr(answer: Any) -> str | None:
    """Decibels between two pictures whose values go from -1 to 1."""
    picture = _made_up(3, 16, 16, seed=7).clamp(-1, 1)
    other = (picture + 0.1 * _made_up(3, 16, 16, seed=8)).clamp(-1, 1)
    error = (picture - other).square().mean()
    ratio = 4 / error
    absolute = (picture - other).abs().mean()
    mistakes = {
        "that takes 1 for the largest difference; from -1 to 1 it is 2.": (
            10 * torch.log10(1 / error)
        ),
        "that takes 2 for the square of the largest difference; it is 4.": (
            10 * torch.log10(2 / error)
        ),
        "255 is for pictures of whole numbers; these go from -1 to 1.": (
            10 * torch.log10(255**2 / error)
        ),
        "that is the natural logarithm; take torch.log10.": 10 * torch.log(ratio),
        "that is 20 times; for a *squared* error it is 10.": 20 * torch.log10(ratio),
        "those are bels: ten times as many are decibels.": torch.log10(ratio),
        "that falls where pictures are alike: turn the fraction around.": (
            -10 * torch.log10(ratio)
        ),
        "that is the error; decibels come after it.": error,
        "that takes the root of the error, and of the 4 not.": (
            10 * torch.log10(4 / error.sqrt())
        ),
        "that is the absolute difference; square it.": 10 * torch.log10(4 / absolute),
    }
    rule = (
        f"for a made-up pair it is {10 * torch.log10(ratio):.2f}, yours says {{got}}."
    )
    got = ask(answer, picture, other)
    problem = compare(got, 10 * torch.log10(ratio), mistakes, rule)
    return problem or _unfit(answer, picture, other)
