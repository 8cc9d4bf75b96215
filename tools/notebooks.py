"""What is in a notebook: its form fields, and the form it has in the repository."""

import ast
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nbformat
from nbformat import NotebookNode

from helpers.fields import Field, fill_line, parse_field

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


def fill(notebook: NotebookNode, value: Callable[[Field], Any]) -> NotebookNode:
    """A copy of the notebook with other values in its form fields.

    Args:
        notebook: The notebook; it stays as it is.
        value: Gives the new value of a field.
    """

    def filled(line: str) -> str:
        field = parse_field(line)
        return line if field is None else fill_line(line, value(field))

    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = "\n".join(map(filled, cell.source.split("\n")))
    return copy


def typed(field: Field, text: str) -> Any:
    """The value that a form field makes of what is typed into it.

    Args:
        field: The field; its type decides, not what the text looks like.
        text: For example ``"1984"``, which is a prompt in a field for text.

    Raises:
        ValueError: The field could not give this; the sentence says what it takes.
    """
    try:
        value = _of_its_type(field, text)
        replace(field, default=value).check()
    except (ValueError, SyntaxError):
        raise ValueError(f"{field.name}={text}: it takes {takes(field)}") from None
    return value


def _of_its_type(field: Field, text: str) -> Any:
    if field.options:
        same = [option for option in field.options if str(option) == text]
        if not same and field.kind == "raw":
            return ast.literal_eval(text)
        return same[0] if same else text
    if field.kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.kind == "raw":
        return ast.literal_eval(text)
    if field.kind in ("slider", "number", "integer"):
        value = int(text) if _is_whole(field) else float(text)
        if not math.isfinite(value):
            raise ValueError("not a number")
        return value
    return text


def _is_whole(field: Field) -> bool:
    """Whether a field gives whole numbers only."""
    numbers = field.default, field.spec.get("step", 1)
    slides = field.kind == "slider" and all(isinstance(n, int) for n in numbers)
    return field.kind == "integer" or slides


def takes(field: Field) -> str:
    """What a form field takes, in words."""
    low, high = field.spec.get("min"), field.spec.get("max")
    if field.options:
        return "one of " + ", ".join(map(str, field.options))
    if field.kind == "boolean":
        return "True or False"
    if field.kind == "raw":
        return "what Python can read, text in quotes"
    number = "a whole number" if _is_whole(field) else "a number"
    ends = {"from": low, "to": high}
    return " ".join([number, *(f"{k} {v}" for k, v in ends.items() if v is not None)])


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
