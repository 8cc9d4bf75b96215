"""Trainings: kept on disk, resumed bit by bit, alone and in several processes."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from helpers.device import Device
from helpers.errors import Mistake
from helpers.latents import encode
from helpers.models import load
from helpers.training import Training, save_memory

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("gigabytes", [16.0, 0.1])
def test_what_has_no_room_is_computed_twice_and_is_the_same(gigabytes):
    pipe, pictures = load("pocket"), [Image.new("RGB", (128, 128), "navy")] * 2
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


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_an_interrupted_training_ends_where_an_unbroken_one_does(
    tmp_path, monkeypatch, decay
):
    whole, _ = train(tmp_path / "whole", decay=decay)
    monkeypatch.setattr("helpers.training.SECONDS_BETWEEN_SAVES", -1)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stop_at=7, decay=decay)
    resumed, training = train(tmp_path / "broken", decay=decay)
    assert torch.equal(whole, resumed)
    assert len(training.losses) == training.step == 12


def test_a_falling_rate_falls_to_nothing(tmp_path):
    fallen, training = train(tmp_path / "a", steps=99, decay=1.0)
    state = torch.load(training.path)["optimizer"]
    assert state["param_groups"][0]["lr"] == pytest.approx(0.1 / 99)
    steady, _ = train(tmp_path / "b", steps=99)
    assert not torch.equal(fallen, steady)


def test_a_finished_training_is_taken_up_and_can_go_on(tmp_path, capsys):
    first, _ = train(tmp_path / "a")
    again, training = train(tmp_path / "a")
    assert torch.equal(first, again) and training.step == 12
    assert "12 steps are done already" in capsys.readouterr().out
    longer, _ = train(tmp_path / "a", steps=20)
    at_once, _ = train(tmp_path / "b", steps=20)
    assert torch.equal(longer, at_once)


def test_going_back_to_earlier_settings_finds_what_they_gave(tmp_path, capsys):
    """A, B, and A again: B begins anew, and A is done already, to the last bit."""
    first, a = train(tmp_path / "a", begin_as="elephant")
    other, b = train(tmp_path / "a", begin_as="teapot", learning_rate=0.2)
    assert "begins anew" in capsys.readouterr().out
    assert b.path != a.path and not torch.equal(first, other)
    again, training = train(tmp_path / "a", begin_as="elephant")
    assert "12 steps are done already" in capsys.readouterr().out
    assert torch.equal(again, first) and training.losses == a.losses


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"learning_rate": 0.2},
        {"weight_decay": 0.5},
        {"decay": 0.5},
        {"clip": 0.1},
        {"average": 0.5},
        {"captions": [["a photo of a {}"]]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_makes_a_training_has_a_file_of_its_own(tmp_path, settings):
    _, plain = train(tmp_path / "a", steps=1)
    _, other = train(tmp_path / "a", steps=1, **settings)
    assert plain.path != other.path and plain.path.exists() and other.path.exists()


def test_other_shapes_are_another_training(tmp_path):
    def begin(count):
        weight = torch.nn.Parameter(torch.zeros(count))
        return Training({"w": weight}, tmp_path / "a", steps=1, learning_rate=0.1)

    assert begin(3).path == begin(3).path != begin(4).path


def test_the_moving_average_is_kept_and_goes_on(tmp_path):
    line = torch.nn.Linear(3, 1)
    line.weight.data.zero_(), line.bias.data.zero_()

    def learn(path, steps):
        for parameter in line.parameters():
            parameter.data.zero_()
        named = dict(line.named_parameters())
        settings = {"learning_rate": 0.1, "average": 0.6}
        training = Training(named, path, steps=steps, **settings)
        passed = []
        for _, generator in training:
            x = torch.randn(8, 3, generator=generator)
            training.learn((line(x)[:, 0] - x.sum(1)).square().mean())
            passed.append(line.weight.detach().clone())
        return training, passed

    training, passed = learn(tmp_path / "a", 12)
    expected = torch.zeros(1, 3)
    for step, weight in enumerate(passed):
        expected = torch.lerp(expected, weight, 1 - min(0.6, (step + 1) / (step + 10)))
    averaged = training.averaged(line)
    torch.testing.assert_close(averaged.weight.data, expected)
    assert torch.equal(line.weight, passed[-1]) and not averaged.training
    learn(tmp_path / "b", 5)
    resumed, _ = learn(tmp_path / "b", 12)
    assert torch.equal(resumed.averages["weight"], training.averages["weight"])


def test_gradients_are_clipped_to_a_length(tmp_path):
    """Of one step of plain descent: as long as the rate, however steep it was."""
    weight = torch.nn.Parameter(torch.zeros(3))
    settings = {"steps": 1, "learning_rate": 1.0, "clip": 0.5}
    descent = torch.optim.SGD
    training = Training({"w": weight}, tmp_path / "a", optimizer=descent, **settings)
    for _ in training:
        training.learn((weight * 1000).sum())
    assert weight.norm().item() == pytest.approx(0.5, rel=1e-4)


class Half(torch.autograd.Function):
    """Passes a gradient as float16 does: what is too large becomes infinite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.half().float()


@pytest.mark.parametrize("steepness", [1e-7, 1e3])
def test_in_float16_small_gradients_count_and_large_ones_are_tried_again(
    tmp_path, steepness
):
    weight = torch.nn.Parameter(torch.zeros(3))
    settings = {"steps": 4, "learning_rate": 0.1, "precision": torch.float16}
    training = Training({"w": weight}, tmp_path / "a", **settings)
    seen = []
    for step, generator in training:
        seen.append((step, torch.rand((), generator=generator).item()))
        training.learn((Half.apply(weight) * steepness).sum())
    assert weight.max() < -0.3, "it did not move in every step"
    assert len(training.losses) == 4 and [n for n, _ in dict(seen).items()] == [
        *range(4)
    ]
    assert (len(seen) > 4) == (steepness > 1)
    assert len(set(seen)) == 4, "a step that is tried again is another step"


def test_gradients_that_are_never_numbers_stop_it(tmp_path):
    weight = torch.nn.Parameter(torch.zeros(3))
    settings = {"steps": 4, "learning_rate": 0.1, "precision": torch.float16}
    training = Training({"w": weight}, tmp_path / "a", **settings)
    with pytest.raises(Mistake) as caught:
        for _ in training:
            training.learn((weight.abs().sqrt() * 0).sum())  # 0 / 0
    assert caught.value.kind == "not a number"
    assert training.step == 0 and torch.equal(weight.detach(), torch.zeros(3))


TWO = """
import functools, sys, torch
from helpers.processes import join_processes, processes, rank
from helpers.training import Training
join_processes()
assert processes() == 2
weight = torch.nn.Parameter(torch.zeros(3))
descent = functools.partial(torch.optim.SGD, momentum=0.9)
training = Training({"w": weight}, sys.argv[1], steps=int(sys.argv[2]),
    learning_rate=0.01, optimizer=descent)
for step, generator in training:
    x = torch.randn(8, 3, generator=generator)
    training.learn((x @ weight - x.sum(1)).square().mean())
torch.save(weight.detach(), f"{sys.argv[1]}.{rank()}")
"""


@pytest.mark.seconds(15)
def test_two_processes_learn_together(tmp_path):
    """From the mean of their gradients; stopped after 5 steps, they go on as one."""
    script = tmp_path / "two.py"
    script.write_text(TWO)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    for steps in (5, 12):
        command = [*launch, "--nproc-per-node=2", script, tmp_path / "a", str(steps)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("5 steps are done already") == 1
    one, two = (torch.load(f"{tmp_path / 'a'}.{rank}") for rank in (0, 1))
    assert torch.equal(one, two)

    weight = torch.nn.Parameter(torch.zeros(3))
    descent = torch.optim.SGD([weight], 0.01, momentum=0.9)
    for step in range(12):
        descent.zero_grad()
        for rank in (0, 1):
            key = torch.Generator().manual_seed(step + 10**12 * rank)
            x = torch.randn(8, 3, generator=key)
            ((x @ weight - x.sum(1)).square().mean() / 2).backward()
        descent.step()
    torch.testing.assert_close(one, weight.detach())


def test_a_save_that_is_cut_short_costs_nothing(tmp_path, monkeypatch):
    train(tmp_path / "a", steps=4)

    def cut(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", cut)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "a", steps=8)
    _, training = train(tmp_path / "a", steps=4)
    assert training.step == 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: train(path, steps=0), "at least 1 step"),
        (lambda path: train(path, learning_rate=0), "rate above 0"),
        (lambda path: train(path, learning_rate=1e30, steps=50), "lower learning rate"),
        (lambda path: next_but_one(path), "training.learn"),
    ],
)
def test_mistakes_get_a_sentence_that_names_the_fix(tmp_path, make, words):
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(Mistake, match=words):
        make(folder / "a")


def next_but_one(path):
    """A loop that forgets to learn."""
    steps = iter(
        Training(
            {"w": torch.nn.Parameter(torch.zeros(1))}, path, steps=2, learning_rate=1.0
        )
    )
    next(steps)
    next(steps)


def test_the_curve_shows_every_loss(tmp_path):
    _, training = train(tmp_path / "a", steps=60)
    (axis,) = training.curve().axes
    each, mean = axis.lines
    assert len(each.get_ydata()) == 60
    assert mean.get_ydata()[-1] == pytest.approx(sum(training.losses[-25:]) / 25)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another kind"])
def test_a_damaged_checkpoint_is_put_aside_and_told(tmp_path, capsys, damage):
    whole, first = train(tmp_path / "t")
    data = bytearray(first.path.read_bytes())
    middle = data.find(whole.numpy().tobytes())
    data[middle] ^= 1
    torch.save({"losses": 3}, tmp_path / "other")
    wrong = {"cut": data[: len(data) // 2], "flipped": data, "empty": b""}
    wrong["another kind"] = (tmp_path / "other").read_bytes()
    first.path.write_bytes(wrong[damage])
    again, second = train(tmp_path / "t")
    assert torch.equal(again, whole) and second.step == 12
    assert "damaged" in capsys.readouterr().out
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_bytes() == wrong[damage]
    assert len(train(tmp_path / "t")[1].losses) == 12  # the new one is whole


def test_a_disk_that_is_full_costs_nothing_that_was_learned(
    tmp_path, monkeypatch, capsys
):
    """For real: the system lets no file grow beyond a few bytes."""
    import resource
    import signal

    monkeypatch.setattr("helpers.training.SECONDS_BETWEEN_SAVES", -1)
    whole, _ = train(tmp_path / "whole")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        learned, training = train(tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.equal(learned, whole) and training.step == 12
    assert capsys.readouterr().out.count("The disk is full") == 1
    assert not [*tmp_path.glob("full*")]
    monkeypatch.setattr(Training, "learn", None)
    again, training = train(tmp_path / "full")  # there is room again
    assert torch.equal(again, whole) and training.step == 12
    assert training.path.is_file()


def test_a_picture_that_cannot_be_saved_stops_no_training(tmp_path, capsys):
    """Notebook 05 draws into files while it learns."""
    _, training = train(tmp_path / "t")
    for _ in range(2):
        with training.going_on():
            open("/dev/full", "w").write("x" * 10**6)
    assert capsys.readouterr().out.count("The disk is full") == 1
    with pytest.raises(ZeroDivisionError), training.going_on():
        raise ZeroDivisionError


@pytest.mark.parametrize("times", [1, 4])
def test_a_lora_file_carries_its_alpha(tmp_path, pipe, times):
    """As notebook 06 saves and loads it: loaded, it draws what it drew."""
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    unet = copy.deepcopy(pipe.unet)
    lora = LoraConfig(r=2, lora_alpha=2 * times, target_modules=["to_q", "to_v"])
    unet.add_adapter(lora, "moai")
    generator = torch.Generator().manual_seed(0)
    for name, weight in unet.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) / 4
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(unet, adapter_name="moai"),
        unet_lora_adapter_metadata=unet.peft_config["moai"].to_dict(),
    )
    again = copy.deepcopy(pipe.unet)
    again.load_lora_adapter(tmp_path, prefix="unet", use_safetensors=True)
    inputs = (torch.ones(1, 4, 16, 16), 500, torch.ones(1, 77, 128))
    with torch.no_grad():
        before, learned = pipe.unet(*inputs).sample, unet(*inputs).sample
        loaded = again(*inputs).sample
    assert not torch.allclose(learned, before, atol=1e-2)
    torch.testing.assert_close(loaded, learned)
