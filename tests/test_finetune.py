"""Trainings of the notebooks: encoded once, kept on disk, resumed bit by bit."""

import copy

import pytest
import torch
from PIL import Image

from helpers.device import Device
from helpers.finetune import Training, encode, save_memory
from helpers.forms import Mistake
from helpers.images import open_picture, open_pictures
from helpers.models import load


@pytest.fixture(scope="module")
def pipe():
    return load("pocket")


@pytest.fixture
def pictures():
    return [Image.linear_gradient("L").convert("RGB").resize((128, 128)).rotate(90)] * 2


def test_a_draw_is_what_the_vae_gives(pipe, pictures):
    """Mean and spread of many draws are those of the VAE's own distribution."""
    latents = encode(pipe, pictures, flip=True)
    assert len(latents) == 4 and latents.mean.shape == (4, 4, 16, 16)
    mirrored = pipe.image_processor.preprocess(pictures[0]).flip(-1)
    with torch.no_grad():
        posterior = pipe.vae.encode(mirrored).latent_dist
    torch.testing.assert_close(latents.mean[2], posterior.mean[0], atol=1e-4, rtol=0)
    generator = torch.Generator().manual_seed(0)
    drawn = latents.draw(torch.full((4000,), 2), generator)
    torch.testing.assert_close(
        drawn.std(0), posterior.std[0], rtol=0.1, atol=1e-3, check_stride=False
    )
    error = (drawn.mean(0) - posterior.mean[0]).abs() / posterior.std[0]
    assert error.max() < 0.1


def test_drawing_follows_the_generator(pipe, pictures):
    latents = encode(pipe, pictures, flip=False)
    picks = torch.tensor([0, 1, 0])
    one, two, other = (
        latents.draw(picks, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_other_pictures_have_another_digest(pipe, pictures):
    first, again, other = (
        encode(pipe, some).digest for some in (pictures, pictures, pictures[:1])
    )
    assert first == again != other


@pytest.mark.parametrize("gigabytes", [16.0, 0.1])
def test_what_has_no_room_is_computed_twice_and_is_the_same(pipe, pictures, gigabytes):
    latents = encode(pipe, pictures, flip=False)
    unet = copy.deepcopy(pipe.unet).requires_grad_(False)
    prompt = torch.randn(2, 77, 128, generator=torch.Generator().manual_seed(0))
    prompt.requires_grad_()
    unet(latents.mean, 500, prompt).sample.square().sum().backward()
    kept, prompt.grad = prompt.grad, None

    device = Device("cpu", "a small machine", gigabytes, torch.float32)
    assert save_memory(unet, latents, 2, device) == (gigabytes < 1)
    calls = []
    unet.up_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    unet(latents.mean, 500, prompt).sample.square().sum().backward()
    assert len(calls) == (2 if gigabytes < 1 else 1)
    torch.testing.assert_close(prompt.grad, kept)


def train(path, steps=12, stop_at=None, keep_every_step=True, **settings):
    """A line through noisy points; returns what was learned and the losses."""
    weight = torch.nn.Parameter(torch.zeros(3))
    settings = {"steps": steps, "learning_rate": 0.1} | settings
    training = Training({"weight": weight}, path, **settings)
    for step, generator in training:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 3, generator=generator)
        training.learn((x @ weight - x.sum(1)).square().mean())
    return weight.detach(), training


@pytest.mark.parametrize("falling", [False, True])
def test_an_interrupted_training_ends_where_an_unbroken_one_does(
    tmp_path, monkeypatch, falling
):
    whole, _ = train(tmp_path / "whole.pt", falling=falling)
    monkeypatch.setattr("helpers.finetune.SECONDS_BETWEEN_SAVES", -1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken.pt", stop_at=7, falling=falling)
    resumed, training = train(tmp_path / "broken.pt", falling=falling)
    assert torch.equal(whole, resumed)
    assert len(training.losses) == training.step == 12


def test_a_falling_rate_falls_to_nothing(tmp_path):
    fallen, _ = train(tmp_path / "a.pt", steps=99, falling=True)
    state = torch.load(tmp_path / "a.pt")["optimizer"]
    assert state["param_groups"][0]["lr"] == pytest.approx(0.1 / 99)
    steady, _ = train(tmp_path / "b.pt", steps=99)
    assert not torch.equal(fallen, steady)


def test_a_finished_training_is_taken_up_and_can_go_on(tmp_path, capsys):
    first, _ = train(tmp_path / "a.pt")
    again, training = train(tmp_path / "a.pt")
    assert torch.equal(first, again) and training.step == 12
    assert "12 steps are done already" in capsys.readouterr().out
    longer, _ = train(tmp_path / "a.pt", steps=20)
    at_once, _ = train(tmp_path / "b.pt", steps=20)
    assert torch.equal(longer, at_once)


def test_other_settings_begin_anew_and_keep_the_earlier_training(tmp_path, capsys):
    train(tmp_path / "a.pt", begin_as="elephant")
    _, training = train(tmp_path / "a.pt", begin_as="teapot", steps=2)
    assert training.step == 2
    assert (tmp_path / "a.old").exists()
    assert "begins anew" in capsys.readouterr().out


def test_a_save_that_is_cut_short_costs_nothing(tmp_path, monkeypatch):
    train(tmp_path / "a.pt", steps=4)

    def cut(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "a.pt", steps=8)
    _, training = train(tmp_path / "a.pt", steps=4)
    assert training.step == 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: train(path, steps=0), "at least 1 step"),
        (lambda path: train(path, learning_rate=0), "rate above 0"),
        (lambda path: train(path, learning_rate=1e30, steps=50), "lower learning rate"),
        (lambda path: next_but_one(path), "training.learn"),
        (lambda path: open_pictures(path / "nowhere", 128), "no folder “nowhere”"),
        (lambda path: open_pictures(path.parent, 128), "holds no pictures"),
    ],
)
def test_mistakes_get_a_sentence_that_names_the_fix(tmp_path, make, words):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(Mistake, match=words):
        make(folder / "a.pt")


def next_but_one(path):
    """A loop that forgets to learn."""
    steps = iter(
        Training(
            {"w": torch.nn.Parameter(torch.zeros(1))}, path, steps=2, learning_rate=1.0
        )
    )
    next(steps)
    next(steps)


def test_pictures_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name, colour in (("b.png", "red"), ("a.JPG", "blue"), ("c.gif", "green")):
        Image.new("RGB", (40, 30), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    opened = open_pictures(tmp_path, 16)
    assert [image.size for image in opened] == [(16, 16)] * 3
    first = open_picture(tmp_path / "a.JPG", 16)
    assert opened[0].tobytes() == first.tobytes()
    assert opened[1].getpixel((8, 8)) == (255, 0, 0)
    assert [image.info["name"] for image in opened] == ["a", "b", "c"]


def test_the_curve_shows_every_loss(tmp_path):
    _, training = train(tmp_path / "a.pt", steps=60)
    (axis,) = training.curve().axes
    each, mean = axis.lines
    assert len(each.get_ydata()) == 60
    assert mean.get_ydata()[-1] == pytest.approx(sum(training.losses[-25:]) / 25)
