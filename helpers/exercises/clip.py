"""Exercises of notebook 15, CLIP."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from helpers.exercises.engine import ask, compare, exercise, number, plain


def embeds(count: int, seed: int) -> torch.Tensor:
    """Made-up embeddings of length 1, (count, 8)."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 8, generator=generator), dim=-1)


@exercise(
    """`scores = scale * image_embeds @ text_embeds.T` has a row for each picture. The
    right column of row i is i: `F.cross_entropy(scores, torch.arange(len(scores)))`.
    Then the same for the columns, `scores.T`, and the mean of both.""",
    """
    def clip_loss(image_embeds, text_embeds, scale):
        scores = scale * image_embeds @ text_embeds.T  # (batch, batch)
        right = torch.arange(len(scores), device=scores.device)
        of_rows = F.cross_entropy(scores, right)
        of_columns = F.cross_entropy(scores.T, right)
        return (of_rows + of_columns) / 2""",
)
def clip_loss(answer: Any) -> str | None:
    """CLIP's loss: figure 3 of arXiv:2103.00020."""
    images, texts, scale = embeds(6, 0), embeds(6, 1), torch.tensor(10.0)
    got = ask(answer, images, texts, scale)
    scores = scale * images @ texts.T
    same = torch.arange(6)
    rows, columns = F.cross_entropy(scores, same), F.cross_entropy(scores.T, same)
    unscaled = images @ texts.T
    mistakes = {
        "that is the rows alone: each caption looks for its picture, too.": rows,
        "that is the columns alone: each picture looks for its caption, too.": columns,
        "twice too much: take the mean of rows and columns.": rows + columns,
        "`scale` is left out; cosines alone are too close together to choose by.": (
            F.cross_entropy(unscaled, same) + F.cross_entropy(unscaled.T, same)
        )
        / 2,
        "divide by nothing: `scale` multiplies the cosines.": (
            F.cross_entropy(unscaled / scale, same)
            + F.cross_entropy(unscaled.T / scale, same)
        )
        / 2,
        "it lifts the diagonal and pushes nothing down: one arrow for all would do.": (
            -scores.diagonal().mean()
        ),
        "that is for a sum over the batch: take its mean.": 3 * (rows + columns),
    }
    rule = "it should be {:.4f} for these, and yours is {{got}}."
    right = (rows + columns) / 2
    if problem := compare(got, right, mistakes, rule.format(right.item())):
        return problem
    few = scores[:3, :3]
    right = F.cross_entropy(few, same[:3]) + F.cross_entropy(few.T, same[:3])
    got = ask(answer, images[:3], texts[:3], scale)
    return compare(got, right / 2, {}, "right for six pairs, and not for three.")


# Wrong pairs in one of CLIP's batches.
wrong_pairs = number(
    """Every picture is compared with every caption. How many of these pairs belong
    together?""",
    "wrong_pairs = 32_768 * 32_768 - 32_768  # all pairs but the diagonal",
    32_768 * 32_767,
    {
        32_768: "those are the right ones, one for each picture.",
        32_768**2: "those are all pairs; the diagonal is right.",
        32_767: "that is for one picture; there are 32,768 of them.",
        32_768 * 32_767 // 2: (
            "picture 1 with caption 2 is another pair than picture 2 with caption 1."
        ),
    },
    "count the cells of the table, then take away the diagonal.",
)


@exercise(
    """The scores are `scale * image_embeds @ class_embeds.T`, a row for each picture.
    `softmax` makes shares of a row: over which dimension?""",
    """
    def zero_shot(image_embeds, class_embeds, scale):
        scores = scale * image_embeds @ class_embeds.T  # (pictures, classes)
        return scores.softmax(dim=-1)""",
)
def zero_shot(answer: Any) -> str | None:
    """Section 3.1.2 of arXiv:2103.00020: the classes are sentences."""
    images, classes, scale = embeds(5, 0), embeds(3, 1), torch.tensor(10.0)
    got = plain(ask(answer, images, classes, scale))
    scores = scale * images @ classes.T
    mistakes = {
        "those add up to 1 for each class: it should be for each picture.": (
            scores.softmax(dim=0)
        ),
        "those are the scores; `softmax` makes probabilities of them.": scores,
        "`scale` is left out: so close together, nothing is ever sure.": (
            (images @ classes.T).softmax(dim=-1)
        ),
        "that is the class; the probabilities of all of them are asked for.": (
            scores.argmax(dim=-1)
        ),
        "a row for each picture, please, and a column for each class.": (
            scores.softmax(dim=-1).T
        ),
    }
    rule = "five pictures and three classes give (5, 3), and each row adds up to 1."
    return compare(got, scores.softmax(dim=-1), mistakes, rule)
