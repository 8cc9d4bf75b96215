"""What is in a notebook: its form fields, and the form it has in the repository."""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

FIELD = re.compile(r"^(?P<name>\w+) = (?P<literal>.+?)\s+# ?@param\b(?P<spec>.*)$")
TEXT = {"string", "date"}
NUMBERS = {"slider": (int, float), "number": (int, float), "integer": int}

METADATA = {
    "accelerator": "GPU",
    "colab": {"gpuType": "T4", "provenance": [], "toc_visible": True},
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
CELL_METADATA = {"cellView", "jupyter", "tags"}


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
        match = FIELD.match(line)
        text = match["spec"].strip()
        options, settings = re.fullmatch(r"(\[.*\])?\s*(\{.*\})?", text).groups()
        # Colab's settings are JSON, except that names may stand without quotes.
        strings_or_names = re.compile(r'("(?:[^"\\]|\\.)*")|([\w-]+)\s*:')
        quoted = strings_or_names.sub(lambda m: m[1] or f'"{m[2]}":', settings or "{}")
        spec = json.loads(quoted)
        default = ast.literal_eval(match["literal"])
        choices = ast.literal_eval(options or "[]")
    except (TypeError, AttributeError, ValueError, SyntaxError) as error:
        raise ValueError(f"not a form field: {line.strip()}") from error
    # A drop-down gives text, whatever its options look like, unless it is "raw".
    raw = spec.get("type") == "raw"
    values = tuple(ast.literal_eval(str(c)) if raw else str(c) for c in choices)
    return Field(match["name"], default, spec.get("type", "list"), values, spec)


def fields(source: str) -> list[Field]:
    """The form fields of a cell, in their order."""
    return [field for line in source.splitlines() if (field := parse_field(line))]


def fill(notebook: NotebookNode, value: Callable[[Field], Any]) -> NotebookNode:
    """A copy of the notebook with other values in its form fields.

    Args:
        notebook: The notebook; it stays as it is.
        value: Gives the new value of a field.
    """

    def filled(line: str) -> str:
        field = parse_field(line)
        if field is None:
            return line
        match = FIELD.match(line)
        start, end = match.span("literal")
        return line[:start] + repr(value(field)) + line[end:]

    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = "\n".join(map(filled, cell.source.split("\n")))
    return copy


def tidy(notebook: NotebookNode) -> NotebookNode:
    """A copy as it is committed: no outputs, no counts, no widgets, a T4 in Colab."""
    copy = nbformat.from_dict(notebook)
    copy.metadata = nbformat.from_dict(METADATA)
    copy.nbformat, copy.nbformat_minor = 4, 5
    for number, cell in enumerate(copy.cells):
        cell.setdefault("id", f"cell-{number}")
        keep = {k: v for k, v in cell.metadata.items() if k in CELL_METADATA}
        cell.metadata = nbformat.from_dict(keep)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy
