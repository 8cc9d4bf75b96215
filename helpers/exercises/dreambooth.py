"""Exercises of notebook 06, DreamBooth."""

from __future__ import annotations

from typing import Any

import torch

from helpers.exercises.engine import ask, compare, exercise, number, predictions


@exercise(
    """`noise_pred.chunk(2)` gives the subject's half and the kind's. Each has a mean
    squared error of its own.""",
    """
    def two_losses(noise_pred, noise, prior_weight):
        subject_pred, kind_pred = noise_pred.chunk(2)
        subject_noise, kind_noise = noise.chunk(2)
        kind_loss = F.mse_loss(kind_pred, kind_noise)
        return F.mse_loss(subject_pred, subject_noise) + prior_weight * kind_loss""",
)
def two_losses(answer: Any) -> str | None:
    """DreamBooth's loss for a batch whose second half shows the kind."""
    noise_pred, noise = (torch.cat([x, 2 * x]) for x in predictions())
    first, second = (noise_pred - noise).square().chunk(2)
    first, second = first.mean(), second.mean()
    mistakes = {
        "that is the error of the whole batch: weigh its halves.": (first + second) / 2,
        "the weight belongs to the second half, the kind.": 0.3 * first + second,
        "the weight belongs to the second half alone.": 0.3 * (first + second),
        "that is the subject alone: where is the kind?": first,
    }
    rule = "the subject's mean squared error, and `prior_weight` times the kind's."
    return compare(
        ask(answer, noise_pred, noise, 0.3), first + 0.3 * second, mistakes, rule
    )


# Numbers that LoRA of rank 4 learns for a matrix of 320 by 320.
thin = number(
    "`A` is 4 rows of 320, `B` is 320 rows of 4.",
    "thin = 2 * 4 * 320  # 2,560, and the matrix itself has 102,400",
    2 * 4 * 320,
    {
        320 * 320: "that is the matrix itself, which stands still.",
        4 * 320: "that is one of the two thin matrices.",
        4 * 4: "`A` and `B` are long and thin: 4 by 320, and 320 by 4.",
    },
    "count the numbers of `A`, then those of `B`.",
)


@exercise(
    "W x + scale B (A x) is one matrix times x: which?",
    """
    def merge(W, A, B, scale):
        return W + scale * B @ A""",
)
def merge(answer: Any) -> str | None:
    """The one matrix that does what a matrix and its LoRA do together."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(6, 6, generator=generator)
    A = torch.randn(2, 6, generator=generator)
    B = torch.randn(6, 2, generator=generator)
    mistakes = {
        "where is the scale?": W + B @ A,
        "that is what is added; `W` stays.": 0.5 * B @ A,
        "transposed: first `A` is applied, then `B`.": W + 0.5 * (B @ A).T,
    }
    rule = "it should be a matrix of the shape of `W`, which is `W` at scale 0."
    return compare(ask(answer, W, A, B, 0.5), W + 0.5 * B @ A, mistakes, rule)
