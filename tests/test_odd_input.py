"""What people paste and upload, made by machine: right, or a Mistake; never else."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from helpers import images
from helpers.errors import Mistake
from helpers.fields import fill_line, parse_field
from helpers.forms import Forms
from helpers.widgets import to_widget

FORMATS = "PNG JPEG GIF BMP TIFF WEBP PPM TGA ICO ICNS JPEG2000 AVIF PCX SGI DDS"
FORMATS = [*FORMATS.split(), "QOI", "DIB", "MPO", "XBM", "MSP", "SPIDER", "BLP"]
MODES = "1 L LA La P PA RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV I F I;16 I;16B".split()
PCX = b"\n\x05"  # has its palette at the end; without it, it is a grey picture
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F] = 6, "a camera"


def stable(examples: int):
    """The same inputs each time, so that a test that passes here passes elsewhere."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    """Red on the left, blue on the right, in any mode; a ramp where it is grey."""
    if mode[0] in "IF":
        ramp = np.linspace(0, 1 if mode == "F" else 60000, size[0] * size[1])
        kind = {"F": np.float32, "I": np.int32}.get(mode, np.uint16)
        grey = Image.fromarray(ramp.reshape(size[::-1]).astype(kind))
        return grey if mode != "I;16B" else Image.new("I;16B", size, 30000)
    if mode == "LAB":
        return Image.new("LAB", size, (120, 30, 40))
    rgb = Image.new("RGB", size, "red")
    ImageDraw.Draw(rgb).rectangle((size[0] // 2, 0, *size), "blue")
    steps = {"La": ("LA",), "RGBa": ("RGBA",), "PA": ("P",)}.get(mode, ())
    for step in (*steps, mode):
        rgb = rgb.convert(step)
    return rgb


def written(format: str, mode: str, size: tuple[int, int], words: bool) -> bytes:
    """A file as Pillow writes it; nothing where it does not write such a one."""
    if (format, mode) == ("ICNS", "P"):
        return b""  # Pillow loses the palette on reading
    more = {}
    if words:
        more = {"exif": EXIF, "icc_profile": b"no profile", "comment": b"a hippo"}
        if format == "PNG":
            more["pnginfo"] = PngInfo()
            more["pnginfo"].add_text("workflow", "x" * 2_000_000, zip=True)
    file = io.BytesIO()
    try:
        picture(mode, size).save(file, format, **more)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SystemError):
        return b""
    return file.getvalue()


def opens_or_tells(data: bytes, size) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's are no business of a learner
            opened = images.open_picture(data, size)
    except Mistake as mistake:
        assert mistake.kind in {"no picture", "too large", "heic"}
        return None
    assert opened.mode == "RGB"
    assert opened.size == (size if isinstance(size, tuple) else (size, size))
    return opened


sides = st.integers(1, 40)
files = st.builds(
    written,
    st.sampled_from(FORMATS),
    st.sampled_from(MODES),
    st.tuples(sides, sides),
    st.booleans(),
)
sizes = st.one_of(st.integers(1, 70), st.tuples(sides, sides))


@stable(300)
@given(files, sizes)
def test_what_pillow_writes_opens(data, size):
    assert not data or opens_or_tells(data, size)


@stable(300)
@given(st.data(), files, sizes)
def test_a_file_that_is_cut_off_is_told_or_whole(source, data, size):
    """Nothing but a whole picture: what is lost was not part of it."""
    assume(not data.startswith(PCX))
    cut = data[: source.draw(st.integers(0, len(data)))]
    if opened := opens_or_tells(cut, size):
        assert images.same(opened, images.open_picture(data, size))


@stable(400)
@given(
    files,
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    sizes,
)
def test_files_with_wrong_bytes_open_or_are_told(data, changes, size):
    broken = bytearray(data)
    for place, byte in changes:  # most of them near the beginning, where words stand
        if broken:
            broken[place % min(len(broken), 1 + place % 400)] = byte
    opens_or_tells(bytes(broken), size)


words = st.text(max_size=40)
numbers = st.one_of(st.integers(), st.floats(), st.booleans())
values = st.one_of(words, numbers, st.none(), st.lists(numbers, max_size=2))
literals = values.map(repr).filter(lambda text: "inf" not in text and "nan" not in text)
limits = st.one_of(
    st.integers(-300, 300), st.floats(-99, 99), st.sampled_from(['"a"', "1e999", "[]"])
)
kinds = st.sampled_from("slider number integer boolean string date raw list x".split())


@st.composite
def specs(draw) -> str:
    """The settings of a field, some of which make no sense."""
    chosen = draw(st.lists(words.filter(lambda t: "\\" not in t), max_size=3))
    parts = [f'type:"{draw(kinds)}"']
    for name in draw(st.sets(st.sampled_from(["min", "max", "step"]))):
        parts.append(f"{name}:{draw(limits)}")
    if draw(st.booleans()):
        parts.append("allow-input: true")
    options = repr(chosen) if chosen else ""
    return f"{options} {{{', '.join(parts)}}}".strip()


def lines():
    return st.builds("a = {}  # @param {}".format, literals, specs())


@stable(400)
@given(lines(), values)
def test_a_value_written_into_a_line_is_read_from_it(line, value):
    try:
        parse_field(line)
    except ValueError:
        return
    if "inf" in repr(value) or "nan" in repr(value):
        return  # have no literal in Python
    assert repr(parse_field(fill_line(line, value)).default) == repr(value)


@pytest.mark.seconds(6)
@stable(300)
@given(st.lists(lines(), min_size=1, max_size=4, unique=True))
def test_a_form_changes_nothing_that_nobody_changed(cell):
    forms, source = Forms(), "\n".join(cell)
    seen = TransformerManager().transform_cell(source).splitlines(keepends=True)
    forms.show(type("Info", (), {"raw_cell": source}))
    assert forms.write(seen) == seen
    assert "".join(forms.write(seen)).rstrip("\n") == source.rstrip("\n")
    for line in source.splitlines():
        try:
            field = parse_field(line)
        except ValueError:
            continue
        if field and (widget := to_widget(field)):
            assert widget.value == field.default


@stable(120)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=3), st.integers(1, 99))
def test_any_text_labels_a_picture(labels, width):
    """Inside its own column: the gap at either side stays white."""
    tiles = [Image.new("RGB", (width, 99), "white")] * len(labels)
    sheet = np.asarray(images.grid(tiles, cols=len(labels), labels=labels))
    columns = np.split(sheet, len(labels), axis=1)
    for column, label in zip(columns, labels, strict=True):
        drawn = (column < 128).any()
        assert drawn or not any(sign.isalnum() for sign in label)
        assert (column[:, :3] == 255).all() and (column[:, -3:] == 255).all()
