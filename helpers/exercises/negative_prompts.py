"""Exercises of notebook 03, negative prompts."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.exercises.engine import ask, compare, exercise, number, predictions


@exercise(
    """The spread of one seed is `np.std(changes, ddof=1)`; the mean of n seeds spreads
    less, by the square root of n.""",
    """
    def surprise(changes):
        changes = np.asarray(changes)
        error = changes.std(ddof=1) / np.sqrt(len(changes))
        return changes.mean() / error""",
)
def surprise(answer: Any) -> str | None:
    """A mean change over seeds, counted in its own standard errors."""
    changes = -np.array([1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 4.0, 5.0, 3.0])
    spread, n = changes.std(ddof=1), len(changes)
    got, right = ask(answer, changes), changes.mean() / (spread / np.sqrt(n))
    right_too = changes.mean() / (changes.std() / np.sqrt(n))  # numpy's std, over n
    mistakes = {
        "that is the mean; divide it by how uncertain it is.": changes.mean(),
        "a change may go down as well: keep its sign.": -right,
        "that compares with the spread of one seed; the mean of n is surer.": (
            changes.mean() / spread
        ),
        "divide by the standard error, not by its square.": (
            changes.mean() / (spread / n)
        ),
    }
    rule = f"for {changes.tolist()} it should be {right:.2f}, and it is {{got:.2f}}."
    problem = compare(got, right, mistakes, rule)
    return problem and compare(got, right_too, {}, problem)


@exercise(
    """Two differences, both measured from the empty prompt: walk towards one, and away
    from the other.""",
    """
    def steer(uncond, text, negative, guidance_scale, negative_scale):
        towards = guidance_scale * (text - uncond)
        away = negative_scale * (negative - uncond)
        return uncond + towards - away""",
)
def steer(answer: Any) -> str | None:
    """Guidance towards one prompt and away from another, each with its own scale."""
    uncond, text = predictions()
    negative = text.flip(0)
    got = ask(answer, uncond, text, negative, 7.5, 3.0)
    towards, away = 7.5 * (text - uncond), 3.0 * (negative - uncond)
    right = uncond + towards - away
    mistakes = {
        "that walks towards both: the second difference has to be subtracted.": (
            uncond + towards + away
        ),
        "each difference has to start at the prediction without a prompt.": (
            uncond + towards - 3.0 * negative
        ),
        "that is the way only: where does it start?": towards - away,
        "measure the second difference from the empty prompt, too.": (
            uncond + towards + 3.0 * (text - negative)
        ),
    }
    rule = "with negative_scale 0 it should be plain guidance, with 3 three steps away."
    at_1 = "right here, and at scales 1 and 0 it should be the prompt's own."
    return compare(got, right, mistakes, rule) or compare(
        ask(answer, uncond, text, negative, 1, 0), text, {}, at_1
    )


# How many values a negative prompt changes at guidance 1.
changed = number(
    """Draw it twice with the same seed at guidance_scale=1, once with a negative
    prompt, and count: (np.asarray(a) != np.asarray(b)).sum()""",
    "changed = 0  # guidance is off at 1, so there is no second look to replace",
    0,
    {},
    "at guidance 1 the pipeline looks once; draw both and compare.",
)
