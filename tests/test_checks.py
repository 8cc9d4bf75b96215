"""Exercises: each solution passes, and what people get wrong is named."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import checks
from helpers.images import save
from helpers.models import describe, load

EXERCISES = {k: v for k, v in vars(checks).items() if isinstance(v, checks.Exercise)}

MISTAKES = [  # exercise, a wrong answer as code, a word of what it should be told
    ("wide", "'a hippo'", "str"),
    ("wide", "Image.new('RGB', (64, 64))", "64 wide and 64 high"),
    ("numbers", "768 * 512 * 3", "pixels"),
    ("numbers", "64 * 96", "four numbers"),
    ("numbers", "4 * 64 * 64", "wider"),
    ("saved", "OUT / 'nowhere.png'", "no file"),
    ("saved", "bare(OUT)", "holds no settings"),
    ("saved", "save(Image.new('RGB', (8, 8)), OUT / 'x.png', seed=1)", "prompt"),
    ("saved", "save(Image.new('RGB', (8, 8)), OUT / 'x.png', seed=1)", "num_inference"),
    ("guide", "lambda u, t, s: t + s * (t - u)", "starts at the prediction with"),
    ("guide", "lambda u, t, s: u + s * (u - t)", "away"),
    ("guide", "lambda u, t, s: s * (t - u)", "alone"),
    ("guide", "lambda u, t, s: None", "return"),
    ("guide", "lambda u, t, s: u + 7.5 * (t - u)", "right at 7.5"),
    ("looks", "25", "twice"),
    ("looks", "50", "PNDM"),
    ("tame", "lambda p, t, r: p * t.std() / p.std() * r + (1 - r) * p", "batch"),
    (
        "tame",
        "lambda p, t, r: p * (t.std((1, 2, 3)) / p.std((1, 2, 3))).view(-1, 1, 1, 1)",
        "mix",
    ),
    ("surprise", "lambda c: np.mean(c)", "uncertain"),
    ("surprise", "lambda c: abs(np.mean(c)) / np.std(c, ddof=1) * 3", "sign"),
    ("surprise", "lambda c: np.mean(c) / np.std(c, ddof=1)", "surer"),
    ("steer", "lambda u, t, n, g, w: u + g * (t - u) + w * (n - u)", "both"),
    ("steer", "lambda u, t, n, g, w: g * (t - u) - w * (n - u)", "start"),
    ("steer", "lambda u, t, n, g, w: u + g * (t - u) + w * (t - n)", "empty prompt"),
    ("changed", "1000", "once"),
    ("changed", "'all'", "once"),
    ("steps_run", "lambda n, s: n - int(n * s)", "left out"),
    ("steps_run", "lambda n, s: round(n * s)", "7.5 steps are 7"),
    ("gentle", "10", "share"),
    ("gentle", "0.75", "runs 30"),
    ("flicker", "lambda f: np.diff(np.stack(f).astype(int), axis=0).mean()", "cancels"),
    ("flicker", "lambda f: np.abs(np.diff(np.stack(f), axis=0)).mean()", "wrap"),
    ("flicker", "lambda f: np.abs(np.diff([np.mean(x) for x in f])).mean()", "moves"),
    ("nearest", "lambda r, t: (t @ r).argmax().item()", "longest"),
    ("nearest", "lambda r, t: (t - r).norm(dim=1).argmin().item()", "point"),
    ("nearest", "lambda r, t: (t - r).norm(dim=1).argmax().item()", "longest"),
    ("word_bytes", "768", "four bytes"),
    ("word_bytes", "77 * 768 * 4", "one row"),
    ("between", "lambda a, b, s: b + s * (a - b)", "other way"),
    ("between", "lambda a, b, s: a + s * b", "past"),
    ("two_losses", "lambda p, n, w: F.mse_loss(p, n)", "halves"),
    (
        "two_losses",
        "lambda p, n, w: w * F.mse_loss(p[:2], n[:2]) + F.mse_loss(p[2:], n[2:])",
        "second half, the kind",
    ),
    ("two_losses", "lambda p, n, w: F.mse_loss(p[:2], n[:2])", "alone"),
    ("thin", "320 * 320", "stands still"),
    ("thin", "4 * 320", "one of the two"),
    ("merge", "lambda W, A, B, s: W + B @ A", "scale"),
    ("merge", "lambda W, A, B, s: W + s * A.T @ B.T", "transposed"),
    ("ddim_step", "lambda x, e, a, b: (x - (1 - a).sqrt() * e) / a.sqrt()", "whole"),
    ("ddim_step", "lambda x, e, a, b: None", "return"),
    ("add_noise", "lambda x, e, a: a * x + (1 - a) * e", "square root"),
    ("add_noise", "lambda x, e, a: x + (1 - a).sqrt() * e", "fades"),
    ("calls", "20", "leaves"),
    ("calls", "12", "one call"),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What stands in a notebook when the exercises come."""
    pipe = load("pocket")

    def draw(prompt, seed, **settings):
        generator = torch.Generator("cpu").manual_seed(seed)
        return pipe(prompt, generator=generator, **settings).images[0]

    def bare(folder):
        Image.new("RGB", (8, 8)).save(folder / "bare.png")
        return folder / "bare.png"

    return {
        **{
            "np": np,
            "torch": torch,
            "F": torch.nn.functional,
            "Image": Image,
            "save": save,
            "bare": bare,
        },
        **{"pipe": pipe, "model": describe(pipe), "draw": draw},
        **{
            "suits": {"num_inference_steps": 2, "guidance_scale": 7.5},
            "OUT": tmp_path_factory.mktemp("out"),
        },
    }


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name, names, capsys):
    space = dict(names)
    EXERCISES[name].solution()
    exec(capsys.readouterr().out, space)
    EXERCISES[name].check(space[name])
    assert capsys.readouterr().out == "Correct.\n"
    EXERCISES[name].hint()
    assert len(capsys.readouterr().out) > 20


@pytest.mark.parametrize(("name", "answer", "word"), MISTAKES)
def test_a_typical_mistake_is_named(name, answer, word, names, capsys):
    EXERCISES[name].check(eval(answer, dict(names)))
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and word in said


@pytest.mark.parametrize("name", EXERCISES)
def test_two_mistakes_of_each_exercise_are_known(name):
    assert sum(known == name for known, _, _ in MISTAKES) >= 2


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("nonsense", ["?", 3.5, print, [], {}, -1, 1e400])
def test_any_answer_gets_a_sentence_and_no_error(name, nonsense, capsys):
    EXERCISES[name].check(nonsense)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(("Not yet: ", "Cannot tell: "))


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_is_not_tried(name, capsys):
    EXERCISES[name].check(None)
    assert capsys.readouterr().out.startswith("Not tried yet.")
