"""A pad to draw on."""

import numpy as np
import pytest
from ipywidgets import Button
from PIL import Image

from helpers.drawing import Pad


def test_a_pad_keeps_what_is_drawn_on_it():
    paper = Image.new("RGB", (64, 64), "navy")
    pad = Pad(paper)

    def browser_says(event: str, **content) -> None:
        said = {"method": "custom", "content": {"event": event, **content}}
        pad.canvas.comm.handle_msg({"content": {"data": said}, "buffers": []})

    assert np.array_equal(pad.picture, paper), "it changed untouched"
    pad.colour.value, pad.width.value = "#ff0000", 24
    browser_says("mouse_move", x=9, y=9)  # the pen is up
    browser_says("mouse_down", x=60, y=192)
    browser_says("mouse_move", x=300, y=192)
    browser_says("mouse_up", x=300, y=192)
    browser_says("mouse_move", x=300, y=380)
    browser_says("touch_start", touches=[{"x": 60, "y": 300}])
    browser_says("touch_move", touches=[{"x": 120, "y": 300}])
    browser_says("touch_end", touches=[])
    red = (np.asarray(pad.picture) == (255, 0, 0)).all(-1)
    assert red[32, 10:50].all() and red[50, 11:20].all()
    assert not red[36:].any(0)[24:].any() and not red[:29].any()

    (clear,) = (w for w in pad.children[0].children if isinstance(w, Button))
    clear.click()
    assert np.array_equal(pad.picture, Image.new("RGB", (64, 64), "white"))


@pytest.mark.parametrize("size", [(1, 384), (2048, 16), (3, 700)])
@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_a_pad_takes_any_picture(mode, size):
    paper = Image.new("RGB", size, "white")
    pad = Pad(paper.convert(mode))
    assert np.array_equal(pad.picture, paper) and pad.width.value >= 1
