"""What is in a notebook: its form fields, and the form it has in the repository."""

from collections.abc import Callable
from typing import Any

import nbformat
from nbformat import NotebookNode

from helpers.forms import Field, fill_line, parse_field

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
