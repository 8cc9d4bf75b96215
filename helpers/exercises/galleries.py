"""Exercises of notebook 10, galleries."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from helpers.exercises.engine import NOTHING, ask, compare, exercise


@exercise(
    """A slice has a start and a stride, `rows[start::stride]`: where does each process
    start, and how many does it step over?""",
    """
    def share(rows, process, processes):
        return rows[process::processes]
    """,
)
def share(answer: Any) -> str | None:
    """Cuts rows so that each goes to one process, and none has much more to do."""
    for count, processes in ((10, 3), (11, 4), (2, 3), (6, 1)):
        rows = [{"index": i} for i in range(count)]
        got = [ask(answer, rows, i, processes) for i in range(processes)]
        if any(part is None for part in got):
            return NOTHING
        indices = [[row["index"] for row in part] for part in got]
        times = Counter(index for part in indices for index in part)
        case = f"of {count} rows for {processes} processes"
        for index in range(count):
            if times[index] > 1:
                return f"{case}, row {index} is made {times[index]} times."
            if not times[index]:
                return f"{case}, nobody makes row {index}."
        sizes = sorted(map(len, indices))
        if sizes[-1] - sizes[0] > 1:
            return (
                f"{case}, one gets {sizes[-1]} and another {sizes[0]}: all wait for "
                "the slowest."
            )
    return None


@exercise(
    """Two errors for each picture: the mean of `(guess - noise) ** 2` over all but the
    first dimension. Then the logarithm of the one over the other.""",
    """
    def gain(noise, guess_without, guess_with):
        before = (guess_without - noise).square().mean(dim=(1, 2, 3))
        after = (guess_with - noise).square().mean(dim=(1, 2, 3))
        return torch.log(before / after)
    """,
)
def gain(answer: Any) -> str | None:
    """By how much words lower the error of the noise prediction, on a log scale."""
    noise, first, second = torch.randn(
        3, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0)
    )
    without, with_it = noise + 0.5 * first, noise + 0.3 * second
    before, after = (
        (guess - noise).square().mean(dim=(1, 2, 3)) for guess in (without, with_it)
    )
    right = (before / after).log()
    off = [(guess - noise).abs().mean((1, 2, 3)) for guess in (without, with_it)]
    mistakes = {
        "the other way round: it should be large where the words help.": -right,
        "that is one number for all: one for each picture, please.": right.mean(),
        "that is the mean over all pictures, and then the logarithm: one number for "
        "each picture, please.": (before.mean() / after.mean()).log(),
        "that is the one over the other; now its logarithm.": before / after,
        "that is the one less the other: divide, or pictures with large errors decide "
        "alone.": before - after,
        "square the errors; that is their absolute value.": (off[0] / off[1]).log(),
        "that is how far the two guesses are apart: neither was held against the "
        "noise.": (without - with_it).square().mean(dim=(1, 2, 3)),
        "that is the logarithm to base 10; torch.log is the natural one.": (
            right / torch.log(torch.tensor(10.0))
        ),
    }
    got = ask(answer, noise, without, with_it)
    if isinstance(got, (list, tuple)):
        got = torch.stack([torch.as_tensor(value) for value in got])
    rule = "each should be the logarithm of the error before over the error after."
    return compare(got, right, mistakes, rule)


@exercise(
    """Go through the places from the best score to the worst, and count how many you
    have of each prompt already. `sorted(range(n), key=...)` sorts places.""",
    """
    def best_of_each(scores, prompts, keep):
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        kept = []
        for i in order:
            if sum(prompts[j] == prompts[i] for j in kept) < keep:
                kept.append(i)
        return kept
    """,
)
def best_of_each(answer: Any) -> str | None:
    """The places of the best pictures of each prompt."""
    scores = [0.9, 0.1, 0.8, 0.3, 0.7, 0.2, 0.6, 0.4]
    prompts = ["frog", "castle"] * 4
    got = ask(answer, scores, prompts, 2)
    if got is None:
        return NOTHING
    kept = [int(i) if float(i).is_integer() else float(i) for i in got]
    named = {
        (0, 2, 3, 7): None,
        (0, 2, 4, 6): "those are the four best of all: castles score lower, and get no "
        "place.",
        (0, 2): "those are the best two of all: two of *each* prompt.",
        (1, 4, 5, 6): "those are the worst of each prompt.",
    }
    for places, said in named.items():
        if tuple(sorted(kept)) == places:
            return said
    if set(kept) <= set(scores):
        return "those are scores: return their places, 0 for the first."
    if len(kept) != 4:
        return f"two each of two prompts are four, and yours has {len(kept)}."
    return (
        "with the scores 0.9, 0.1, 0.8, 0.3, ... of frog, castle, frog, castle, ... "
        "the best two of each are at 0, 2, 3 and 7."
    )
