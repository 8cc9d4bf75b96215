"""The libraries' manners: what they say unasked, and a keyword that was renamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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


def in_dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The keyword of ``from_pretrained`` that says in which numbers to load.

    It was renamed in diffusers 0.40; the other name is ignored in silence.
    """
    import diffusers
    from packaging.version import Version

    new = Version(diffusers.__version__) >= Version("0.40")
    return {"dtype" if new else "torch_dtype": dtype}
