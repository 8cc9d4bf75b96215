"""How much memory a pipeline takes, how it takes less, how it lets it go."""

import copy
import sys

import numpy as np
import pytest
from course import draw
from devices import CPU, MAC, SMALL_CARD, T4, TINY_CARD
from safetensors import safe_open

from helpers.catalogue import POCKET
from helpers.device import find_device
from helpers.errors import Mistake
from helpers.memory import apply_savings, choose_savings, network_sizes, unload
from helpers.models import load
from tools.full_size import build


@pytest.fixture(scope="module")
def full_size():
    """Stable Diffusion 1.5 in float16, without numbers in it."""
    return build("Stable Diffusion 1.5", "meta")


def test_sizes_are_those_of_the_files(pipe):
    measured = network_sizes(pipe)
    assert set(measured) == {"text_encoder", "unet", "vae"}
    for name, size in measured.items():
        (file,) = (POCKET / name).glob("*.safetensors")
        with safe_open(file, "pt") as tensors:
            shapes = [tensors.get_slice(k).get_shape() for k in tensors.keys()]  # noqa: SIM118
        assert size == 4 * sum(int(np.prod(shape)) for shape in shapes)  # float32


def test_freeing_gives_memory_back():
    pipe = load("pocket")
    weights = sum(network_sizes(pipe).values())
    freed = unload(pipe)
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
    chosen = choose_savings(full_size, device, **asked)
    words = [chosen.offload] + ["tiling"] * chosen.vae_tiling
    words += ["unsliced"] * (not chosen.vae_slicing)
    assert words + ["attention"] * chosen.attention_slicing == expected.split()
    assert f"{chosen.needs_gb:.2f} of {device.memory_gb:.1f} GB" in str(chosen)
    ending = "no card to offload from" if device is CPU else "as you asked"
    assert str(chosen).endswith(ending) == bool(asked)


def test_larger_pictures_and_more_of_them_need_more(full_size):
    def offload(**asked):
        return choose_savings(full_size, SMALL_CARD, **asked).offload

    small = choose_savings(full_size, T4).needs_gb
    assert choose_savings(full_size, T4, size=1024).needs_gb > small + 1
    assert choose_savings(full_size, T4, count=8).needs_gb > small + 0.5
    assert offload(size=256) == "off" and offload(size=1536) == "sequential"


def test_after_each_savings_come_some_that_take_less(full_size):
    tried = [choose_savings(full_size, T4, size=1024)]
    with pytest.raises(Mistake) as caught:
        for _ in range(5):
            tried.append(choose_savings(full_size, T4, size=1024, after=tried[-1]))
    assert caught.value.kind == "memory full"
    assert "take fewer pictures at once, or smaller ones, or stop what else uses" in (
        str(caught.value)
    )
    places = [savings.offload for savings in tried]
    assert places == ["off", "off", "model", "sequential"]
    needs = [savings.needs_gb for savings in tried]
    assert needs == sorted(needs, reverse=True) and needs[0] > 3 * needs[-1]


def test_savings_do_not_change_the_picture(pipe):
    plain = np.asarray(draw(pipe), int)
    pipe = copy.copy(pipe)
    pipe.unet, pipe.vae = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.vae)
    apply_savings(pipe, CPU, vae_slicing="off", vae_tiling="on", attention_slicing="on")
    assert not pipe.vae.use_slicing and pipe.vae.use_tiling
    assert abs(np.asarray(draw(pipe), int) - plain).max() <= 2
    apply_savings(pipe, CPU)
    assert pipe.vae.use_slicing and not pipe.vae.use_tiling
    assert np.array_equal(np.asarray(draw(pipe), int), plain)


def test_a_saving_that_there_is_not_gets_a_sentence(pipe):
    with pytest.raises(Mistake) as caught:
        apply_savings(pipe, CPU, offload="yes")
    assert caught.value.kind == "saving"
    assert str(caught.value) == (
        "offload is 'yes': take one of auto, off, model, sequential."
    )
