"""The libraries' manners: what they say unasked, and a keyword that was renamed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

LONGEST = 200  # letters of a remark about a prompt


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Without the libraries' remarks, and progress bars; errors still come through."""
    import diffusers
    import transformers

    logs = [diffusers.utils.logging, transformers.utils.logging]
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        if not progress:
            log.disable_progress_bar()
    try:
        yield
    finally:
        for log, (verbosity, bars) in zip(logs, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()


# What they remark on where nothing is wrong: a long prompt is cut off afterwards, and
# a LoRA of the U-Net alone, or a second one, is what was asked for.
_NOTHING = ("Token indices sequence length", "No LoRA keys associated to CLIP")


class _Brief(logging.Filter):
    """Of a prompt that is cut off, one line, and once; not that it is an error."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith(_NOTHING):
            return False
        if "truncated because CLIP" not in text:
            return True
        new = text not in self._said
        self._said.add(text)
        record.msg = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        record.args = None
        return new


def be_brief() -> None:
    """From now on the libraries do not remark on what is as it should be.

    Nor do they repeat a prompt that is too long, in full.
    """
    import diffusers
    import transformers

    warnings.filterwarnings("ignore", "Already found a `peft_config`")  # a second LoRA
    for library in (diffusers, transformers):
        for handler in library.utils.logging.get_logger(library.__name__).handlers:
            if not any(isinstance(one, _Brief) for one in handler.filters):
                handler.addFilter(_Brief())


def in_dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The keyword of ``from_pretrained`` that says in which numbers to load.

    It was renamed in diffusers 0.40; the other name is ignored in silence.
    """
    import diffusers
    from packaging.version import Version

    new = Version(diffusers.__version__) >= Version("0.40")
    return {"dtype" if new else "torch_dtype": dtype}
