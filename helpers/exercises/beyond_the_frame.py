"""Exercises of notebook 09, beyond the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from helpers.exercises.engine import NOTHING, ask, compare, exercise, plain, predictions


@exercise(
    """Two parts: noise the known picture, with the square root of `alpha_bar` and of
    `1 - alpha_bar`; then `latents` where the mask is 1, and that where it is 0.""",
    """
    def put_back(latents, known, noise, alpha_bar, mask):
        back = alpha_bar**0.5 * known + (1 - alpha_bar) ** 0.5 * noise
        return mask * latents + (1 - mask) * back
    """,
)
def put_back(answer: Any) -> str | None:
    """The known part of a picture, noised, in the place of what a step made of it."""
    latents, known = predictions()
    noise = latents.flip(-1)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 6:] = 1
    alpha_bar = torch.tensor(0.3)
    got = ask(answer, latents, known, noise, alpha_bar, mask)
    back = alpha_bar.sqrt() * known + (1 - alpha_bar).sqrt() * noise

    def put(kept: torch.Tensor, drawn: torch.Tensor = latents) -> torch.Tensor:
        return mask * drawn + (1 - mask) * kept

    mistakes = {
        "it keeps the hole and repaints the rest: the mask is 1 where it is new.": (
            mask * back + (1 - mask) * latents
        ),
        "the known part goes back clean: noise it first, or it stands out in the "
        "static around it.": put(known),
        "take the square root of both shares.": (
            put(alpha_bar * known + (1 - alpha_bar) * noise)
        ),
        "the shares are swapped: at alpha_bar 1 the picture is clean.": (
            put((1 - alpha_bar).sqrt() * known + alpha_bar.sqrt() * noise)
        ),
        "the known part fades by sqrt(alpha_bar) as its noise comes.": (
            put(known + (1 - alpha_bar).sqrt() * noise)
        ),
        "that is the whole picture, noised: in the hole stay the latents.": back,
        "what is in the hole has its noise already: leave it as it is.": put(
            back, alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
        ),
        "nothing is put back: these are the latents as they came.": latents,
    }
    rule = "the latents where the mask is 1, and where it is 0 the known part, noised."
    return compare(got, put(back), mistakes, rule)


@exercise(
    """Strides first: `list(range(0, width - size + 1, stride))`. Does the last of these
    windows end at `width`? If not, one more begins at `width - size`.""",
    """
    def windows(width, size, stride):
        starts = list(range(0, width - size + 1, stride))
        if starts[-1] != width - size:
            starts.append(width - size)
        return starts
    """,
)
def windows(answer: Any) -> str | None:
    """Where windows begin that cover a width, none of them beyond it."""
    cases = [(64, 16, 12), (64, 16, 16), (60, 16, 12), (16, 16, 8), (61, 16, 8)]
    for width, size, stride in cases:
        got = ask(answer, width, size, stride)
        if got is None:
            return NOTHING
        got = [int(start) for start in np.ravel(plain(got))]
        right = [*range(0, width - size, stride), width - size]
        if got == right:
            continue
        said = f"windows({width}, {size}, {stride}) gives {got}"
        if got == list(range(0, width, stride)) or max(got, default=0) > width - size:
            return f"{said}: the last one reaches past the end of {width}."
        if len(got) != len(set(got)):
            return f"{said}: one window stands there twice."
        if got == list(range(0, width - size + 1, stride)):
            return f"{said}: the last {width - size - got[-1]} columns have no window."
        if got == list(range(0, width - size, stride)):
            return f"{said}, and nothing covers the end: there is a window to come."
        if got == list(range(0, width - size + 1, size)):
            return f"{said}: a window begins every `stride`, not every `size`."
        return f"{said}, and it should be {right}."
    return None


@exercise(
    """Two sheets of zeros, (1, 4, height, width): add each prediction to one where its
    window is, and 1 to the other. Then divide.""",
    """
    def blend(preds, starts, width):
        shape = (1, *preds.shape[1:3], width)
        total, count = preds.new_zeros(shape), preds.new_zeros(shape)
        for pred, start in zip(preds, starts):
            total[..., start : start + preds.shape[-1]] += pred
            count[..., start : start + preds.shape[-1]] += 1
        return total / count
    """,
)
def blend(answer: Any) -> str | None:
    """Predictions for windows, as one for the whole width: averaged where two meet."""
    preds = torch.cat(predictions())
    starts, width, size = [0, 6, 12, 20], 36, 16
    got = ask(answer, preds, starts, width)
    shape = (1, *preds.shape[1:3], width)
    total, count, last, first = (torch.zeros(shape) for _ in range(4))
    pairs = torch.zeros(shape)
    for pred, start in zip(preds, starts, strict=True):
        here = (..., slice(start, start + size))
        fresh = count[here] == 0
        first[here] = torch.where(fresh, pred, first[here])
        pairs[here] = torch.where(fresh, pred, (pairs[here] + pred) / 2)
        last[here] = pred
        total[here] += pred
        count[here] += 1
    right = total / count
    if got is not None and plain(got).shape == shape[1:]:
        got = plain(got)[None]  # without the batch of one
    mistakes = {
        "where windows overlap, that is their sum: divide by how many.": total,
        "where windows overlap, the last one wins: take their mean.": last,
        "where windows overlap, the first one wins: take their mean.": first,
        "divide by the windows that cover a place, not by all of them.": (
            total / len(starts)
        ),
        "with three windows in a place, the last gets half of the say: add all up, and "
        "divide once.": pairs,
    }
    rule = "each place should get the mean of the windows that cover it."
    return compare(got, right, mistakes, rule)
