"""The ipywidget of a form field, where what is typed counts at once; a live picture."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

from ipywidgets import (
    HTML,
    BoundedIntText,
    Checkbox,
    Combobox,
    Dropdown,
    FloatSlider,
    FloatText,
    HBox,
    IntSlider,
    IntText,
    Text,
    VBox,
    jslink,
)
from ipywidgets import Image as Window
from traitlets import TraitError

from helpers.images import grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipywidgets import Widget
    from PIL import Image

    from helpers.fields import Field

LARGEST = 2**53  # a browser rounds whole numbers beyond
LABEL = {"description_width": "12em"}


def to_widget(field: Field, *, at_once: bool = True) -> Widget | Slider | None:
    """The ipywidget for a field; its ``value`` is the field's.

    Args:
        field: The form field.
        at_once: Hand on each letter when it is typed. If not, what was typed is handed
            on when Enter is pressed, or on the way out of the field.

    Returns:
        The widget, or None where none can hold the value that stands in the code.
    """
    try:
        widget = _build(field, {"continuous_update": at_once})
    except (TraitError, TypeError, ValueError, ArithmeticError):
        return None
    holds = same_value(widget.value, field.default) and _is_shown(field.default)
    return widget if holds else None


class Slider(VBox):
    """A slider with its number beside it, into which one can type.

    The number that ipywidgets has itself forgets what was typed, unless Enter is
    pressed. The browser keeps the two alike, also while a cell runs.
    """

    def __init__(
        self,
        name: str,
        value: float,
        limits: dict[str, Any],
        typing: dict[str, bool],
    ) -> None:
        """Begins at a value within its limits: ``min``, ``max`` and ``step``."""
        whole = all(isinstance(n, int) for n in (value, *limits.values()))
        slider, number = (_IntSlider, IntText) if whole else (_FloatSlider, FloatText)
        self.slider = slider(
            value=value,
            description=name,
            style=LABEL,
            readout=False,
            continuous_update=False,
            layout={"width": "40em", "flex": "0 1 auto"},
            **limits,
        )
        width = {"width": "7em", "flex": "0 0 auto"}
        self.number = number(value=value, layout=width, **typing)
        self.note = HTML()
        self.note.layout.display = "none"
        self._link = jslink((self.slider, "value"), (self.number, "value"))
        self._typing = typing
        self.number.observe(self._tidy, "value")
        row = HBox([self.slider, self.number], layout={"width": "min(100%, 48em)"})
        super().__init__([row, self.note])

    @property
    def description(self) -> str:
        """The name of the field."""
        return self.slider.description

    @property
    def value(self) -> float:
        """What counts: the number, or the end of the slider that it is beyond."""
        value = min(max(self.number.value, self.slider.min), self.slider.max)
        return _without_noise(value)

    @value.setter
    def value(self, value: float) -> None:
        self.number.value = self.slider.value = value

    def _tidy(self, change: dict[str, Any]) -> None:
        """Somebody moved it: from now on the number follows at once, without noise.

        (Not from the beginning: a new slider in the browser would add noise of its
        own to a value that nobody touched.)
        """
        self.slider.continuous_update = self._typing["continuous_update"]
        if change["new"] != (tidy := _without_noise(change["new"])):
            self.number.value = tidy

    def settle(self) -> None:
        """Shows the value that counts, and says so where another one was typed."""
        typed, value = self.number.value, self.value
        self.note.layout.display = "none" if typed == value else None
        if typed != value:
            self.note.value = (
                f"{self.description} goes from {self.slider.min} to "
                f"{self.slider.max}: {value} is taken for {typed}."
            )
            self.value = value


def redrawn(
    draw: Callable[[float], Image.Image],
    name: str,
    value: float,
    lowest: float = 0,
) -> VBox:
    """A slider up to 1 with a picture below it, drawn anew when the slider is let go.

    Args:
        draw: Makes the picture of a value.
        name: Of the value; it stands beside the slider and, with it, under the picture.
        value: Where the slider is at first.
        lowest: Where it begins.
    """
    slider = FloatSlider(value, min=lowest, max=1, step=0.05, description=name)
    slider.style.description_width = "initial"  # as wide as the name
    slider.continuous_update = False  # or each place on the way would be drawn
    window = Window()

    def show(_: Any = None) -> None:
        value, file = _without_noise(slider.value), io.BytesIO()
        grid([draw(value)], labels=[f"{name} {value:g}"]).save(file, "PNG")
        window.value = file.getvalue()

    slider.observe(show, "value")
    show()
    return VBox([slider, window])


def _without_noise(value: float) -> float:
    """0.8 for the 0.7999999999999999 that a slider of a browser makes of it."""
    return round(value, 10)


class _IntSlider(IntSlider):
    """One that leaves a value beyond its ends alone while somebody types it."""

    def _validate_value(self, proposal: dict[str, Any]) -> int:
        return proposal["value"]


class _FloatSlider(FloatSlider):
    """As ``_IntSlider``."""

    def _validate_value(self, proposal: dict[str, Any]) -> float:
        return proposal["value"]


def _build(field: Field, typing: dict[str, bool]) -> Widget | Slider:
    look = {
        "description": field.name,
        "value": field.default,
        "style": LABEL,
        "layout": {"width": "min(100%, 48em)"},
    }
    if field.options and field.spec.get("allow-input"):
        return Combobox(options=field.options, **typing, **look)
    if field.options:
        first = [field.options[field.options.index(one)] for one in field.options]
        if not all(map(same_value, first, field.options)):
            raise ValueError(f"{field.name} has options that a drop-down mixes up")
        return Dropdown(options=field.options, **look)
    if field.kind == "slider":
        return Slider(field.name, field.default, _limits(field), typing)
    if field.kind == "boolean":
        return Checkbox(indent=False, **look)
    if field.kind == "integer":
        return BoundedIntText(min=-LARGEST, max=LARGEST, **typing, **look)
    if field.kind == "number":
        return FloatText(**typing, **look)
    return Text(**typing, **look)


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


def same_value(value: Any, other: Any) -> bool:
    """Whether two values mean the same in the code: 2.0 is 2, True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _is_shown(value: Any) -> bool:
    """Whether a browser shows a value as it is."""
    if isinstance(value, str):
        return not re.search(r"[\r\n\0\ud800-\udfff]", value)
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return not isinstance(value, float) or math.isfinite(value)
