"""Exercises that check themselves: ``check``, ``hint``, ``solution``.

A check says correct, not yet (and why), not tried, or cannot tell. It prints and never
raises, so that "run all" goes on past an exercise that nobody has done.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

import numpy as np
import torch

NOTHING = "it returns nothing; is there a `return`?"


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    Attributes:
        why_not: Takes the learner's answer, and what the notebook gives beside it; says
            in a sentence what is wrong with the answer, or nothing where it is right.
        hint_text: What to think of.
        solution_text: Code that passes.
    """

    why_not: Callable[..., str | None]
    hint_text: str
    solution_text: str

    def check(self, answer: Any, *given: Any) -> None:
        """Prints what is to be said about an answer; None is one not given yet."""
        if answer is None:
            print("Not tried yet. Stuck? Put hint() for check(...), then solution().")
            return
        try:
            problem = self.why_not(answer, *given)
        except Exception as error:  # noqa: BLE001 - an answer may be anything
            print(f"Cannot tell: {type(error).__name__}: {error}")
            return
        print(f"Not yet: {problem}" if problem else "Correct.")

    def choose(self, answer: Any, own: Any, *given: Any) -> Any:
        """The learner's answer if it is right, else the notebook's own; says which."""
        try:
            right = answer is not None and self.why_not(answer, *given) is None
        except Exception:  # noqa: BLE001 - an answer may be anything
            right = False
        print("Goes on with", "yours." if right else "the notebook's own.")
        return answer if right else own

    def hint(self) -> None:
        """Prints the hint."""
        print(self.hint_text)

    def solution(self) -> None:
        """Prints the solution."""
        print(self.solution_text)


def exercise(hint: str, solution: str) -> Callable[[Callable], Exercise]:
    """Makes an exercise of the function that says what is wrong with an answer."""
    return lambda why_not: Exercise(why_not, cleandoc(hint), cleandoc(solution))


def number(
    hint: str, solution: str, right: float, reasons: Mapping[Any, str], otherwise: str
) -> Exercise:
    """An exercise whose answer is one number.

    Args:
        hint: What to think of.
        solution: Code that passes.
        right: The answer.
        reasons: What is wrong with each number that people give instead.
        otherwise: What to say of any other.
    """

    def why_not(answer: Any) -> str | None:
        answer = plain(answer)
        if isinstance(answer, (bool, np.bool_)):
            return "that is yes or no, and the question is how many."
        return None if answer == right else reasons.get(answer, otherwise)

    return exercise(hint, solution)(why_not)


def ask(answer: Callable, *arguments: Any) -> Any:
    """What a learner's function gives, for copies: it may work in place."""
    return answer(*copy.deepcopy(arguments))


def plain(value: Any) -> Any:
    """A tensor as an array, without its gradient; an array of one as a number."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def compare(got: Any, right: Any, mistakes: Mapping[str, Any], rule: str) -> str | None:
    """What is wrong with a tensor, an array or a number, or nothing.

    Args:
        got: The learner's.
        right: What it should be, to within rounding.
        mistakes: What comes out of each mistake that people make, by what to say.
        rule: What to say of anything else, with the learner's as ``{got}``.
    """
    if got is None:
        return NOTHING
    got = plain(got)
    for said, value in [(None, right), *mistakes.items()]:
        value = plain(value)
        if np.shape(got) == np.shape(value) and np.allclose(got, value, atol=1e-4):
            return said
    return rule.format(got=got)


def predictions() -> tuple[torch.Tensor, torch.Tensor]:
    """Two made-up noise predictions, (2, 4, 16, 16) each."""
    both = torch.randn(2, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    return both[0], both[1]
