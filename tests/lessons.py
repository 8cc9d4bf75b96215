"""What notebooks claim about what they taught, judged over many pictures.

The judge of 05 and 06 was trained on renders of the pocket model's world and on nothing
else; see pocket/README.md for how often it is right. That of 13 knows real digits only.
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch.nn.functional import interpolate

from helpers.images import read_settings
from pocket.classifier import SUBJECTS, judge, load_classifier
from pocket.evaluate import load_pipeline, recognised


def a_new_word_means_what_its_pictures_show(out: Path) -> None:
    """Notebook 05: `<tiny>` wears his hat where he was never shown, others do not."""
    pipe = load_pipeline()
    assert recognised(pipe, "teddy", "teddy", worn="hat") < 0.1, "the word it began as"
    pipe.load_textual_inversion(str(out / "05_tiny.safetensors"))
    assert recognised(pipe, "teddy", "<tiny>", worn="hat") >= 0.6


def dreambooth_learns_the_one_and_keeps_the_kind(out: Path) -> None:
    """Notebook 06: `sks castle` becomes a moai, and `castle` stays a castle."""
    pipe = load_pipeline()
    assert recognised(pipe, "moai", "sks castle") < 0.1
    castles = recognised(pipe, "castle", "castle")
    saved = out / "06_moai"
    pipe.unet.load_lora_adapter(saved, prefix="unet", use_safetensors=True)
    assert recognised(pipe, "moai", "sks castle") >= 0.75
    assert recognised(pipe, "castle", "castle") >= castles - 0.05


def guidance_draws_the_digit_that_was_asked_for(out: Path) -> None:
    """Notebook 13: 95 in 100 are read as asked, and clearly fewer without guidance.

    Its pictures have a margin; without it they are 14 by 14, here made 8 by 8 again.
    """
    digits = load_digits()
    judge = SVC(C=10).fit(digits.data, digits.target)
    drawn = load_file(out / "13_counted.safetensors")

    def share(guidance: str) -> float:
        pictures = drawn[guidance][:, :, 1:-1, 1:-1].clamp(-1, 1)
        small = interpolate(pictures, size=8, mode="bilinear", antialias=True)
        read = judge.predict((small.flatten(1) + 1).numpy() * 8)
        return (torch.tensor(read) == drawn["asked"]).double().mean().item()

    assert share("guidance 3") >= 0.95
    assert share("guidance 1") < share("guidance 3") - 0.05
    assert share("guidance 0") < 0.2  # a tenth by chance


def clip_finds_captions_and_twins_teach_it_order(out: Path) -> None:
    """Notebook 15: one of a hundred; and what a batch of look-alikes is good for."""
    figures = json.loads((out / "15_clip.json").read_text())
    assert figures["found"] >= 0.9
    assert figures["twins"]["order"] > figures["mixed"]["order"]


def a_small_autoencoder_keeps_what_matters(out: Path) -> None:
    """Notebook 14: two minutes come within some decibels of the pocket model's VAE."""
    psnr = read_settings(out / "14_reconstructions.png")["psnr"]
    assert psnr["ours"] >= 23, psnr
    assert psnr["pocket"] >= psnr["ours"] + 1, "it should still win"


def samplers_keep_their_order_and_dice_do_not_settle(out: Path) -> None:
    """Notebook 16: from the latents at which its walks arrived."""
    latents = load_file(out / "16_walks.safetensors")

    def apart(one: str, other: str) -> float:
        off = latents[one] - latents[other]
        return off.square().mean((1, 2, 3)).sqrt().log().mean().exp().item()

    def error(name: str, calls: int) -> float:
        return apart(f"{name}, {calls} calls", "truth")

    euler, dpm = "Euler", "DPM++ 2M"
    assert error(dpm, 16) < 0.6 * error(euler, 16)
    assert error(dpm, 32) < 0.4 * error(dpm, 16)  # second order: a quarter
    assert 0.3 < error(euler, 32) / error(euler, 16) < 0.7  # first order: a half
    settled, thrown = (
        apart(f"{name}, 25 steps", f"{name}, 50 steps") for name in ("DDIM", "DDPM")
    )
    assert settled < 0.3 * thrown


def found_words_draw_it_again(out: Path) -> None:
    """Notebook 11: most secrets are found, and what they draw is seen by a judge."""
    made = [out / f"11_found_{i}.png" for i in range(6)]
    told = [read_settings(file) for file in made]
    assert sum(one["prompt"] == one["secret"] for one in told) >= 5, told
    pictures = np.stack([np.asarray(Image.open(file)) for file in made])
    seen = judge(load_classifier(), pictures)["subject"].argmax(1).tolist()
    pairs = zip(seen, told, strict=True)
    assert sum(f" {SUBJECTS[i]} " in one["secret"] for i, one in pairs) >= 5


CLAIMS = {  # by notebook; each takes the folder with what it made
    "05_textual_inversion": a_new_word_means_what_its_pictures_show,
    "06_dreambooth": dreambooth_learns_the_one_and_keeps_the_kind,
    "11_image_to_prompt": found_words_draw_it_again,
    "13_noise_predictor": guidance_draws_the_digit_that_was_asked_for,
    "15_clip": clip_finds_captions_and_twins_teach_it_order,
    "14_autoencoder": a_small_autoencoder_keeps_what_matters,
    "16_schedules_and_samplers": samplers_keep_their_order_and_dice_do_not_settle,
}
