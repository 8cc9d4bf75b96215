"""Grids, files with their settings, and any picture a learner has."""

from pathlib import Path

import numpy as np
import pytest
from course import draw
from PIL import Image

from helpers import images
from helpers.errors import Mistake


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
    for nothing in (tmp_path / "none.png", tmp_path):
        stops("no file", f"“{nothing.name}”", images.open_picture, nothing)
    stops("no picture", "This", images.open_picture, b"")


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
