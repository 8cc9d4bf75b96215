"""Exercises of notebook 11, image to prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from helpers.exercises.engine import NOTHING, ask, compare, exercise


@exercise(
    """The difference, squared, then its mean over all dimensions but the first:
    `.mean((1, 2, 3))`.""",
    """
    def how_far(noise_pred, noise):
        return (noise_pred - noise).square().mean((1, 2, 3))
    """,
)
def how_far(answer: Any) -> str | None:
    """The mean squared error of each caption's noise prediction."""
    generator = torch.Generator().manual_seed(0)
    noise_pred = torch.randn(5, 4, 16, 16, generator=generator)
    noise = torch.randn(1, 4, 16, 16, generator=generator)
    apart = noise_pred - noise
    right = apart.square().mean((1, 2, 3))
    mistakes = {
        "that is one number for all captions: leave dimension 0 alone.": right.mean(),
        "that keeps a number for each channel: mean over dimensions 1, 2 and 3.": (
            apart.square().mean((2, 3))
        ),
        "square the differences first, or those above and below 0 cancel.": (
            apart.mean((1, 2, 3))
        ),
        "that is the absolute error; the U-Net was trained on the squared one.": (
            apart.abs().mean((1, 2, 3))
        ),
        "that is the sum: divide by how many numbers there are, or take the mean.": (
            apart.square().sum((1, 2, 3))
        ),
        "that is its root; the order is the same, but leave it squared.": right.sqrt(),
    }
    rule = "five captions and one noise should give five numbers, one for each caption."
    return compare(ask(answer, noise_pred, noise), right, mistakes, rule)


LOOKS = torch.tensor(  # errors of five captions at t = 350, 650 and 950
    [
        [0.100, 0.104, 0.103, 0.110, 0.108],
        [0.0200, 0.0199, 0.0212, 0.0204, 0.0216],
        [0.0060, 0.0040, 0.0053, 0.0043, 0.0058],
    ]
)


@exercise(
    """`errors.mean(1, keepdim=True)` is the mean of each look. Divide by it, take the
    mean over the looks (dimension 0), and `argsort()` gives the order.""",
    """
    def best_first(errors):
        shares = errors / errors.mean(1, keepdim=True)
        return shares.mean(0).argsort().tolist()
    """,
)
def best_first(answer: Any) -> str | None:
    """The numbers of the captions, the best first; each look counts alike."""
    got = ask(answer, LOOKS)
    if got is None:
        return NOTHING
    if isinstance(got, (list, tuple)):
        got = np.array([float(i) for i in got])
    shares = (LOOKS / LOOKS.mean(1, keepdim=True)).mean(0)
    right = shares.argsort()
    mistakes = {
        "the first look decides alone, as its errors are the largest: divide each "
        "look by its mean.": LOOKS.sum(0).argsort(),
        "that is the worst first: a small error is a good one.": right.flip(0),
        "that is the last look alone.": LOOKS[-1].argsort(),
        "those are the errors, not the numbers of the captions: argsort.": shares,
        "those are the errors in order, not the captions: argsort.": (
            shares.sort().values
        ),
        "that is each caption's place; which caption is the first? One argsort.": (
            right.argsort()
        ),
    }
    rule = "it should name each of the five captions once, by its number, from 0 to 4."
    return compare(got, right, mistakes, rule)


CAPTIONS = [f"a {noun}" for noun in ("cat", "dog", "fox", "hen", "pig")]
SHARES = (  # what each look says of them
    dict(zip(CAPTIONS, (0.90, 1.30, 0.80, 1.00, 1.40), strict=True)),
    dict(zip(CAPTIONS, (0.75, 0.10, 0.90, 0.85, 0.20), strict=True)),
    dict(zip(CAPTIONS, (1.10, 0.20, 1.09, 0.30, 0.40), strict=True)),
)


@exercise(
    """Keep a dictionary `total = dict.fromkeys(captions, 0)`. While there is more than
    one caption: look at them, add to their totals, sort by total, and keep the first
    `(len(captions) + 1) // 2`.""",
    """
    def narrow(captions, look):
        total = dict.fromkeys(captions, 0)
        while len(captions) > 1:
            for caption, share in zip(captions, look(captions)):
                total[caption] += share
            captions = sorted(captions, key=total.get)
            captions = captions[: (len(captions) + 1) // 2]
        return captions[0]
    """,
)
def narrow(answer: Any) -> str | None:
    """After each look the better half stays; the totals decide."""
    asked = []

    def look(captions: list[str]) -> list[float]:
        shares = SHARES[min(len(asked), 2)]
        asked.append(len(captions))
        if len(asked) > 50:
            raise RecursionError("fifty looks, and still no end")
        return [shares[caption] for caption in captions]

    got = answer(list(CAPTIONS), look)
    if got is None:
        return NOTHING
    if isinstance(got, (list, tuple)) and got:
        return "it gives a list: the last caption that is left, please, not a list."
    if not isinstance(got, str):
        return "it should give one of the captions."
    if not asked:
        return "it never looks: call `look(captions)`."
    if asked[:2] == [5, 5]:
        return "its second look is at all five again: only at those that are left."
    if asked[:2] == [5, 2]:
        return "of five it keeps two: half, rounded up, is three."
    if asked[:2] == [5, 4]:
        return "it drops one at a time: the worse half goes."
    if asked != [5, 3, 2]:
        return f"it looks at {asked} captions; of five it should be [5, 3, 2]."
    if got == "a cat":
        return None
    if got in ("a fox", "a hen"):
        return "only the last look decides: add each to the totals of those before."
    return f"“{got}” is left: keep the captions with the *smaller* totals."
