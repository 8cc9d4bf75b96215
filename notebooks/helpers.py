"""Stands in for the course's helpers while the set-up cell has not run, and says so."""


class NotSetUp(ImportError):
    """What a restarted kernel says; without the lines that led to it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


raise NotSetUp(
    "This kernel is new: run the set-up cell, the first one with code, and the cells "
    "between it and this one (Run > Run All Above Selected Cell)."
)
