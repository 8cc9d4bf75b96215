"""Exercises of notebook 16, schedules and samplers."""

from __future__ import annotations

from typing import Any

import torch

from helpers.exercises.engine import ask, compare, exercise, predictions


@exercise(
    """Work on `root = alphas_cumprod.sqrt()`: take its last value off all of them, then
    multiply, so that the first is what it was; and square at the end.""",
    """
    def to_zero(alphas_cumprod):
        root = alphas_cumprod.sqrt()
        moved = root - root[-1]
        return (moved * root[0] / moved[0]) ** 2
    """,
)
def to_zero(answer: Any) -> str | None:
    """Zero terminal signal-to-noise ratio: algorithm 1 of arXiv:2305.08891."""
    table = (1 - torch.linspace(0.03, 0.11, 40) ** 2).cumprod(0)
    got = ask(answer, table)
    root = table.sqrt()
    moved = root - root[-1]
    right = (moved * root[0] / moved[0]) ** 2
    last = table.clone()
    last[-1] = 0
    shifted = table - table[-1]
    mistakes = {
        "the last is 0, and now the first is smaller than it was: scale them.": (
            moved**2
        ),
        "that moves alpha_bar itself; move its square root, which is the picture's "
        "share.": shifted * table[0] / shifted[0],
        "those are the square roots still: alphas_cumprod is their square.": (
            moved * root[0] / moved[0]
        ),
        "only the last row changed, and now there is a cliff before it: move them "
        "all.": last,
    }
    rule = "the first should stay, the last be 0, and all between move smoothly."
    return compare(got, right, mistakes, rule)


@exercise(
    """`1000 / n` rows lie between two of them. Begin at 1000, go down in such strides,
    round, and take 1 off, since rows are counted from 0.""",
    """
    def trailing(n):
        return [round(1000 - i * 1000 / n) - 1 for i in range(n)]""",
)
def trailing(answer: Any) -> str | None:
    """Trailing spacing: table 2 of arXiv:2305.08891."""
    for n in (5, 1, 3):
        got = ask(answer, n)
        if got is None:
            return "it returns nothing; is there a `return`?"
        got = [float(t) for t in got]
        right = [round(1000 - i * 1000 / n) - 1 for i in range(n)]
        stride = 1000 // n
        mistakes = {
            "that is leading: the first of them should be 999, the last row.": [
                i * stride + 1 for i in reversed(range(n))
            ],
            "that is leading, without its offset: the first should be 999.": [
                i * stride for i in reversed(range(n))
            ],
            "right, but the other way round: it walks from much noise to little.": [
                *reversed(right)
            ],
            "rows are counted from 0: there is none with the number 1000.": [
                t + 1 for t in right
            ],
            "that is linspace: the last is a step of its own, at row 0.": [
                round(999 * (1 - i / max(n - 1, 1))) for i in range(n)
            ],
            f"right where n divides 1000; for {n}, round each of them, not the "
            "stride.": [999 - i * stride for i in range(n)],
        }
        rule = f"for {n} it should be {right}."
        if problem := compare(got, right, mistakes, rule):
            return problem
    return None


@exercise(
    """Look where you are, walk to `sigma_next` as Euler does, look again *there*, with
    `sigma_next`. Then walk once more from where you began, along the mean of both.""",
    """
    def heun_step(look, latents, sigma, sigma_next):
        here = look(latents, sigma)
        ahead = latents + (sigma_next - sigma) * here
        there = look(ahead, sigma_next)
        return latents + (sigma_next - sigma) * (here + there) / 2
    """,
)
def heun_step(answer: Any) -> str | None:
    """A step of Heun: algorithm 1 of arXiv:2206.00364, lines 4, 5, 7 and 8."""
    latents, away = predictions()
    sigma, later = 3.0, 2.0
    calls = []

    def look(latents: torch.Tensor, sigma: float) -> torch.Tensor:
        """A made-up noise prediction that depends on both."""
        calls.append(float(sigma))
        return (latents - 0.1 * away) / (1 + float(sigma) ** 2) ** 0.5

    got = answer(look, latents.clone(), sigma, later)
    looked = len(calls)
    here = look(latents, sigma)
    ahead = latents + (later - sigma) * here
    there = look(ahead, later)
    mistakes = {
        "that is Euler: one look. Look again where it leads, and take the mean.": ahead,
        "the second look alone leads past the bend: take the mean of both.": (
            latents + (later - sigma) * there
        ),
        "it should walk once, from where it began; yours walks on from the second "
        "place.": ahead + (later - sigma) * (here + there) / 2,
        "that walks twice as far: the *mean* of the two.": (
            latents + (later - sigma) * (here + there)
        ),
        "at the second look there is less noise: tell it sigma_next.": (
            latents + (later - sigma) * (here + look(ahead, sigma)) / 2
        ),
        "that walks up, to more noise: it is sigma_next - sigma.": (
            latents
            - (later - sigma)
            * (here + look(latents - (later - sigma) * here, later))
            / 2
        ),
    }
    rule = "one step along the mean of two looks: here, and where Euler would go."
    problem = compare(
        got, latents + (later - sigma) * (here + there) / 2, mistakes, rule
    )
    if problem is None and looked > 2:
        return f"right, but two looks are enough, and yours takes {looked}."
    return problem
