"""LoRA: its captions, its loss, its file in two forms, its script on two processes."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from safetensors.torch import load_file, save_file

from helpers.captioned import open_captioned, write_captioned
from helpers.errors import Mistake
from helpers.exercises import lora_finetuning
from helpers.lora import LAYERS, add_lora, noise_loss, save_lora

ROOT = Path(__file__).resolve().parents[1]
COLOURS = ["navy", "tomato", "gold"]


def coloured(count):
    return [Image.new("RGB", (128, 128), colour) for colour in COLOURS[:count]]


# Captions


def test_captions_come_back_with_their_pictures(tmp_path):
    write_captioned(coloured(3), ["a", "b", "c"], tmp_path / "set")
    write_captioned(coloured(2), ["a  sea\n", "tomatoes"], tmp_path / "set")
    (tmp_path / "set" / "cat.jpg").write_bytes(
        (tmp_path / "set" / "00.png").read_bytes()
    )
    (tmp_path / "set" / "cat.txt").write_bytes("\ufeffune forêt".encode())
    pictures, captions = open_captioned(tmp_path / "set", 64)
    assert captions == ["a sea", "tomatoes", "une forêt"]
    assert [picture.size for picture in pictures] == [(64, 64)] * 3
    assert pictures[1].getpixel((0, 0)) == (255, 99, 71)


@pytest.mark.parametrize("text", [None, " \n"])
def test_a_picture_without_a_caption_is_told_with_the_file_that_is_missing(
    tmp_path, text
):
    write_captioned(coloured(2), ["a", "b"], tmp_path)
    (tmp_path / "01.txt").unlink()
    if text:
        (tmp_path / "01.txt").write_text(text)
    with pytest.raises(Mistake, match="01.txt") as caught:
        open_captioned(tmp_path, 64)
    assert caught.value.kind == "no caption"


def test_two_pictures_of_one_name_share_a_caption(tmp_path):
    write_captioned(coloured(1), ["the sea"], tmp_path)
    (tmp_path / "00.jpg").write_bytes((tmp_path / "00.png").read_bytes())
    assert open_captioned(tmp_path, 64)[1] == ["the sea"] * 2


# The thin matrices


@pytest.fixture
def unet(pipe):
    return copy.deepcopy(pipe.unet)


def shake(parameters, by=0.2):
    """As if it had learned."""
    generator = torch.Generator().manual_seed(1)
    for weight in parameters.values():
        weight.data += by * torch.randn(weight.shape, generator=generator)


@torch.no_grad()
def answer(unet):
    return unet(torch.ones(1, 4, 16, 16), 500, torch.ones(1, 77, 128)).sample


def test_a_new_lora_changes_nothing_and_begins_alike(unet):
    before = answer(unet)
    first = {n: p.detach().clone() for n, p in add_lora(unet, "a", 4, 4).items()}
    assert torch.equal(answer(unet), before)
    shake(dict(unet.named_parameters()) | {})
    again = add_lora(unet, "a", 4, 4)
    assert first.keys() == again.keys() and len(first) > 2 * len(LAYERS)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {n for n, p in unet.named_parameters() if p.requires_grad} == set(first)


def test_the_count_of_the_exercise_is_the_number_that_learns(unet):
    scope = {}
    exec(lora_finetuning.learned.solution_text, scope)
    shapes = {name: p.shape for name, p in unet.named_parameters()}
    thin = add_lora(unet, "a", 4, 4)
    told = 0
    for name in thin:
        if ".lora_A." in name:
            outputs, inputs, *window = shapes[f"{name.partition('.lora_')[0]}.weight"]
            told += scope["learned"](inputs, outputs, (window or [1])[0], 4)
    assert told == sum(weight.numel() for weight in thin.values())


def test_the_loss_is_the_error_of_the_noise_and_reaches_only_the_lora(unet, pipe):
    thin = add_lora(unet, "a", 2, 2)
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    clean, words = torch.ones(2, 4, 16, 16), torch.ones(2, 77, 128)
    losses = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        losses.append(noise_loss(unet, scheduler, clean, words, generator))
    assert losses[0].item() == losses[1].item() > 0
    losses[0].backward()
    moved = {n for n, p in unet.named_parameters() if p.grad is not None}
    assert moved == set(thin)

    class Perfect(torch.nn.Module):
        dtype = torch.float32

        def forward(self, noisy, t, words):
            a = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
            noise = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
            return type("Out", (), {"sample": noise})

    generator = torch.Generator().manual_seed(3)
    assert noise_loss(Perfect(), scheduler, clean, words, generator) < 1e-6


@pytest.mark.parametrize("alpha", [2, 6])
def test_both_forms_of_its_file_draw_what_it_drew(tmp_path, unet, pipe, alpha):
    """With the names that the exercise asks for, and an alpha beside each pair."""
    before = answer(unet)
    shake(add_lora(unet, "a", 2, alpha))
    learned = answer(unet)
    assert not torch.allclose(learned, before, atol=1e-2)
    file = save_lora(unet, "a", tmp_path)

    scope = {}
    exec(lora_finetuning.kohya.solution_text, scope)
    elsewhere = {scope["kohya"](key): m for key, m in load_file(file).items()}
    for key in list(elsewhere):
        elsewhere[f"{key.partition('.')[0]}.alpha"] = torch.tensor(float(alpha))
    save_file(elsewhere, tmp_path / "kohya.safetensors")

    whole = copy.deepcopy(pipe)
    for path in (file, tmp_path / "kohya.safetensors"):
        whole.load_lora_weights(path.parent, weight_name=path.name, adapter_name="read")
        torch.testing.assert_close(answer(whole.unet), learned)
        whole.set_adapters("read", 0.0)
        assert torch.equal(answer(whole.unet), before)
        whole.unload_lora_weights()


# The script


def launch(folder, out, steps, count=2):
    """What the script says, on so many processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={count}", str(ROOT / "scripts" / "train_lora.py")]
    command += [str(folder), str(out), "--model=pocket", "--batch-size=1", "--rank=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*command, f"--steps={steps}"], env=environment, capture_output=True, text=True
    )


@pytest.mark.seconds(50)
def test_the_script_learns_on_two_processes_and_goes_on(tmp_path, unet):
    folder = write_captioned(coloured(3), COLOURS, tmp_path / "set")
    first = launch(folder, tmp_path / "out", 2)
    assert "2 steps on 2 processes, 3 pictures" in first.stdout, first.stderr[-2000:]
    file = tmp_path / "out" / "pytorch_lora_weights.safetensors"
    begun = load_file(file)
    then = launch(folder, tmp_path / "out", 4)
    assert then.stdout.count("2 steps are done already") == 1, then.stderr[-2000:]
    learned = load_file(file)
    assert begun.keys() == learned.keys()
    assert any(not torch.equal(begun[key], learned[key]) for key in begun)
    unet.load_lora_adapter(file, prefix="unet", use_safetensors=True)


@pytest.mark.seconds(15)
def test_the_script_says_a_mistake_once(tmp_path):
    (tmp_path / "set").mkdir()
    told = launch(tmp_path / "set", tmp_path / "out", 2, count=1)
    assert told.returncode != 0
    assert told.stderr.count("holds no pictures") == 1
    assert 'Traceback (most recent call last):\n  File "' + str(ROOT) not in told.stderr
