"""``load``: which model, on what, why, and what becomes of the one before."""

import shutil

import nbformat
import pytest
from course import NOTEBOOKS, draw
from devices import CPU, MAC, T4

from helpers.catalogue import CATALOGUE, POCKET
from helpers.device import find_device
from helpers.errors import Mistake
from helpers.forms import fields
from helpers.memory import network_sizes
from helpers.models import choose, describe, load

pytestmark = pytest.mark.usefixtures("offline")


@pytest.mark.parametrize("device", [CPU, MAC, T4], ids=lambda device: device.name)
def test_auto_is_the_pocket_model_without_card_or_network(device):
    model, why = choose("auto", device)
    assert model.name == "pocket"
    assert ("hub" in why) == (device is T4)


def test_load_says_which_model_on_what_and_why_in_one_line(capsys):
    pipe = load("auto")
    line = capsys.readouterr().out
    device = find_device()
    assert line.count("\n") == 1
    assert "pocket" in line and device.name in line and "Why: " in line
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == device.dtype
    assert str(device.dtype).removeprefix("torch.") in line


def test_loading_a_second_model_frees_the_first():
    first = load("pocket")
    second = load("pocket")
    for name in network_sizes(first):
        assert all(p.is_meta for p in getattr(first, name).parameters())
    assert draw(second).size == (128, 128)


def test_a_name_that_fails_costs_no_loaded_model():
    pipe = load("pocket")
    for name, kind in (("nothing", "no model"), ("somebody/somewhere", "offline")):
        with pytest.raises(Mistake) as caught:
            load(name)
        assert caught.value.kind == kind
    assert draw(pipe).size == (128, 128)


def test_describe_knows_the_catalogue_and_asks_the_pipeline_otherwise(pipe, tmp_path):
    assert describe(pipe) == CATALOGUE["pocket"]
    folder = tmp_path / "my model"
    shutil.copytree(POCKET, folder)
    mine = describe(load(str(folder)))
    assert (mine.name, mine.size, mine.id) == ("my model", 128, str(folder))


def test_notebooks_offer_models_of_the_catalogue():
    """All of them in the first; later ones take them apart, and offer what they can."""
    for file in NOTEBOOKS:
        for cell in nbformat.read(file, as_version=4).cells:
            for field in fields(cell.source) if cell.cell_type == "code" else []:
                if field.name == "model_name":
                    offered = set(field.options) - {"auto"}
                    assert {"pocket", "stable-diffusion-v1-5"} <= offered
                    assert offered <= set(CATALOGUE)
                    if file.name.startswith("01"):
                        assert offered == set(CATALOGUE)
