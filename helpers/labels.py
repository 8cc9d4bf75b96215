"""Text on a picture: a font for every sign, lines that fit below a picture."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

FONT_SIZE = 15
LINE = 19  # pixels from one line to the next
BOX = "□"  # drawn where no font has a sign


def wrap(text: str, width: int) -> list[str]:
    """Breaks a text into lines no wider than ``width`` pixels.

    It breaks at spaces, and inside a word where one is wider than a line.
    """
    lines = [""]
    for word in _signs(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if length(longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] * bool(lines[-1])
        for letter in _letters(word):
            if lines[-1] and length(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines if lines[0] else []


def length(line: str) -> float:
    """How many pixels a line is wide."""
    return sum(font.getlength(part) for font, part in _parts(line))


def write(draw: ImageDraw.ImageDraw, spot: tuple[float, float], lines: list[str]):
    """Draws lines in black; ``spot`` is the middle of their upper edge."""
    ascent, _ = _first_font().getmetrics()
    for i, line in enumerate(lines):
        x, y = spot[0] - length(line) / 2, spot[1] + ascent + i * LINE
        for font, part in _parts(line):
            draw.text((x, y), part, "black", font, "ls")
            x += font.getlength(part)


def missing(texts: list[str]) -> str:
    """The signs of some texts that no font on this machine has."""
    signs = sorted({s for text in texts for s in _visible(text) if not s.isspace()})
    return "".join(sign for sign in signs if _font(sign) is None)


def _visible(text: str) -> str:
    """A text without the signs that only say how others are drawn."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return "".join(
        " " if unicodedata.category(sign) == "Cc" else sign
        for sign in unicodedata.normalize("NFC", whole)
        if unicodedata.category(sign) != "Cf" and not 0xFE00 <= ord(sign) <= 0xFE0F
    )


def _signs(text: str) -> str:
    """What is drawn of a text: a box stands for what no font has."""
    return "".join(
        sign if sign.isspace() or _font(sign) else BOX for sign in _visible(text)
    )


def _letters(word: str) -> Iterator[str]:
    """A word's letters, each with the accents that follow it."""
    letter = ""
    for sign in word:
        if letter and not unicodedata.combining(sign):
            yield letter
            letter = ""
        letter += sign
    yield letter


def _parts(line: str) -> list[tuple[ImageFont.FreeTypeFont, str]]:
    """A line in parts of one font each; all of it in one, where one has all."""
    for font, has in (_pillow(), _dejavu()):
        if has.issuperset(map(ord, line)):
            return [(font, line)]
    groups = groupby(line, key=lambda sign: _font(sign) or _first_font())
    return [(font, "".join(signs)) for font, signs in groups]


def _first_font() -> ImageFont.FreeTypeFont:
    return _pillow()[0]


@cache
def _font(sign: str) -> ImageFont.FreeTypeFont | None:
    """The first font that has a sign: Pillow's, matplotlib's, this machine's."""
    for font, has in (_pillow(), _dejavu()):
        if ord(sign) in has:
            return font
    for path in _installed():
        font, has = _open(path)
        if font and ord(sign) in has:
            return font
    return None


@cache
def _pillow() -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """Pillow's own font, for Western Europe."""
    from matplotlib.ft2font import FT2Font

    font = ImageFont.load_default(FONT_SIZE)
    return font, frozenset(FT2Font(io.BytesIO(font.font_bytes)).get_charmap())


def _dejavu() -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """The font that matplotlib brings, for most alphabets."""
    import matplotlib

    return _open(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf")


@cache
def _open(path: str) -> tuple[ImageFont.FreeTypeFont | None, frozenset[int]]:
    """A font and the signs it has; no font where its file cannot be drawn from."""
    from matplotlib.ft2font import FT2Font

    try:
        font = ImageFont.truetype(path, FONT_SIZE)
        return font, frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # damaged, or coloured pictures of one size
        return None, frozenset()


@cache
def _installed() -> list[str]:
    """This machine's fonts, upright and regular ones first.

    Without matplotlib's for formulas, where other signs stand in the place of letters,
    and without "last resorts", which have a box for everything.
    """
    import matplotlib
    from matplotlib.font_manager import fontManager

    ours = Path(matplotlib.get_data_path())
    found = [
        font
        for font in fontManager.ttflist
        if ours not in Path(font.fname).parents
        and "lastresort" not in font.name.replace(" ", "").lower()
    ]
    found.sort(key=lambda font: (font.style != "normal", font.weight != 400))
    return [font.fname for font in found]
