"""A mistake: what kind it is, for the tests, and one sentence that people read."""

from __future__ import annotations


class Mistake(ValueError):
    """Something that cannot work; the sentence says what, and what to do instead.

    A notebook shows the sentence alone, without the calls that led to it
    (``_render_traceback_`` is IPython's documented hook for that).

    Attributes:
        kind: One word for what went wrong, such as ``"offline"``.
        sentence: What the learner reads.
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind, sentence)
        self.kind, self.sentence = kind, sentence

    def __str__(self) -> str:
        return self.sentence

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]
