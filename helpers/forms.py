"""Colab's form fields, working the same in JupyterLab.

``%load_ext helpers.forms`` shows the ``# @param`` lines of a cell as a form above its
output (https://colab.research.google.com/notebooks/forms.ipynb). As in Colab, a changed
value counts when the cell runs again. Colab has forms of its own.

On both, a cell that stops shows one sentence where there is one (``helpers.errors``).
"""

from __future__ import annotations

import ast
import html
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from helpers.errors import speak_plainly

if TYPE_CHECKING:
    from IPython import InteractiveShell
    from ipywidgets import Widget

PARAM = re.compile(r"\s+# ?@param\b")
LARGEST = 2**53  # a browser rounds whole numbers beyond
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
        name, literal, text = _split(line)
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
        return Field(name, ast.literal_eval(literal), f"{kind}", values, spec)
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
    name, literal, _ = _split(line)
    start = len(f"{name} = ")
    return line[:start] + repr(value) + line[start + len(literal) :]


def _split(line: str) -> tuple[str, str, str]:
    """The name, the literal and the settings; a text may hold ``# @param`` too."""
    name = re.match(r"\w+(?= = )", line)[0]
    start = len(f"{name} = ")
    for mark in PARAM.finditer(line, start + 1):
        literal = line[start : mark.start()]
        try:
            ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            continue
        return name, literal, line[mark.end() :].strip()
    raise ValueError(line)


def fields(source: str) -> list[Field]:
    """The form fields of a cell, in their order."""
    return [field for line in source.splitlines() if (field := parse_field(line))]


def to_widget(field: Field) -> Widget | None:
    """The ipywidget for a field; its ``value`` is the field's.

    Combobox and Text hand on what was typed when Enter is pressed or it loses focus.

    Returns:
        The widget, or None where none can hold the value that stands in the code.
    """
    from traitlets import TraitError

    try:
        widget = _build(field)
    except (TraitError, TypeError, ValueError, ArithmeticError):
        return None
    holds = _same(widget.value, field.default) and _is_shown(field.default)
    return widget if holds else None


def _build(field: Field) -> Widget:
    import ipywidgets

    look = {
        "description": field.name,
        "value": field.default,
        "style": {"description_width": "12em"},
        "layout": {"width": "min(100%, 48em)"},
    }
    if field.options and field.spec.get("allow-input"):
        return ipywidgets.Combobox(
            options=field.options, continuous_update=False, **look
        )
    if field.options:
        first = [field.options[field.options.index(one)] for one in field.options]
        if not all(map(_same, first, field.options)):
            raise ValueError(f"{field.name} has options that a drop-down mixes up")
        return ipywidgets.Dropdown(options=field.options, **look)
    if field.kind == "slider":
        limits = _limits(field)
        whole = all(isinstance(n, int) for n in (field.default, *limits.values()))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        return kind(continuous_update=False, **limits, **look)
    if field.kind == "boolean":
        return ipywidgets.Checkbox(indent=False, **look)
    if field.kind == "integer":
        return ipywidgets.IntText(**look)
    if field.kind == "number":
        return ipywidgets.FloatText(**look)
    return ipywidgets.Text(continuous_update=False, **look)


def _limits(field: Field) -> dict[str, Any]:
    """A slider's limits, wide enough for its value.

    Raises:
        ValueError: The value lies between two steps of the slider.
    """
    low, high = field.spec.get("min", 0), field.spec.get("max", 100)
    step = field.spec.get("step", 1 if isinstance(field.default, int) else 0.1)
    steps = (field.default - low) / step
    if not math.isclose(steps, round(steps), abs_tol=1e-6):
        raise ValueError(f"{field.name} = {field.default!r} lies between two steps")
    limits = {"min": min(low, field.default), "max": max(high, field.default)}
    limits["step"] = step
    if step < 0 or not all(map(_is_shown, limits.values())):
        raise ValueError(f"{field.name} has a slider without ends")
    return limits


def _same(value: Any, other: Any) -> bool:
    """Whether two values mean the same in the code: 2.0 is 2, True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _is_shown(value: Any) -> bool:
    """Whether a browser shows a value as it is."""
    if isinstance(value, str):
        return not re.search(r"[\r\n\0\ud800-\udfff]", value)
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return not isinstance(value, float) or math.isfinite(value)


class Forms:
    """Shows the forms of a notebook's cells, and writes their values into the code.

    A form belongs to its fields as they stand in the notebook: who edits the code of a
    field gets a new form, with the edited value. A field that its widget cannot hold
    has none, and its line counts as it is.
    """

    def __init__(self) -> None:
        self.widgets: dict[tuple[str, ...], dict[str, Widget]] = {}
        self.boxes: dict[tuple[str, ...], Widget] = {}  # what is shown

    def write(self, lines: list[str]) -> list[str]:
        """The lines of a cell with the values of its form; IPython calls this.

        Only what was changed in the form is written: other lines stay as they are.
        """
        widgets = self.widgets.get(_field_lines("".join(lines)), {})
        written = []
        for line in lines:
            text = line.rstrip("\r\n")
            if text in widgets:
                value = widgets[text].value
                if not _same(value, parse_field(text).default):
                    line = fill_line(text, value) + line[len(text) :]
            written.append(line)
        return written

    def show(self, info: Any) -> None:
        """Shows the form of the cell that is about to run; IPython calls this."""
        from IPython.display import display

        key = _field_lines(info.raw_cell)
        if key and key not in self.boxes:
            self.boxes[key] = self._box(key)
        if key:
            display(self.boxes[key])

    def _box(self, key: tuple[str, ...]) -> Widget:
        """A form, with what has to be said of it below."""
        from ipywidgets import HTML, VBox

        made = {line: to_widget(parse_field(line)) for line in key}
        self.widgets[key] = {line: w for line, w in made.items() if w is not None}
        said = []
        if codes := [parse_field(line).name for line in key if made[line] is None]:
            said.append(
                f"A form cannot show the value of {', '.join(codes)}: what stands in "
                "the code counts, change it there."
            )
        if not self.boxes and self.widgets[key]:
            said.append(
                "What you change here counts when the cell runs again; the code goes "
                "on showing the old value."
            )
        notes = [HTML(html.escape(sentence)) for sentence in said]
        return VBox([*self.widgets[key].values(), *notes])


def _field_lines(source: str) -> tuple[str, ...]:
    """The lines of a cell that are form fields; none where one is not understood."""
    try:
        return tuple(line for line in source.splitlines() if parse_field(line))
    except ValueError:
        return ()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """For ``%load_ext helpers.forms``."""
    import sys

    speak_plainly(shell)
    if "google.colab" in sys.modules:
        return
    forms = Forms()
    shell.input_transformers_post.append(forms.write)
    shell.events.register("pre_run_cell", forms.show)
