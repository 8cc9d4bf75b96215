"""Helpers, on real tensors and on the pocket model as it lies in the repository."""

import copy
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import torch
from huggingface_hub import constants
from ipywidgets import Button
from PIL import Image
from safetensors import safe_open

from benchmarks import fit as fit_benchmark
from helpers import forms, images, memory, models
from helpers.device import GIB, Device, find_device
from helpers.drawing import Pad
from helpers.forms import Mistake, fields

ROOT = Path(__file__).resolve().parent.parent
T4 = Device("cuda", "Tesla T4", 14.7, torch.float16)
SMALL_CARD = Device("cuda", "a small card", 3.2, torch.float16)
TINY_CARD = Device("cuda", "a tiny card", 1.2, torch.float16)
MAC = Device("mps", "Apple GPU", 8.0, torch.float32)
CPU = Device("cpu", "CPU with 2 cores", 4.0, torch.float32)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """As HF_HUB_OFFLINE=1 does, so that no test downloads gigabytes."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def pipe():
    """The pocket model on the CPU, by the library alone; no test may change it."""
    from diffusers import AutoPipelineForText2Image

    pipe = AutoPipelineForText2Image.from_pretrained(models.POCKET)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def full_size():
    """Stable Diffusion 1.5 in float16, without numbers in it."""
    return fit_benchmark.build("Stable Diffusion 1.5", "meta")


def draw(pipe, prompt="a frog", seed=4, **settings) -> Image.Image:
    generator = torch.Generator("cpu").manual_seed(seed)
    settings = {"num_inference_steps": 2, **settings}
    return pipe(prompt, generator=generator, **settings).images[0]


# Bad input: each gives one clear sentence that names what to do instead


def stops(call, *args, **kwargs) -> str:
    with pytest.raises(Mistake) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def notice(pipe, prompt: str) -> str:
    (sentence,) = forms.check_prompt(pipe, prompt)
    return sentence


def settings(pipe, **values) -> str:
    return stops(forms.check_settings, pipe, **values)


BAD_INPUTS = {
    "unknown model": (
        lambda pipe: stops(models.load, "stable-difusion"),
        ("stable-difusion", "take auto, pocket, stable-diffusion-v1-5"),
    ),
    "no folder": (
        lambda pipe: stops(models.load, "../my model"),
        ("There is no model “../my model”: take auto",),
    ),
    "no model at all": (lambda pipe: stops(models.load, ""), ("take auto",)),
    "a model that is gone": (
        lambda pipe: stops(models.load, "runwayml/stable-diffusion-v1-5"),
        ("taken off the hub", "take “stable-diffusion-v1-5”"),
    ),
    "another one": (
        lambda pipe: stops(models.load, "stabilityai/stable-diffusion-2-1"),
        ("taken off the hub", "take “stable-diffusion-2-1-base”"),
    ),
    "no network": (
        lambda pipe: stops(models.load, "somebody/somewhere"),
        ("hub does not answer", "take pocket, or connect"),
    ),
    "width not a multiple of 8": (
        lambda pipe: settings(pipe, width=100, height=128),
        ("width is 100", "blocks of 8", "take 96 or 104"),
    ),
    "height of nothing": (
        lambda pipe: settings(pipe, height=0),
        ("height is 0", "take 8 or 16"),
    ),
    "0 steps": (
        lambda pipe: settings(pipe, num_inference_steps=0),
        ("num_inference_steps is 0", "1 to 1000", "take 25"),
    ),
    "too many steps": (
        lambda pipe: settings(pipe, num_inference_steps=1001),
        ("num_inference_steps is 1001", "1 to 1000", "take 25"),
    ),
    "no strength": (
        lambda pipe: settings(pipe, strength=0),
        ("strength is 0", "at most 1", "take 0.6"),
    ),
    "too much strength": (
        lambda pipe: settings(pipe, strength=1.5),
        ("strength is 1.5", "at most 1", "take 0.6"),
    ),
    "less than a step": (
        lambda pipe: settings(pipe, strength=0.02, num_inference_steps=25),
        ("25 steps at strength 0.02", "less than one", "take 50 steps"),
    ),
    "an empty prompt": (lambda pipe: notice(pipe, "  "), ("empty", "name what")),
    "a prompt of 200 words": (
        lambda pipe: notice(pipe, "a cat " * 37 + "on the beach " * 42),
        ("200 tokens", "reads 75", "shorten it", "misses “the beach on the"),
    ),
    "an unknown word": (
        lambda pipe: notice(pipe, "a hipo in the city"),
        ("never seen", "“hipo”", "is it “hippo”?"),
    ),
    "unknown words": (
        lambda pipe: notice(pipe, "a zyx, a qwrtz and 日本 3!"),
        ("“zyx”, “qwrtz”, “日本”;", "say it with others"),
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_gets_one_clear_sentence(case, pipe):
    answer, parts = BAD_INPUTS[case]
    sentence = answer(pipe)
    for part in parts:
        assert part in sentence
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 250


def test_a_notebook_shows_the_sentence_alone():
    assert Mistake("Take 8.")._render_traceback_() == ["Mistake: Take 8."]


@pytest.mark.parametrize(
    "prompt",
    [
        "a photograph of an astronaut riding a horse",
        "A pygmy hippo watching Instagram on a phone in New York City",
        "frogs on stilts on a stage at the theatre, watercolour, 4k!",
        "frog " * 75,
    ],
)
def test_good_prompts_pass_in_silence(pipe, prompt):
    assert forms.check_prompt(pipe, prompt) == []


def test_the_first_word_too_many_is_named(pipe):
    assert "misses “hippo”" in notice(pipe, "frog " * 75 + "hippo")


def test_a_token_that_was_added_is_no_unknown_word(pipe):
    pipe = copy.copy(pipe)
    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
    assert forms.check_prompt(pipe, "a <qwrtz> in the city")
    pipe.tokenizer.add_tokens("<qwrtz>")
    assert forms.check_prompt(pipe, "a <qwrtz> in the city") == []


def test_good_settings_pass(pipe):
    forms.check_settings(pipe, width=768, height=512, num_inference_steps=1)
    forms.check_settings(pipe, num_inference_steps=1000)


# Device and models


def test_the_device_is_the_one_torch_would_use():
    device = find_device()
    torch.ones(1, dtype=device.dtype, device=device.type)
    assert (device.type == "cuda") == torch.cuda.is_available()
    if device.type == "cpu":
        assert device.dtype == torch.float32
        assert device.memory_gb == psutil.virtual_memory().total / GIB


@pytest.mark.parametrize("device", [CPU, MAC, T4], ids=lambda device: device.name)
def test_auto_is_the_pocket_model_without_card_or_network(device):
    model, why = models.choose("auto", device)
    assert model.name == "pocket"
    assert ("hub" in why) == (device is T4)


def test_load_says_which_model_on_what_and_why_in_one_line(capsys):
    pipe = models.load("auto")
    line = capsys.readouterr().out
    device = find_device()
    assert line.count("\n") == 1
    assert "pocket" in line and device.name in line and "Why: " in line
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == device.dtype
    assert str(device.dtype).removeprefix("torch.") in line


def test_loading_a_second_model_frees_the_first():
    first = models.load("pocket")
    second = models.load("pocket")
    for name in memory.sizes(first):
        assert all(p.is_meta for p in getattr(first, name).parameters())
    assert draw(second).size == (128, 128)


def test_a_name_that_fails_costs_no_loaded_model():
    pipe = models.load("pocket")
    for name in ("nothing", "somebody/somewhere"):
        stops(models.load, name)
    assert draw(pipe).size == (128, 128)


def test_describe_knows_the_catalogue_and_asks_the_pipeline_otherwise(pipe, tmp_path):
    assert models.describe(pipe) == models.CATALOGUE["pocket"]
    folder = tmp_path / "my model"
    shutil.copytree(models.POCKET, folder)
    mine = models.describe(models.load(str(folder)))
    assert (mine.name, mine.size, mine.id) == ("my model", 128, str(folder))


def test_notebooks_offer_models_of_the_catalogue():
    """All of them in the first; later ones take them apart, and offer what they can."""
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(file, as_version=4).cells:
            for field in fields(cell.source) if cell.cell_type == "code" else []:
                if field.name == "model_name":
                    offered = set(field.options) - {"auto"}
                    assert {"pocket", "stable-diffusion-v1-5"} <= offered
                    assert offered <= set(models.CATALOGUE)
                    if file.name.startswith("01"):
                        assert offered == set(models.CATALOGUE)


# Memory


def test_sizes_are_those_of_the_files(pipe):
    measured = memory.sizes(pipe)
    assert set(measured) == {"text_encoder", "unet", "vae"}
    for name, size in measured.items():
        (file,) = (models.POCKET / name).glob("*.safetensors")
        with safe_open(file, "pt") as tensors:
            shapes = [tensors.get_slice(k).get_shape() for k in tensors.keys()]  # noqa: SIM118
        assert size == 4 * sum(int(np.prod(shape)) for shape in shapes)  # float32


def test_freeing_gives_memory_back():
    pipe = models.load("pocket")
    weights = sum(memory.sizes(pipe).values())
    freed = memory.free(pipe)
    assert all(p.is_meta for p in pipe.unet.parameters())
    if sys.platform == "linux" or find_device().type == "cuda":
        assert freed > weights / 2


@pytest.mark.parametrize(
    ("device", "asked", "expected"),
    [
        (T4, {}, "off"),
        (SMALL_CARD, {}, "model"),
        (TINY_CARD, {}, "sequential tiling"),
        (T4, {"offload": "off", "vae_slicing": "off"}, "off unsliced"),
        (T4, {"offload": "sequential"}, "sequential tiling"),
        (T4, {"offload": "model", "vae_tiling": "on"}, "model tiling"),
        (MAC, {}, "off attention"),
        (CPU, {"offload": "model", "attention_slicing": "on"}, "off attention"),
    ],
)
def test_savings_follow_from_need_and_wish(full_size, device, asked, expected):
    plan = memory.plan(full_size, device, **asked)
    words = [plan.offload] + ["tiling"] * plan.vae_tiling
    words += ["unsliced"] * (not plan.vae_slicing)
    assert words + ["attention"] * plan.attention_slicing == expected.split()
    assert f"{plan.need_gb:.2f} of {device.memory_gb:.1f} GB" in str(plan)
    ending = "no card to offload from" if device is CPU else "as you asked"
    assert str(plan).endswith(ending) == bool(asked)


def test_larger_pictures_and_more_of_them_need_more(full_size):
    def offload(**asked):
        return memory.plan(full_size, SMALL_CARD, **asked).offload

    small = memory.plan(full_size, T4).need_gb
    assert memory.plan(full_size, T4, size=1024).need_gb > small + 1
    assert memory.plan(full_size, T4, count=8).need_gb > small + 0.5
    assert offload(size=256) == "off" and offload(size=1536) == "sequential"


def test_after_each_plan_comes_one_that_takes_less(full_size):
    plans = [memory.plan(full_size, T4, size=1024)]
    with pytest.raises(Mistake, match="take fewer pictures at once, or smaller"):
        while True:
            plans.append(memory.plan(full_size, T4, size=1024, after=plans[-1]))
    assert [plan.offload for plan in plans] == ["off", "off", "model", "sequential"]
    needs = [plan.need_gb for plan in plans]
    assert needs == sorted(needs, reverse=True) and needs[0] > 3 * needs[-1]


def test_savings_do_not_change_the_picture(pipe):
    plain = np.asarray(draw(pipe), int)
    pipe = copy.copy(pipe)
    pipe.unet, pipe.vae = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.vae)
    memory.fit(pipe, CPU, vae_slicing="off", vae_tiling="on", attention_slicing="on")
    assert not pipe.vae.use_slicing and pipe.vae.use_tiling
    assert abs(np.asarray(draw(pipe), int) - plain).max() <= 2
    memory.fit(pipe, CPU)
    assert pipe.vae.use_slicing and not pipe.vae.use_tiling
    assert np.array_equal(np.asarray(draw(pipe), int), plain)


def test_a_saving_that_there_is_not_gets_a_sentence(pipe):
    assert stops(memory.fit, pipe, CPU, offload="yes") == (
        "offload is 'yes': take one of auto, off, model, sequential."
    )


# Pictures


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


# Any picture a learner has


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
    with pytest.raises(Mistake, match="more than 2 million pixels: make it smaller"):
        images.open_picture(path, 128)


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
        with pytest.raises(Mistake, match=f"“{path.name}” is not a picture that can"):
            images.open_picture(path, 8)
    for nothing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(Mistake, match="There is no file"):
            images.open_picture(nothing, 8)
    with pytest.raises(Mistake, match="This is not a picture"):
        images.open_picture(b"", 8)


def test_a_pad_keeps_what_is_drawn_on_it():
    paper = Image.new("RGB", (64, 64), "navy")
    pad = Pad(paper)

    def browser_says(event: str, **content) -> None:
        pad.canvas._handle_frontend_event(None, {"event": event, **content}, [])

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
