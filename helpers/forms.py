"""Colab's form fields, working the same in JupyterLab.

``%load_ext helpers.forms`` shows the ``# @param`` lines of a cell as a form above its
output (https://colab.research.google.com/notebooks/forms.ipynb). As in Colab, a changed
value counts when the cell runs again. Colab has forms of its own.

On both, a cell that stops shows one sentence where there is one (``helpers.errors``).
"""

from __future__ import annotations

import html
import os
import re
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.display import display
from ipywidgets import HTML, IntText, VBox, jsdlink

from helpers.errors import speak_plainly
from helpers.fields import fill_line, parse_field
from helpers.widgets import Slider, same_value, to_widget

if TYPE_CHECKING:
    from IPython import InteractiveShell
    from ipywidgets import Widget

    Widgets = dict[str, Widget]
    Cell = str | tuple[str, ...]

HOW = (
    "What you change here counts when the cell runs again: click on ▶, or into the "
    "code and press Shift+Enter. The code goes on showing the old value."
)


class Browser:
    """Waits for what was typed and is still on its way.

    JupyterLab sends it beside the request to run a cell: it may arrive later, and be
    handled in another thread. Here the browser is asked to answer the same way. Where
    its answers come in no other thread, it cannot answer while a cell waits for it.

    Attributes:
        question: Of each one the next number.
        answer: The same number, by way of the browser.
    """

    SECONDS = 1.0  # until one is taken for gone

    def __init__(self) -> None:
        self.question, self.answer = IntText(), IntText()
        self._link = jsdlink((self.question, "value"), (self.answer, "value"))
        self.answer.observe(self._hear, "value")
        self._heard = threading.Event()
        self._answers = False
        self.ask()

    def ask(self) -> None:
        """Asks; the answer comes when it comes."""
        self._heard.clear()
        self.question.value += 1

    def wait(self) -> None:
        """Asks, and waits for the answer, where there has been one before."""
        self.ask()
        if self._answers:
            self._answers = self._heard.wait(self.SECONDS)

    def _hear(self, change: dict[str, Any]) -> None:
        main = threading.main_thread()
        self._answers = threading.current_thread() is not main
        if change["new"] == self.question.value:
            self._heard.set()


class Forms:
    """Shows the forms of a notebook's cells, and writes their values into the code.

    A form belongs to its cell: a copy of the cell begins with the values that it shows,
    and goes its own way. Who edits the code of a field gets a new field, with the
    edited value; the others stay. A field that its widget cannot hold has none, and its
    line counts as it is.

    Args:
        cell: Gives the id of the cell that runs; None where the front end has none.
            Such a cell is known by its fields.
        at_once: As of ``to_widget``.
    """

    def __init__(
        self,
        cell: Callable[[], str | None] = lambda: None,
        *,
        at_once: bool = True,
    ) -> None:
        self._cell, self._at_once = cell, at_once
        self.browser = Browser() if at_once else None
        self.widgets: dict[Cell, Widgets] = {}  # by cell, then by line
        self.boxes: dict[Cell, VBox] = {}  # what is shown
        self._last: dict[tuple[str, ...], Cell] = {}  # who had these lines last
        self._first: Cell | None = None  # whose form says how forms work

    def write(self, lines: list[str]) -> list[str]:
        """The lines of a cell with the values of its form; IPython calls this.

        Only what was changed in the form is written: other lines stay as they are.
        """
        fields, _ = _field_lines("".join(lines))
        if fields and self.browser:
            self.browser.wait()
        widgets = self._known(fields)
        written = []
        for line in lines:
            text = line.rstrip("\r\n")
            if text in widgets:
                value = widgets[text].value
                if not same_value(value, parse_field(text).default):
                    line = fill_line(text, value) + line[len(text) :]
            written.append(line)
        return written

    def show(self, info: Any) -> None:
        """Shows the form of the cell that is about to run; IPython calls this."""
        lines, broken = _field_lines(info.raw_cell)
        if not lines and not broken:
            return
        cell = self._cell() or lines or broken
        known, own = self._known(lines), self.widgets.get(cell, {})
        made = {line: own.get(line) or self._make(line, known) for line in lines}
        fields = {line: widget for line, widget in made.items() if widget is not None}
        if fields and self._first is None:
            self._first = cell
        said = _said([line for line in lines if line not in fields], broken)
        if cell == self._first:
            said.append(HOW)
        self.widgets[cell], self._last[lines] = fields, cell
        for widget in fields.values():
            if isinstance(widget, Slider):
                widget.settle()
        box = self.boxes.setdefault(cell, VBox())
        notes = {note.value: note for note in box.children if isinstance(note, HTML)}
        notes = [notes.get(one) or HTML(one) for one in map(html.escape, said)]
        box.children = (*fields.values(), *notes)
        display(box)
        if self.browser:
            self.browser.ask()

    def _known(self, lines: tuple[str, ...]) -> Widgets:
        """The widgets of the cell that runs; of a new one, those it is a copy of."""
        own = self.widgets.get(self._cell() or lines)
        return self.widgets.get(self._last.get(lines), {}) if own is None else own

    def _make(self, line: str, known: Widgets) -> Widget | None:
        widget = to_widget(parse_field(line), at_once=self._at_once)
        if widget is not None and line in known:
            widget.value = known[line].value
        return widget


def _said(codes: list[str], broken: tuple[str, ...]) -> list[str]:
    """What has to be said below a form of lines that have no field in it."""
    said = []
    if names := [parse_field(line).name for line in codes]:
        said.append(
            f"A form cannot show the value of {', '.join(names)}: what stands in "
            "the code counts, change it there."
        )
    for line in broken:
        said.append(
            f"No form can be made of “{line.strip()}”: what stands in the code counts. "
            'A field looks like this: steps = 20  # @param {type:"integer"}'
        )
    return said


def _field_lines(source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines of a cell that are form fields, and those that only mean to be."""
    lines, broken = [], []
    for line in source.splitlines():
        try:
            if parse_field(line):
                lines.append(line)
        except ValueError:
            if re.match(r"\s*\w+\s*=", line):
                broken.append(line)
    return tuple(lines), tuple(broken)


def _running_cell(shell: InteractiveShell) -> str | None:
    """The id of the cell that runs, as the front end says it."""
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return request.get("metadata", {}).get("cellId")


def _overtakes(shell: InteractiveShell) -> bool:
    """Whether what is typed reaches the kernel while a cell runs, letter by letter.

    Where it does not, a browser sends the first letter and keeps the others for later.
    """
    kernel = getattr(shell, "kernel", None)
    features = kernel.kernel_info.get("supported_features", []) if kernel else []
    return "kernel subshells" in features and "JPY_SESSION_NAME" in os.environ


def load_ipython_extension(shell: InteractiveShell) -> None:
    """For ``%load_ext helpers.forms``."""
    speak_plainly(shell)
    if "google.colab" in sys.modules:
        return
    forms = Forms(partial(_running_cell, shell), at_once=_overtakes(shell))
    shell.input_transformers_post.append(forms.write)
    shell.events.register("pre_run_cell", forms.show)
