"""A slider with a live picture."""

import io

import numpy as np
from PIL import Image

from helpers.images import grid
from helpers.widgets import redrawn


def test_a_picture_is_drawn_anew_when_its_slider_is_let_go():
    asked = []

    def draw(value: float) -> Image.Image:
        asked.append(value)
        return Image.new("RGB", (64, 64), (round(255 * value), 0, 0))

    slider, window = redrawn(draw, "red", 0.6, lowest=0.05).children
    assert not slider.continuous_update, "each place on the way is drawn"
    assert (slider.min, slider.max, slider.description) == (0.05, 1, "red")

    def shown() -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(window.value)))

    assert np.array_equal(shown(), grid([draw(0.6)], labels=["red 0.6"]))
    slider.set_state({"value": 0.15000000000000002})  # as the browser says it
    assert np.array_equal(shown(), grid([draw(0.15)], labels=["red 0.15"]))
    assert asked == [0.6, 0.6, 0.15, 0.15], "once for each, and without a float's noise"
