"""``load``: which model, on what, why, and what becomes of the one before."""

import json
import os
import shutil
from types import SimpleNamespace

import nbformat
import pytest
import safetensors.torch
import torch
from course import NOTEBOOKS, draw
from devices import CPU, MAC, T4
from diffusers import AutoPipelineForImage2Image

from helpers.catalogue import CATALOGUE, POCKET
from helpers.device import find_device
from helpers.errors import Mistake
from helpers.fields import fields
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


def empty(file):
    file.write_text("")


def not_an_object(file):
    file.write_text('["StableDiffusionPipeline"]')


def gone(file):
    file.unlink()


def change(**values):
    """What puts values into a file of settings; None takes one out."""

    def put(file):
        settings = json.loads(file.read_text()) | values
        kept = {name: value for name, value in settings.items() if value is not None}
        file.write_text(json.dumps(kept))

    return put


def wrong_shapes(file):
    tensors = safetensors.torch.load_file(file)
    name = max(tensors)
    tensors[name] = torch.zeros(3, 3)
    safetensors.torch.save_file(tensors, file, {"format": "pt"})


def other_name(file):
    tensors = safetensors.torch.load_file(file)
    tensors["hippo"] = tensors.pop(max(tensors))
    safetensors.torch.save_file(tensors, file, {"format": "pt"})


INDEX, SCHEDULE = "model_index.json", "scheduler/scheduler_config.json"
DAMAGES = {
    "empty": (INDEX, empty, "damaged"),
    "a list": (INDEX, not_an_object, "damaged"),
    "no class": (INDEX, change(_class_name=None), "damaged"),
    "no class in a list": (INDEX, change(_class_name=[]), "damaged"),
    "a number for a class": (INDEX, change(_class_name=3), "damaged"),
    "a class of their own": (
        INDEX,
        change(_class_name=["mine", "StableDiffusionPipeline"]),
        "unreadable",
    ),
    "an empty entry": (INDEX, change(vae=[]), "damaged"),
    "an entry of numbers": (INDEX, change(vae=[1, 2]), "damaged"),
    "no vae": (INDEX, change(vae=[None, None]), "incomplete"),
    "an unknown class": (INDEX, change(vae=["diffusers", "Hippo"]), "unreadable"),
    "no schedule": (SCHEDULE, gone, "incomplete"),
    "an empty schedule": (SCHEDULE, empty, "damaged"),
    "a list as schedule": (SCHEDULE, not_an_object, "damaged"),
    "an odd schedule": (SCHEDULE, change(num_train_timesteps="x"), "unreadable"),
    "an empty config": ("unet/config.json", empty, "damaged"),
    "an odd config": ("unet/config.json", change(down_block_types=3), "unreadable"),
    "other channels": ("vae/config.json", change(latent_channels=5), "unreadable"),
    "no size": ("unet/config.json", change(sample_size="large"), "unreadable"),
    "no words": ("tokenizer/tokenizer.json", gone, "incomplete"),
    "odd words": ("tokenizer/tokenizer.json", not_an_object, "unreadable"),
    "shapes": ("text_encoder/model.safetensors", wrong_shapes, "unreadable"),
    "a name of weights": (
        "unet/diffusion_pytorch_model.safetensors",
        other_name,
        "incomplete",
    ),
    "shapes of the unet": (
        "unet/diffusion_pytorch_model.safetensors",
        wrong_shapes,
        "unreadable",
    ),
}


@pytest.fixture(scope="module")
def loaded():
    return load("pocket")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_gets_a_sentence_and_costs_no_loaded_model(
    damage, tmp_path, loaded
):
    file, harm, kind = DAMAGES[damage]
    folder = shutil.copytree(POCKET, tmp_path / "mine")
    harm(folder / file)
    with pytest.raises(Mistake) as caught:
        load(str(folder))
    assert caught.value.kind == kind
    assert "mine" in str(caught.value) and "\n" not in str(caught.value)
    assert draw(loaded).size == (128, 128)


def test_where_both_do_not_fit_the_loaded_model_goes_first(tmp_path, monkeypatch):
    """Else the machine would swap, or kill the kernel."""
    pipe = load("pocket")
    folder = shutil.copytree(POCKET, tmp_path / "mine")
    wrong_shapes(folder / "unet" / "diffusion_pytorch_model.safetensors")
    full = SimpleNamespace(available=10**6, total=10**9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: full)
    with pytest.raises(Mistake):
        load(str(folder))
    assert all(p.is_meta for p in pipe.unet.parameters())
    assert draw(load("pocket")).size == (128, 128)


def test_describe_knows_the_catalogue_and_asks_the_pipeline_otherwise(pipe, tmp_path):
    assert describe(pipe) == CATALOGUE["pocket"]
    folder = tmp_path / "my model"
    shutil.copytree(POCKET, folder)
    mine = describe(load(str(folder)))
    assert (mine.name, mine.size, mine.id) == ("my model", 128, str(folder))


@pytest.mark.parametrize("name", ["pocket", "folder"])
def test_an_address_loads_exactly_the_same_again(name, tmp_path):
    if name == "folder":  # with the name of another one
        name = str(shutil.copytree(POCKET, tmp_path / "pocket"))
    pipe = load(name)
    model = describe(pipe)
    assert model.address == name and model.size == 128
    assert describe(AutoPipelineForImage2Image.from_pipe(pipe)) == model
    assert describe(load(model.address)) == model


def test_addresses_of_the_catalogue_and_of_revisions_lead_to_themselves():
    for model in CATALOGUE.values():
        assert choose(model.address, CPU)[0] == model
    first = {model.id: model for model in reversed(CATALOGUE.values())}
    for id, model in first.items():
        assert choose(id, CPU)[0] == model
    for address in ("somebody/thing", "somebody/thing@v2", "a/b@refs/pr/1"):
        assert choose(address, CPU)[0].address == address


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        (" Pocket ", "pocket"),
        ("“pocket”", "pocket"),
        ("SD-Turbo", "sd-turbo"),
        ("Stable Diffusion v1-5", "stable-diffusion-v1-5"),
        ("compvis/stable-diffusion-v1-4", "stable-diffusion-v1-4"),
        ("pocket/model", "pocket"),
        ("pocket\\model", "pocket"),
        ("'pocket/model/model_index.json'", "pocket"),
        ("~/mine", "{home}/mine"),
        ("../mine", "{home}/mine"),
        ("https://huggingface.co/stabilityai/sd-turbo", "sd-turbo"),
        ("https://huggingface.co/stabilityai/sd-turbo/tree/main", "sd-turbo"),
        ("huggingface.co/somebody/thing/", "somebody/thing"),
        ("https://hf.co/somebody/thing/tree/v2", "somebody/thing@v2"),
    ],
)
def test_a_name_is_understood_as_people_paste_it(typed, address, tmp_path, monkeypatch):
    """From a working directory that is not the course's."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "mine").mkdir()
    shutil.copy(POCKET / "model_index.json", tmp_path / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "notebooks")
    model, _ = choose(typed, CPU)
    assert model.address == address.replace("{home}", str(tmp_path))


def save(file, *names):
    safetensors.torch.save_file({name: torch.zeros(1) for name in names}, file)


def test_what_is_on_the_disk_is_named_for_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("dream.safetensors", "model.diffusion_model.out.2.bias")
    save("hat.safetensors", "lora_unet_down_blocks_0.lora_down.weight")
    save("part.safetensors", "conv_in.weight")
    for file in ("old.ckpt", "cut.safetensors", "notes.txt"):
        (tmp_path / file).write_bytes(b"x" * 9)
    for place in ("empty", "single", "outer"):
        (tmp_path / place).mkdir()
    shutil.copy("dream.safetensors", "single")
    shutil.copytree(POCKET, "outer/inner")
    kinds = {
        "dream.safetensors": ("single file", "from_single_file"),
        "hat.safetensors": ("lora", 'load_lora_weights("hat.safetensors")'),
        "part.safetensors": ("not a pipeline", "save_pretrained"),
        "old.ckpt": ("single file", "pickle"),
        "cut.safetensors": ("damaged", "copy it again"),
        "notes.txt": ("not a pipeline", "folder"),
        "empty": ("not a pipeline", "model_index.json"),
        "single": ("single file", os.path.join("single", "dream.safetensors")),
        "outer": ("not a pipeline", os.path.join("outer", "inner")),
        "outer/inner/unet": ("not a pipeline", os.path.join("outer", "inner")),
    }
    for name, (kind, fix) in kinds.items():
        with pytest.raises(Mistake) as caught:
            load(name)
        assert caught.value.kind == kind, name
        assert fix in str(caught.value), name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stable-difusion-v1-5", "stable-diffusion-v1-5"),
        ("sd turbo 1", "sd-turbo"),
        ("pockte", "pocket"),
    ],
)
def test_a_near_miss_is_told_what_it_may_be(typed, meant):
    with pytest.raises(Mistake) as caught:
        load(typed)
    assert caught.value.kind == "no model"
    assert str(caught.value).endswith(f"{meant}.")


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
