"""A picture to draw on in the notebook, with the mouse or a finger."""

from __future__ import annotations

import sys

import numpy as np
from ipycanvas import Canvas
from ipywidgets import Button, ColorPicker, HBox, IntSlider, VBox
from PIL import Image, ImageDraw

from helpers.pictures import as_rgb

SIDE = 384  # pixels on the screen, at least


class Pad(VBox):
    """Shows a picture to draw on; ``picture`` is what it has become.

    What is drawn is kept here as well as in the browser, so nothing has to be sent
    back, and a page that is opened again shows it again.
    """

    def __init__(self, picture: Image.Image) -> None:
        """Begins with a copy of a picture, of any mode and size."""
        if "google.colab" in sys.modules:  # does not show widgets of others unasked
            from google.colab import output

            output.enable_custom_widget_manager()
        self._size = picture.size
        times = max(round(SIDE / max(picture.size)), 1)
        width, height = (side * times for side in picture.size)
        paper = as_rgb(picture)
        self._drawn = paper.resize((width, height), Image.Resampling.NEAREST)
        self._last: tuple[float, float] | None = None  # where the pen is, if it is down
        self.canvas = Canvas(width=width, height=height)
        self.colour = ColorPicker(value="#000000", description="colour")
        self.width = IntSlider(value=max(width // 40, 1), min=1, max=max(width // 4, 4))
        self.width.description = "width"
        clear = Button(description="White paper")
        clear.on_click(self._clear)
        super().__init__([HBox([self.colour, self.width, clear]), self.canvas])

        canvas = self.canvas
        canvas.on_client_ready(self._show)
        canvas.on_mouse_down(self._down)
        canvas.on_mouse_move(self._move)
        canvas.on_mouse_up(self._up)
        canvas.on_mouse_out(self._up)
        canvas.on_touch_start(lambda touches: self._down(*touches[0]))
        canvas.on_touch_move(lambda touches: self._move(*touches[0]))
        canvas.on_touch_end(lambda _: self._up())
        self._show()

    @property
    def picture(self) -> Image.Image:
        """What is on the paper now, in the size of the picture it began with."""
        return self._drawn.resize(self._size, Image.Resampling.BOX)

    def _show(self) -> None:
        self.canvas.put_image_data(np.asarray(self._drawn))

    def _clear(self, _: Button) -> None:
        self._drawn.paste("white", (0, 0, *self._drawn.size))
        self._show()

    def _down(self, x: float, y: float) -> None:
        self._last = (x, y)
        self._move(x, y)

    def _up(self, *_: float) -> None:
        self._last = None

    def _move(self, x: float, y: float) -> None:
        """A line from where the pen was, with round ends, here and on the screen."""
        if self._last is None:
            return
        colour, width = self.colour.value, self.width.value
        pen = ImageDraw.Draw(self._drawn)
        pen.line((*self._last, x, y), colour, width)
        for end in (self._last, (x, y)):
            pen.circle(end, width / 2, colour)
        self.canvas.stroke_style, self.canvas.line_width = colour, width
        self.canvas.line_cap = "round"
        self.canvas.stroke_line(*self._last, x, y)
        self._last = (x, y)
