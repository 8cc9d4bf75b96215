"""Grids, files with their settings, and any picture a learner has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from course import draw
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from helpers import images
from helpers.errors import Mistake
from helpers.names import find_path


def test_a_picture_is_made_again_from_its_file(pipe, tmp_path):
    made = {"prompt": "a hippo in “the” city ☂", "seed": 1024, "guidance_scale": 7.5}
    made["num_inference_steps"] = 3
    picture = draw(pipe, **made)
    file = images.save(picture, tmp_path / "new" / "hippo.png", **made)
    assert images.read_settings(file) == made
    again = draw(pipe, **images.read_settings(file))
    assert np.array_equal(again, Image.open(file))
    assert not np.array_equal(draw(pipe, **made | {"seed": 1025}), again)


def test_only_png_files_carry_settings(tmp_path):
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(ValueError, match=r"let it end in \.png"):
        images.save(picture, tmp_path / "hippo.jpg", seed=1)
    picture.save(tmp_path / "plain.png")
    with pytest.raises(ValueError, match="plain.png holds no settings"):
        images.read_settings(tmp_path / "plain.png")


def test_grid_places_pictures_in_rows_and_labels_below():
    colours = ["red", "green", "blue"]
    tiles = [Image.new("RGB", (128, 64), colour) for colour in colours]
    plain = np.asarray(images.grid(tiles, cols=2))
    cell = (plain.shape[0] // 2, plain.shape[1] // 2)
    assert cell == (2 * 64 + 2 * images.GAP, 2 * 128 + 2 * images.GAP)
    for i, tile in enumerate(tiles):
        spot = (i // 2 * cell[0] + cell[0] // 2, i % 2 * cell[1] + cell[1] // 2)
        assert tuple(plain[spot]) == tile.getpixel((0, 0))
    assert (plain[cell[0] :, cell[1] :] == 255).all()  # there is no fourth

    labelled = np.asarray(images.grid(tiles, cols=2, labels=["a", "", "c " * 60]))
    below = labelled[labelled.shape[0] // 2 - 20 - images.GAP : labelled.shape[0] // 2]
    assert labelled.shape[0] > plain.shape[0] and labelled.shape[1] == plain.shape[1]
    assert (labelled[-60:, : cell[1]] < 128).any()  # the long label, wrapped
    assert (below[:, cell[1] :] == 255).all()  # the empty one


def test_grid_enlarges_all_pictures_alike():
    tiles = [Image.new("RGB", (side, side), "black") for side in (32, 64)]
    sheet = np.asarray(images.grid(tiles, cols=2, side=130))
    assert sheet.shape[:2] == (128 + 2 * images.GAP, 2 * (128 + 2 * images.GAP))
    widths = (sheet[images.GAP + 1] < 128).all(-1)
    half = len(widths) // 2
    assert (widths[:half].sum(), widths[half:].sum()) == (64, 128)


def test_grid_leaves_large_pictures_as_they_are():
    picture = Image.effect_noise((300, 200), 50).convert("RGB")
    edge = images.GAP
    part = images.grid([picture]).crop((edge, edge, edge + 300, edge + 200))
    assert np.array_equal(part, picture)


def test_grid_shrinks_large_pictures_to_a_side_that_is_given():
    pictures = [Image.new("RGB", size) for size in ((512, 512), (512, 256))]
    gap = 2 * images.GAP
    assert images.grid(pictures, cols=2, side=128).size == (2 * (128 + gap), 128 + gap)


def test_grid_wants_pictures_and_a_label_for_each():
    with pytest.raises(ValueError, match="no pictures"):
        images.grid([])
    with pytest.raises(ValueError, match="2 pictures need as many labels: 1"):
        images.grid([Image.new("RGB", (8, 8))] * 2, labels=["one"])


def test_a_table_names_rows_and_columns():
    rows = {n: [Image.new("RGB", (64, 64), n)] * 3 for n in ("red", "blue")}
    bare = np.asarray(
        images.table(dict(zip(" \t", rows.values(), strict=True)), [""] * 3)
    )
    named = np.asarray(images.table(rows, ["a", "b", "c " * 200], "all of them"))
    assert named.shape[0] > bare.shape[0] and named.shape[1] == bare.shape[1]
    top = len(named) - images.grid([*rows["red"], *rows["blue"]], 3).height
    dark = (named < 100).all(-1)
    assert dark[:top].any(), "a title and heads"
    assert dark[top:, : images.NAMES].any() and not (bare < 100).all(-1).any()
    with pytest.raises(ValueError, match="2 pictures"):
        images.table(rows, ["a", "b"])
    with pytest.raises(ValueError, match="6 pictures"):
        images.table(rows, ["a", "b", "c"], labels=["x"])
    labelled = np.asarray(images.table(rows, ["", "", ""], labels=[*"xxx", *"yyy"]))
    assert labelled.shape[0] > bare.shape[0]
    plain = images.grid([*rows["red"], *rows["blue"]], 3, [*"xxx", *"yyy"])
    assert (labelled[-plain.height :, -plain.width :] == np.asarray(plain)).all()


def test_caption_names_what_was_given():
    text = images.caption("a frog", seed=4, num_inference_steps=1, guidance_scale=7.0)
    assert text == "“a frog” · seed 4 · 1 step · guidance 7"
    assert images.caption(seed=0, size="64x64") == "seed 0 · size 64x64"


def test_same_allows_for_a_last_bit_and_no_more():
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    for light, expected in ((100, True), (101, True), (99, True), (102, False)):
        other = grey.copy()
        other.putpixel((3, 5), (100, light, 100))
        assert images.same(grey, other) == images.same(other, grey) == expected
    assert not images.same(grey, grey.resize((8, 4)))


SENTENCES = {  # kind: what the learner reads, with the name of the file
    "no file": "There is no file {} here: upload it into the notebook's folder first.",
    "no picture": "{} is not a picture that can be read here, or a part of it is "
    "missing: save it again as PNG or JPEG.",
    "too large": "{} has more than 2 million pixels: make it smaller first.",
    "no folder": "There is no folder {} here: make it and put pictures in.",
    "no pictures": "The folder {} holds no pictures: put some into it.",
}


def stops(kind: str, name: str, call, source) -> None:
    with pytest.raises(Mistake) as caught:
        call(source, 8)
    assert caught.value.kind == kind
    assert str(caught.value) == SENTENCES[kind].format(name)


def left_red_right_blue(mode="RGB", size=(64, 64)) -> Image.Image:
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    return image.convert(mode)


def saved_as(folder, name, image, **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def middles(image: Image.Image) -> tuple:
    w, h = image.size
    return image.getpixel((w // 4, h // 2)), image.getpixel((3 * w // 4, h // 2))


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "RGBA"])
def test_pictures_of_every_mode_open_as_rgb(mode, tmp_path):
    name = "picture.tif" if mode == "CMYK" else "picture.png"
    path = saved_as(tmp_path, name, left_red_right_blue(mode))
    image = images.open_picture(path, 32)
    assert image.mode == "RGB" and image.size == (32, 32)
    left, right = middles(image)
    assert left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]
    assert images.open_picture(path.read_bytes(), 32).tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_grey_pictures_keep_their_greys(mode, tmp_path):
    light = {"1": 1, "LA": (200, 255), "I;16": 200 * 257}.get(mode, 200)
    image = Image.new(mode, (8, 8), light)
    opened = images.open_picture(saved_as(tmp_path, "grey.png", image), 8)
    wanted = 255 if mode == "1" else 200
    assert opened.getpixel((4, 4)) == (wanted,) * 3


def test_what_is_transparent_becomes_white(tmp_path):
    clear = saved_as(tmp_path, "clear.png", Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    assert images.open_picture(clear, 8).getpixel((4, 4)) == (255, 255, 255)
    palette = Image.new("P", (8, 8), 0)
    path = saved_as(tmp_path, "palette.gif", palette, transparency=0)
    assert images.open_picture(path, 8).getpixel((4, 4)) == (255, 255, 255)


def test_a_photo_that_lies_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn clockwise to see it right
    path = saved_as(tmp_path, "photo.jpg", left_red_right_blue(), exif=exif)
    image = images.open_picture(path, 32)
    top, bottom = image.getpixel((16, 8)), image.getpixel((16, 24))
    assert top[0] > 200 > top[2] and bottom[2] > 200 > bottom[0]


def test_a_wide_picture_is_cut_and_not_squeezed(tmp_path):
    wide = Image.new("RGB", (300, 100), "white")
    wide.paste("black", (100, 0, 200, 100))
    path = saved_as(tmp_path, "wide.png", wide)
    darkest = images.open_picture(path, 50).getextrema()
    assert max(light for _, light in darkest) < 40  # the resampling rings a little
    assert images.open_picture(path, (30, 10)).size == (30, 10)


def test_a_large_photo_opens_and_an_enormous_one_gets_a_sentence(tmp_path, monkeypatch):
    path = saved_as(tmp_path, "large.jpg", Image.new("RGB", (9000, 6000), "green"))
    assert images.open_picture(path, 128).size == (128, 128)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
    stops("too large", "“large.jpg”", images.open_picture, path)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"save_all": True, "append_images": frames[1:]}
    path = saved_as(tmp_path, "film.gif", frames[0], **options)
    assert images.open_picture(path, 8).getpixel((4, 4)) == (255, 0, 0)


def test_what_is_no_picture_gets_a_sentence(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("a hippo")
    whole = saved_as(tmp_path, "whole.png", left_red_right_blue()).read_bytes()
    half = tmp_path / "half.png"
    half.write_bytes(whole[: len(whole) // 2])
    for path in (text, half):
        stops("no picture", f"“{path.name}”", images.open_picture, path)
    stops("no file", "“none.png”", images.open_picture, tmp_path / "none.png")
    stops("no picture", "This", images.open_picture, b"")


def test_a_folder_for_a_picture_and_a_picture_for_a_folder_are_told(tmp_path):
    path = saved_as(tmp_path, "hippo.png", left_red_right_blue())
    with pytest.raises(Mistake) as caught:
        images.open_picture(tmp_path, 8)
    assert caught.value.kind == "no file" and "“hippo.png”" in str(caught.value)
    with pytest.raises(Mistake) as caught:
        images.open_pictures(path, 8)
    assert caught.value.kind == "no folder" and "“hippo.png”" in str(caught.value)


def test_an_address_is_no_file_and_a_long_name_is_not_repeated():
    with pytest.raises(Mistake) as caught:
        images.open_picture(find_path("https://example.com/cat.png"), 8)
    assert caught.value.kind == "no file" and "web" in str(caught.value)
    with pytest.raises(Mistake) as caught:
        images.open_picture("a wolf " * 60, 8)
    assert caught.value.kind == "no file" and len(str(caught.value)) < 200


PASTED = ['"{}"', "'{}'", "  {} ", "“{}”", "file://{}", "`{}`", "{}"]


@pytest.mark.parametrize("pasted", PASTED)
def test_a_path_is_found_as_people_paste_it(tmp_path, pasted):
    path = tmp_path / "my pictures" / "é.png"
    path.parent.mkdir()
    left_red_right_blue().save(path)
    assert find_path(pasted.format(path)) == path
    for part in ("my pictures/é.png", "my pictures\\é.png"):
        assert find_path(pasted.format(part).removeprefix("file://"), tmp_path) == path


@pytest.mark.parametrize("text", ["", " ", '""', "none.png", "C:\\Users\\me\\none.png"])
def test_a_path_to_nothing_comes_back(tmp_path, text):
    assert find_path(text, tmp_path).name in ("", "none.png")


def test_pictures_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name, colour in (("b.png", "red"), ("a.JPG", "blue"), ("c.gif", "green")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    opened = images.open_pictures(tmp_path, 16)
    assert [image.size for image in opened] == [(16, 16)] * 3
    first = images.open_picture(tmp_path / "a.JPG", 16)
    assert opened[0].tobytes() == first.tobytes()
    assert opened[1].getpixel((8, 8)) == (255, 0, 0)
    assert [image.info["name"] for image in opened] == ["a", "b", "c"]


def test_a_folder_without_pictures_gets_a_sentence(tmp_path):
    stops("no folder", "“nowhere”", images.open_pictures, tmp_path / "nowhere")
    stops("no pictures", f"“{tmp_path.name}”", images.open_pictures, tmp_path)


# Settings in a file


class Odd:
    """Something that JSON does not know."""


def test_settings_of_every_library_are_saved_as_what_they_are(tmp_path):
    made = {
        "seed": np.int64(3),
        "guidance_scale": np.float32(7.5),
        "flip": np.bool_(True),
        "strength": torch.tensor(0.5),
        "sigmas": np.array([1.0, 2.0]),
        "folder": Path("a") / "b",
        "size": (64, 32),
        "words": {"fox"},
        "path": "a name that save uses too",
    }
    file = images.save(Image.new("RGB", (8, 8)), tmp_path / "a.png", **made)
    assert images.read_settings(file) == {
        "seed": 3,
        "guidance_scale": 7.5,
        "flip": True,
        "strength": 0.5,
        "sigmas": [1, 2],
        "folder": str(Path("a") / "b"),
        "size": [64, 32],
        "words": ["fox"],
        "path": "a name that save uses too",
    }


@pytest.mark.parametrize(
    "value", [Odd(), {("a", 1): 2}, b"bytes", "\ud800", [Odd()], 1j]
)
def test_a_setting_that_no_file_can_hold_is_named(value, tmp_path):
    file = tmp_path / "a.png"
    with pytest.raises(Mistake, match="unheard_of") as caught:
        images.save(Image.new("RGB", (8, 8)), file, seed=1, unheard_of=value)
    assert caught.value.kind == "setting" and not list(tmp_path.iterdir())


def test_a_picture_stays_whole_until_the_new_one_is(tmp_path, monkeypatch):
    file = images.save(Image.new("RGB", (8, 8), "red"), tmp_path / "a.png", seed=1)

    def full(self, fp, *args, **kwargs):
        Path(fp).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Image.Image, "save", full)
        images.save(Image.new("RGB", (8, 8), "blue"), file, seed=2)
    assert images.read_settings(file) == {"seed": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_modes_that_png_does_not_know_are_saved_as_they_look(tmp_path):
    for mode in ("CMYK", "HSV", "YCbCr", "F"):
        grey = Image.new("RGB", (8, 8), "white").convert("L" if mode == "F" else mode)
        file = images.save(grey.convert(mode), tmp_path / "a.png")
        assert images.open_picture(file, 8).getpixel((4, 4)) == (255,) * 3


def test_what_is_no_picture_of_ours_holds_no_settings(tmp_path):
    (tmp_path / "a.png").write_text("a hippo")
    with pytest.raises(Mistake) as caught:
        images.read_settings(tmp_path / "a.png")
    assert caught.value.kind == "no picture"


# Metadata, depths and modes


@pytest.mark.parametrize("count", [2_000_000, 100_000_000])
def test_a_picture_with_a_long_text_in_its_file_opens(count, tmp_path):
    info = PngInfo()
    info.add_text("workflow", "x" * count, zip=True)
    path = saved_as(tmp_path, "comfy.png", left_red_right_blue(), pnginfo=info)
    left, right = middles(images.open_picture(path, 32))
    assert left == (255, 0, 0) and right == (0, 0, 255)


def test_texts_of_every_kind_and_beyond_the_sum_open(tmp_path):
    info = PngInfo()
    for i in range(3):
        info.add_itxt(f"prompt {i}", "x" * 1_500_000, zip=True)
    for i in range(80):
        info.add_text(f"more {i}", "y" * 1_000_000, zip=True)
    options = {"pnginfo": info, "icc_profile": b"z" * 3_000_000}
    path = saved_as(tmp_path, "words.png", left_red_right_blue("P"), **options)
    left, _ = middles(images.open_picture(path, 32))
    assert left[0] > 200 > 60 > left[2]


@pytest.mark.parametrize("words", [b"Exif\0\0II*\0\xff\xff", b"no exif at all", b""])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_exif_that_cannot_be_read_stops_no_picture(words, name, tmp_path):
    path = saved_as(tmp_path, name, left_red_right_blue(), exif=words)
    left, right = middles(images.open_picture(path, 32))
    assert left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_to_hold_a_camera(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = left_red_right_blue("RGB")
    photo.paste("lime", (0, 0, 32, 32))  # one corner, so that all eight differ
    path = saved_as(tmp_path, "photo.png", photo, exif=exif)
    assert images.same(
        images.open_picture(path, 64), ImageOps.exif_transpose(photo_of(path))
    )


def photo_of(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


@pytest.mark.parametrize(
    ("values", "greys"),
    [
        (np.array([[0, 100 * 257, 65535]], np.uint16), [0, 100, 255]),
        (np.array([[0, 100 * 257, 65535]], np.int32), [0, 100, 255]),
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[-(10**9), 0, 10**9]], np.int32), [0, 128, 255]),
        (np.array([[0, 0.4, 1]], np.float32), [0, 102, 255]),
        (np.array([[0, 100, 255]], np.float32), [0, 100, 255]),
        (np.array([[-1, 0, 1]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, 0.4, np.inf]], np.float32), [0, 102, 0]),
    ],
)
def test_deep_pictures_come_out_as_what_they_show(values, greys, tmp_path):
    path = saved_as(tmp_path, "deep.tif", Image.fromarray(values))
    opened = np.asarray(images.open_picture(path, (3, 1)))
    assert np.array_equal(opened, np.repeat([[[g] for g in greys]], 3, axis=2))


def test_a_picture_in_lab_keeps_its_colours(tmp_path):
    spaces = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(left_red_right_blue(), *spaces, outputMode="LAB")
    left, right = middles(images.open_picture(saved_as(tmp_path, "a.tif", lab), 32))
    assert left[0] > 200 > 60 > left[2] and right[2] > 200 > 60 > right[0]


def test_clear_places_are_white_in_every_mode(tmp_path):
    deep = Image.new("I;16", (8, 8), 300)
    plain = saved_as(tmp_path, "deep.png", deep, transparency=300)
    assert images.open_picture(plain, 8).getpixel((4, 4)) == (255,) * 3
    for mode in ("LA", "RGBA", "La", "RGBa"):
        path = saved_as(tmp_path, "clear.tif", Image.new(mode[:-1] + "A", (8, 8), 0))
        assert images.open_picture(path, 8).getpixel((4, 4)) == (255,) * 3
        assert images.as_rgb(Image.new(mode, (8, 8), 0)).getpixel((4, 4)) == (255,) * 3


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_a_phones_photo_is_named_for_what_it_is(tmp_path):
    for source in (HEIC, tmp_path / "IMG_1.HEIC", str(tmp_path / "IMG_1.HEIC")):
        (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
        with pytest.raises(Mistake) as caught:
            images.open_picture(source, 8)
        assert caught.value.kind == "heic"


def test_paths_that_are_none_get_a_sentence(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for path in ("a\0b.png", str(tmp_path / "a.png" / "b.png"), "x" * 5000 + ".png"):
        with pytest.raises(Mistake) as caught:
            images.open_picture(path, 8)
        assert caught.value.kind == "no file"


# Folders


def test_a_folder_gives_what_can_be_read_and_tells_the_rest(tmp_path, capsys):
    for name in ("a.png", "b.JPeG", "a.jpg"):
        left_red_right_blue().save(tmp_path / name)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    (tmp_path / "drawing.svg").write_text("<svg/>")
    (tmp_path / "x.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    for hidden in ("._a.png", ".DS_Store", "notes.txt"):
        (tmp_path / hidden).write_bytes(b"Mac OS X")
    opened = images.open_pictures(tmp_path, 8)
    assert [picture.info["name"] for picture in opened] == ["a.jpg", "a.png", "b"]
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("3 pictures taken, 4 left out: ")
    for name in ("IMG_1.HEIC", "drawing.svg", "x.png", "gone.png"):
        assert name in said
    assert "._a" not in said and "notes" not in said


def test_a_folder_whose_pictures_are_all_read_says_nothing(tmp_path, capsys):
    left_red_right_blue().save(tmp_path / "{7F3A}.png")
    (picture,) = images.open_pictures(tmp_path, 8)
    assert picture.info["name"] == "{7F3A}" and not capsys.readouterr().out


def test_a_folder_of_which_nothing_can_be_read_is_a_mistake(tmp_path):
    (tmp_path / "._1.png").write_bytes(b"Mac OS X")
    stops("no pictures", f"“{tmp_path.name}”", images.open_pictures, tmp_path)
    (tmp_path / "IMG_1.HEIC").write_bytes(HEIC)
    with pytest.raises(Mistake, match="IMG_1.HEIC") as caught:
        images.open_pictures(tmp_path, 8)
    assert caught.value.kind == "no picture"


# Labels


def drawn(label: str, width: int = 128) -> np.ndarray:
    """The label of a white picture."""
    sheet = images.grid([Image.new("RGB", (width, 99), "white")] * 2, 2, [label, ""])
    return np.asarray(sheet.convert("L"))


@pytest.mark.parametrize("letters", ["лиж", "αλξ", "şğı", "→√∞"])
def test_letters_of_other_alphabets_are_drawn_apart(letters, capsys):
    looks = {drawn(letter).tobytes() for letter in letters}
    assert len(looks) == len(letters), "the same box for each"
    assert not capsys.readouterr().out


def test_a_word_wider_than_its_picture_is_broken_inside():
    sheet = drawn("a" * 100)
    assert (sheet[:, -136:] == 255).all(), "it runs into its neighbour"
    assert (sheet < 128).any(1).sum() > 3 * 8, "not all of it is there"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "I", "F", "CMYK", "P", "1"])
def test_a_grid_shows_pictures_of_every_mode(mode):
    clear = Image.new(mode, (300, 300), 0)
    middle = images.grid([clear]).getpixel((150, 150))
    assert middle == ((0,) * 3 if mode in ("I;16", "I", "F", "P", "1") else (255,) * 3)


def test_what_no_font_has_is_told_once(capsys):
    sign = "\U000fffff"  # will never be a letter
    images.grid([Image.new("RGB", (64, 64))], labels=[sign + "a"])
    images.grid([Image.new("RGB", (64, 64))], labels=[sign])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_labels_are_lines_of_plain_words():
    plain = drawn("a fox at night")
    assert np.array_equal(plain, drawn("a fox\tat\u200b\n night\r\n"))
    assert np.array_equal(drawn("caf\u00e9"), drawn("cafe\u0301"))
    assert np.array_equal(drawn(""), drawn(" \n\x00"))
    images.grid([Image.new("RGB", (8, 8))] * 3, labels=[None, 3, "\ud800"])
