"""Colab's form fields in the code of a cell: read them, and write values into them.

A field is a line ``name = literal  # @param ...``
(https://colab.research.google.com/notebooks/forms.ipynb).
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

PARAM = re.compile(r"\s*# ?@param\b")
TEXT = {"string", "date"}
NUMBERS = {"slider": (int, float), "number": (int, float), "integer": int}


@dataclass(frozen=True)
class Field:
    """A form field: one line ``name = literal  # @param ...`` of a code cell.

    Attributes:
        name: The variable that the field sets.
        default: The value that stands in the notebook.
        kind: Colab's type, for example "slider"; "list" for a plain drop-down.
        options: The choices of a drop-down, empty for any other field.
        spec: The settings of the field, such as ``min`` and ``max``.
    """

    name: str
    default: Any
    kind: str
    options: tuple[Any, ...]
    spec: dict[str, Any]

    @property
    def lowest(self) -> Any:
        """The first option, False, the smallest number; else the default."""
        return self._end(0, False, "min")

    @property
    def highest(self) -> Any:
        """The last option, True, the largest number; else the default."""
        return self._end(-1, True, "max")

    def _end(self, index: int, flag: bool, limit: str) -> Any:
        if self.options:
            return self.options[index]
        if self.kind == "boolean":
            return flag
        return self.spec.get(limit, self.default)

    def check(self) -> None:
        """Raises ValueError where the default is not a value the form could give."""
        low, high = self.spec.get("min"), self.spec.get("max")
        problem = None
        if self.options:
            if self.default not in self.options and not self.spec.get("allow-input"):
                problem = "is not one of its options"
        elif self.kind in NUMBERS:
            if isinstance(self.default, bool) or not isinstance(
                self.default, NUMBERS[self.kind]
            ):
                problem = "is not a number of its type"
            elif low is not None and self.default < low:
                problem = "is below its minimum"
            elif high is not None and self.default > high:
                problem = "is above its maximum"
            elif self.kind == "slider" and None in (low, high):
                problem = "has a slider without an end"
        elif self.kind in TEXT and not isinstance(self.default, str):
            problem = "is not text"
        elif self.kind == "boolean" and not isinstance(self.default, bool):
            problem = "is not True or False"
        if problem:
            raise ValueError(f"{self.name} = {self.default!r} {problem}")


def parse_field(line: str) -> Field | None:
    """Reads a line of code as a form field.

    Args:
        line: For example ``steps = 25  # @param {type:"slider", min:1, max:50}``.

    Returns:
        The field, or None for a line without ``@param``.

    Raises:
        ValueError: The line has ``@param`` and is not a field that Colab shows.
    """
    if not re.search(r"# ?@param\b", line):
        return None
    try:
        name, (start, end), text = _split(line)
        options, settings = re.fullmatch(r"(\[.*\])?\s*(\{.*\})?", text).groups()
        # Colab's settings are JSON, except that names may stand without quotes.
        strings_or_names = re.compile(r'("(?:[^"\\]|\\.)*")|([\w-]+)\s*:')
        quoted = strings_or_names.sub(lambda m: m[1] or f'"{m[2]}":', settings or "{}")
        spec = json.loads(quoted)
        kind = spec.get("type", "list")
        # A drop-down gives text, whatever its options look like, unless it is "raw".
        value = ast.literal_eval if kind == "raw" else str
        choices = ast.literal_eval(options or "[]")
        values = tuple(value(str(choice)) for choice in choices)
        default = ast.literal_eval(line[start:end])
        return Field(name, default, f"{kind}", values, spec)
    except (
        TypeError,
        AttributeError,
        ValueError,
        SyntaxError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ValueError(f"not a form field: {line.strip()}") from error


def fill_line(line: str, value: Any) -> str:
    """A form field's line with another value in it."""
    _, (start, end), _ = _split(line)
    return line[:start] + repr(value) + line[end:]


def _split(line: str) -> tuple[str, tuple[int, int], str]:
    """The name, where the literal stands, the settings.

    A text may hold ``# @param``, too; and around ``=`` people write what they like.
    """
    begin = re.match(r"(\w+)[ \t]*=[ \t]*(?!=)", line)
    start = begin.end()
    for mark in PARAM.finditer(line, start + 1):
        try:
            ast.literal_eval(line[start : mark.start()])
        except (ValueError, SyntaxError):
            continue
        return begin[1], (start, mark.start()), line[mark.end() :].strip()
    raise ValueError(line)


def fields(source: str) -> list[Field]:
    """The form fields of a cell, in their order."""
    return [field for line in source.splitlines() if (field := parse_field(line))]
