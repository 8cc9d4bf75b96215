"""Exercises of notebook 08, mixing prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from helpers.exercises.engine import ask, compare, exercise, number, predictions


@exercise(
    """First the angle: `torch.acos((a * b).sum() / (a.norm() * b.norm()))`. Then both
    shares, `sin((1 - weight) * angle)` and `sin(weight * angle)`, over
    `sin(angle)`.""",
    """
    def slerp(a, b, weight):
        angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
        shares = torch.sin((1 - weight) * angle), torch.sin(weight * angle)
        return (shares[0] * a + shares[1] * b) / torch.sin(angle)
    """,
)
def slerp(answer: Any) -> str | None:
    """Spherical linear interpolation (Shoemake, 1985), for one direction of two."""
    a, b = (x[:1] for x in predictions())
    got = ask(answer, a, b, 0.3)
    angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    right = _on_the_arc(a, b, angle)
    mistakes = {
        "that is the straight line: its middle is too weak.": torch.lerp(a, b, 0.3),
        "the two shares are swapped: at weight 0 it should be `a`.": (
            _on_the_arc(b, a, angle)
        ),
        "divide by the sine of the angle.": right * torch.sin(angle),
        "that is the cosine; the angle is its arc cosine, torch.acos.": (
            _on_the_arc(a, b, torch.cos(angle))
        ),
        "the cosine is the product over *both* lengths.": (
            _on_the_arc(a, b, torch.acos((a * b).sum() / a.norm() ** 2))
        ),
    }
    rule = "at weight 0 it should be `a`, at 1 `b`, and in between as long as they are."
    return compare(got, right, mistakes, rule)


def _on_the_arc(a: torch.Tensor, b: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """At weight 0.3 between a and b, for an angle that may be wrong."""
    shares = torch.sin(0.7 * angle), torch.sin(0.3 * angle)
    return (shares[0] * a + shares[1] * b) / torch.sin(angle)


@exercise(
    "`x = np.linspace(0, 1, count)` are the even steps; the cosine bends them.",
    """
    def ease(count):
        x = np.linspace(0, 1, count)
        return (1 - np.cos(np.pi * x)) / 2
    """,
)
def ease(answer: Any) -> str | None:
    """So many weights from 0 to 1, slow at both ends."""
    got = answer(9)
    if isinstance(got, (list, tuple)):
        got = np.array(got, dtype=float)
    x = np.linspace(0, 1, 9)
    right = (1 - np.cos(np.pi * x)) / 2
    without_end = np.linspace(0, 1, 9, endpoint=False)
    mistakes = {
        "those are the even steps: bend them.": x,
        "NumPy's cosine counts in radians: half a turn is np.pi.": (
            (1 - np.cos(180 * x)) / 2
        ),
        "it runs from 1 to 0.": right[::-1],
        "it runs from 0 to 2: halve it.": 2 * right,
        "the last weight should be 1: x has to get there.": (
            (1 - np.cos(np.pi * without_end)) / 2
        ),
    }
    rule = "nine weights should begin with 0, end with 1, and have 0.5 in the middle."
    return compare(got, right, mistakes, rule)


looks = number(
    """How many calls a step in `mixed`, and how many latents does the U-Net see in each
    of them?""",
    "looks = 25 * 2 * 2  # two prompts a step, and guidance looks twice at each",
    100,
    {
        25: "that is the steps; each asks two prompts, and guidance looks twice.",
        50: "nearly: two prompts a step *and* guidance, which looks twice at each.",
        75: "so few it could be, with one empty prompt for both; `guess` has its own.",
        52: "that is PNDM's count of notebook 02; here DDIM draws, with two prompts.",
    },
    "count the prompts of a step, then the looks for each, then the steps.",
)
