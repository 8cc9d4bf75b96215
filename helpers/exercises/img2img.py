"""Exercises of notebook 04, image to image."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from helpers.exercises.engine import NOTHING, ask, compare, exercise


@exercise(
    "The loop runs the last `strength` of the steps: rounded down, and at most all.",
    """
    def steps_run(num_inference_steps, strength):
        return min(int(num_inference_steps * strength), num_inference_steps)""",
)
def steps_run(answer: Any) -> str | None:
    """How many steps image to image runs."""
    right = {(50, 0.8): 40, (25, 0.3): 7, (30, 1.0): 30, (25, 0.02): 0}
    got = {key: ask(answer, *key) for key in right}
    if got == right:
        return None
    if None in got.values():
        return NOTHING
    if got[50, 0.8] == 10:
        return "those are the steps that are left out."
    if got[25, 0.3] == 8:
        return "7.5 steps are 7: the part of a step at the end is dropped."
    if got[25, 0.02] == 1:
        return "25 steps at strength 0.02 are half a step: none is run."
    key = next(key for key in right if got[key] != right[key])
    return f"{key[0]} steps at strength {key[1]} run {right[key]}, not {got[key]}."


@exercise(
    "Which share of 40 is 10?",
    "gentle = 0.25  # 10 of 40",
)
def gentle(answer: Any) -> str | None:
    """A strength at which exactly 10 of 40 steps run."""
    if answer == 10:
        return "that is the number of steps; strength is a share of 40."
    if answer == 0.75:
        return "that leaves 10 out and runs 30."
    if int(40 * answer) != 10:
        return f"that runs {int(40 * answer)} of 40."
    return None


@exercise(
    """`np.diff(frames, axis=0)` is the change from each frame to the next. First turn
    pictures into numbers that can be negative: `np.asarray(frame).astype(int)`.""",
    """
    def change(frames):
        frames = np.stack([np.asarray(frame).astype(int) for frame in frames])
        return np.abs(np.diff(frames, axis=0)).mean()""",
)
def change(answer: Any) -> str | None:
    """The mean absolute change of a value from one frame to the next."""
    stripes = np.zeros((3, 8, 8, 3), np.uint8)  # one that moves and changes its light
    for i, light in enumerate((100, 200, 50)):
        stripes[i, :, 2 * i] = light
    got = ask(answer, [Image.fromarray(stripe) for stripe in stripes])
    steps = np.diff(stripes.astype(int), axis=0)
    right = np.abs(steps).mean()
    mistakes = {
        "down cancels up: take the size of each change, with np.abs.": steps.mean(),
        "small numbers without a sign wrap around: .astype(int) first.": (
            np.abs(np.diff(stripes, axis=0)).mean()
        ),
        "compare value by value; a mean brightness hides what moves.": (
            np.abs(np.diff(stripes.mean((1, 2, 3)))).mean()
        ),
        "that is the sum over the frames; take the mean.": 2 * right,
    }
    rule = f"for three frames with a stripe it is {right:g}, and yours says {{got:g}}."
    return compare(got, right, mistakes, rule)
