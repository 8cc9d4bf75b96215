"""Picking by eye: one picture after the other, keep it, bin it, look closer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from ipywidgets import HTML, Button, HBox, Image, ToggleButton, VBox
from PIL import Image as Pictures

from helpers.files import written_whole

SIDE, CLOSER = 256, 512  # pixels on the screen


class Picker(VBox):
    """Shows pictures one by one; what was said of each is in a file at once.

    Opened again, it goes on with those of which nothing was said.

    Attributes:
        said: ``"keep"`` or ``"bin"``, by the name of the picture's file.
    """

    def __init__(
        self, paths: Sequence[Path], labels: Sequence[str], file: Path
    ) -> None:
        """Begins with the first picture of which the file says nothing.

        Args:
            paths: The pictures.
            labels: A line for each.
            file: Where the choices are kept, as JSON.
        """
        self._paths, self._labels, self._file = list(paths), list(labels), file
        said = json.loads(file.read_text()) if file.exists() else {}
        self.said: dict[str, str] = said
        self._at = self._next(0)
        self._picture, self._line = Image(format="png"), HTML()
        self.keep, self.bin = Button(description="Keep"), Button(description="Bin")
        self.back = Button(description="Back")
        self.zoom = ToggleButton(description="Zoom")
        self.keep.on_click(lambda _: self._say("keep"))
        self.bin.on_click(lambda _: self._say("bin"))
        self.back.on_click(lambda _: self._go(max(self._at - 1, 0)))
        self.zoom.observe(lambda _: self._show(), "value")
        buttons = HBox([self.keep, self.bin, self.back, self.zoom])
        super().__init__([buttons, self._line, self._picture])
        self._show()

    @property
    def kept(self) -> list[Path]:
        """The pictures to keep, in their order."""
        return [path for path in self._paths if self.said.get(path.name) == "keep"]

    def _next(self, start: int) -> int:
        """The first picture from there on of which nothing was said; or one too far."""
        for at in range(start, len(self._paths)):
            if self._paths[at].name not in self.said:
                return at
        return len(self._paths)

    def _say(self, word: str) -> None:
        if self._at < len(self._paths):
            self.said[self._paths[self._at].name] = word
            with written_whole(self._file) as part:
                part.write_text(json.dumps(self.said, indent=1))
            self._go(self._at + 1)

    def _go(self, at: int) -> None:
        self._at = at
        self._show()

    def _show(self) -> None:
        over = self._at >= len(self._paths)
        words = list(self.said.values())
        count = f"{words.count('keep')} kept, {words.count('bin')} binned"
        self.keep.disabled = self.bin.disabled = over
        if over:
            self._line.value = f"That was the last one: {count}."
            return
        path = self._paths[self._at]
        before = self.said.get(path.name, "")
        self._line.value = (
            f"{self._at + 1} of {len(self._paths)} · {self._labels[self._at]} · "
            f"{before + ' · ' if before else ''}{count}"
        )
        self._picture.value = _as_png(path, CLOSER if self.zoom.value else SIDE)
        self._picture.width = str(CLOSER if self.zoom.value else SIDE)


def _as_png(path: Path, side: int) -> bytes:
    """A picture at least so wide; small ones grow without being blurred."""
    file = BytesIO()
    with Pictures.open(path) as picture:
        times = max(side // max(picture.size), 1)
        size = tuple(times * n for n in picture.size)
        picture.resize(size, Pictures.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()
