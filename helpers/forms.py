"""Colab's form fields, working the same in JupyterLab.

``%load_ext helpers.forms`` shows the ``# @param`` lines of a cell as a form above its
output (https://colab.research.google.com/notebooks/forms.ipynb). As in Colab, a changed
value counts when the cell runs again. In Colab, which has forms of its own, it does
nothing.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython import InteractiveShell
    from ipywidgets import Widget

FIELD = re.compile(r"^(?P<name>\w+) = (?P<literal>.+?)\s+# ?@param\b(?P<spec>.*)$")
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


def fill_line(line: str, value: Any) -> str:
    """A form field's line with another value in it."""
    start, end = FIELD.match(line).span("literal")
    return line[:start] + repr(value) + line[end:]


def fields(source: str) -> list[Field]:
    """The form fields of a cell, in their order."""
    return [field for line in source.splitlines() if (field := parse_field(line))]


def to_widget(field: Field) -> Widget:
    """The ipywidget for a field; its ``value`` is the field's.

    Combobox and Text hand on what was typed when Enter is pressed or it loses focus.
    """
    import ipywidgets

    look = {
        "description": field.name,
        "value": field.default,
        "style": {"description_width": "12em"},
        "layout": {"width": "min(100%, 48em)"},
    }
    whole = isinstance(field.default, int) and isinstance(
        field.spec.get("step", 1), int
    )
    if field.options and field.spec.get("allow-input"):
        return ipywidgets.Combobox(
            options=field.options, continuous_update=False, **look
        )
    if field.options:
        return ipywidgets.Dropdown(options=field.options, **look)
    if field.kind == "slider":
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        limits = {k: field.spec[k] for k in ("min", "max", "step") if k in field.spec}
        return kind(continuous_update=False, **limits, **look)
    if field.kind == "boolean":
        return ipywidgets.Checkbox(indent=False, **look)
    if field.kind == "integer":
        return ipywidgets.IntText(**look)
    if field.kind == "number":
        return ipywidgets.FloatText(**look)
    return ipywidgets.Text(continuous_update=False, **look)


class Forms:
    """Shows the forms of a notebook's cells, and writes their values into the code.

    A form belongs to its fields as they stand in the notebook: who edits the code of a
    field gets a new form, with the edited value.
    """

    def __init__(self) -> None:
        self.widgets: dict[tuple[str, ...], dict[str, Widget]] = {}

    def write(self, lines: list[str]) -> list[str]:
        """The lines of a cell with the values of its form; IPython calls this."""
        widgets = self.widgets.get(_field_lines("".join(lines)), {})
        return [
            fill_line(line, widgets[field].value)
            if (field := line.rstrip("\n")) in widgets
            else line
            for line in lines
        ]

    def show(self, info: Any) -> None:
        """Shows the form of the cell that is about to run; IPython calls this."""
        from IPython.display import display
        from ipywidgets import VBox

        key = _field_lines(info.raw_cell)
        if key and key not in self.widgets:
            self.widgets[key] = {line: to_widget(parse_field(line)) for line in key}
        if key:
            display(VBox(list(self.widgets[key].values())))


def _field_lines(source: str) -> tuple[str, ...]:
    """The lines of a cell that are form fields; none where one is not understood."""
    try:
        return tuple(line for line in source.splitlines() if parse_field(line))
    except ValueError:
        return ()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """For ``%load_ext helpers.forms``."""
    import sys

    if "google.colab" in sys.modules:
        return
    forms = Forms()
    shell.input_transformers_post.append(forms.write)
    shell.events.register("pre_run_cell", forms.show)
