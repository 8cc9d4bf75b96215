"""Exercises of notebook 05, textual inversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from helpers.exercises.engine import (
    NOTHING,
    ask,
    compare,
    exercise,
    number,
    plain,
    predictions,
)


@exercise(
    """Compare directions, not lengths: `F.normalize(x, dim=-1)` makes every row 1 long;
    then one product of a matrix and a vector gives all similarities, and `topk(4)` the
    four largest, with their numbers in `.indices`.""",
    """
    def nearest(row, table):
        similarity = F.normalize(table, dim=-1) @ F.normalize(row, dim=-1)
        return similarity.topk(4).indices.tolist()""",
)
def nearest(answer: Any) -> str | None:
    """The numbers of the four rows that point most nearly the same way, in order."""
    table = torch.tensor([[9.0, 9, 0], [0, 5, 0.5], [0.3, 0.7, 0], [-2, -2, 0]])
    more = torch.tensor([[0.2, 0.3, 0.1], [3, 8, 3], [0.5, 0.1, 0], [0, 0, 0.4]])
    got = ask(answer, torch.tensor([0.1, 0.9, 0.1]), torch.cat([table, more]))
    if got is None:
        return NOTHING
    if isinstance(got, tuple) and hasattr(got, "indices"):
        return "those are similarities and numbers together: return its `.indices`."
    got = [plain(number) for number in got] if np.ndim(plain(got)) else [plain(got)]
    right = [1, 2, 5, 4]
    if got == right:
        return None
    reasons = {
        0: "that row is only the longest; compare directions.",
        2: "that row is the nearest point; compare directions, whatever the length.",
        3: "that row is the least alike.",
    }
    if got == right[:1]:
        return "that is the nearest one; the next three are asked as well."
    if got and got[0] in reasons:
        return f"it begins with {got[0]}: {reasons[got[0]]}"
    if len(got) == 4 and sorted(got) == sorted(right):
        return "those are the four; the nearest one comes first."
    return f"it gives {got}; four numbers of rows are asked, from 0 to 7."


# Bytes of one word of Stable Diffusion 1.5.
word_bytes = number(
    "How wide is a row, and how many bytes does a float32 take?",
    "word_bytes = 768 * 4  # 3,072",
    768 * 4,
    {
        768: "those are the numbers; each of them takes four bytes.",
        77 * 768 * 4: "that is a whole prompt of 77 tokens; a word is one row.",
        768 * 2: "float16 has two bytes; these are float32.",
    },
    "a row of the table has 768 numbers of four bytes.",
)


@exercise(
    "Start at `a` and go a share of the way to `b`.",
    """
    def between(a, b, share):
        return a + share * (b - a)""",
)
def between(answer: Any) -> str | None:
    """A row between two rows."""
    a, b = predictions()
    mistakes = {
        "the other way round: at share 0 it should be the first.": b + 0.3 * (a - b),
        "that goes past: a sum of both is as long as the two together.": a + 0.3 * b,
    }
    rule = "at share 0 it should be `a`, at 1 `b`, and halfway their mean."
    return compare(ask(answer, a, b, 0.3), a + 0.3 * (b - a), mistakes, rule)
