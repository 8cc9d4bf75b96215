"""What cannot work is told before it is tried: a kind, and one clear sentence.

The table is where the wording is tested; everywhere else the kind will do.
"""

import copy
import io
import logging

import pytest
import torch
from course import draw

from helpers import models
from helpers.errors import Mistake
from helpers.libraries import be_brief
from helpers.settings import check_prompt, check_settings

pytestmark = pytest.mark.usefixtures("offline")


def stops(call, *args, **kwargs) -> tuple[str, str]:
    with pytest.raises(Mistake) as caught:
        call(*args, **kwargs)
    return caught.value.kind, str(caught.value)


def notice(pipe, prompt: str) -> tuple[str, str]:
    (sentence,) = check_prompt(pipe, prompt)
    return "notice", sentence


def settings(pipe, **values) -> tuple[str, str]:
    return stops(check_settings, pipe, **values)


BAD_INPUTS = {
    "unknown model": (
        "no model",
        lambda pipe: stops(models.load, "stable-difusion"),
        ("stable-difusion", "you may mean stable-diffusion-v1-5"),
    ),
    "no folder": (
        "no model",
        lambda pipe: stops(models.load, "../my model"),
        ("There is no model “../my model”: take auto",),
    ),
    "no model at all": (
        "no model",
        lambda pipe: stops(models.load, ""),
        ("take auto",),
    ),
    "a model that is gone": (
        "gone",
        lambda pipe: stops(models.load, "runwayml/stable-diffusion-v1-5"),
        ("taken off the hub", "take “stable-diffusion-v1-5”"),
    ),
    "another one": (
        "gone",
        lambda pipe: stops(models.load, "stabilityai/stable-diffusion-2-1"),
        ("taken off the hub", "take “stable-diffusion-2-1-base”"),
    ),
    "no network": (
        "offline",
        lambda pipe: stops(models.load, "somebody/somewhere"),
        ("“somebody/somewhere”",),  # the rest is in hub_server.py
    ),
    "width not a multiple of 8": (
        "setting",
        lambda pipe: settings(pipe, width=100, height=128),
        ("width is 100", "blocks of 8", "take 96 or 104"),
    ),
    "height of nothing": (
        "setting",
        lambda pipe: settings(pipe, height=0),
        ("height is 0", "take 8 or 16"),
    ),
    "0 steps": (
        "setting",
        lambda pipe: settings(pipe, num_inference_steps=0),
        ("num_inference_steps is 0", "1 to 1000", "take 25"),
    ),
    "too many steps": (
        "setting",
        lambda pipe: settings(pipe, num_inference_steps=1001),
        ("num_inference_steps is 1001", "1 to 1000", "take 25"),
    ),
    "no strength": (
        "setting",
        lambda pipe: settings(pipe, strength=0),
        ("strength is 0", "at most 1", "take 0.6"),
    ),
    "too much strength": (
        "setting",
        lambda pipe: settings(pipe, strength=1.5),
        ("strength is 1.5", "at most 1", "take 0.6"),
    ),
    "less than a step": (
        "setting",
        lambda pipe: settings(pipe, strength=0.02, num_inference_steps=25),
        ("25 steps at strength 0.02", "less than one", "take 50 steps"),
    ),
    "an empty prompt": (
        "notice",
        lambda pipe: notice(pipe, "  "),
        ("empty", "name what"),
    ),
    "a prompt of 200 words": (
        "notice",
        lambda pipe: notice(pipe, "a cat " * 37 + "on the beach " * 42),
        ("200 tokens", "reads 75", "shorten it", "misses “the beach on the"),
    ),
    "an unknown word": (
        "notice",
        lambda pipe: notice(pipe, "a hipo in the city"),
        ("never seen", "“hipo”", "is it “hippo”?"),
    ),
    "unknown words": (
        "notice",
        lambda pipe: notice(pipe, "a zyx, a qwrtz and 日本 3! zyx"),
        ("“zyx”, “qwrtz”, “日本”;", "say it with others"),
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_input_gets_one_clear_sentence(case, pipe):
    right, answer, parts = BAD_INPUTS[case]
    kind, sentence = answer(pipe)
    assert kind == right
    for part in parts:
        assert part in sentence
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 250


def test_a_notebook_shows_the_sentence_alone():
    assert Mistake("setting", "Take 8.")._render_traceback_() == ["Mistake: Take 8."]


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
    assert check_prompt(pipe, prompt) == []


def test_the_first_word_too_many_is_named(pipe):
    assert "misses “hippo”" in notice(pipe, "frog " * 75 + "hippo")[1]


def test_a_token_that_was_added_is_no_unknown_word(pipe):
    pipe = copy.copy(pipe)
    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
    assert check_prompt(pipe, "a <qwrtz> in the city")
    pipe.tokenizer.add_tokens("<qwrtz>")
    assert check_prompt(pipe, "a <qwrtz> in the city") == []
    assert "guess: “zyx”;" in notice(pipe, "a <qwrtz> zyx in the city")[1]


def test_good_settings_pass(pipe):
    check_settings(pipe, width=768, height=512, num_inference_steps=1)
    check_settings(pipe, num_inference_steps=1000)


@pytest.mark.parametrize(
    "prompt",
    [
        "a (frog:1.5) on a blue background",
        "a ((frog)) on a blue background",
        "a frog on a blue background --ar",
        "a frog BREAK a blue background",
        "<lora:frog:0.8> a frog on a blue background",
    ],
)
def test_habits_from_other_programs_are_told(pipe, prompt):
    notices = check_prompt(pipe, prompt)
    assert sum("Other programs" in sentence for sentence in notices) == 1


@pytest.mark.parametrize("prompt", ["a frog (in the city)", "a frog and a fox, red"])
def test_brackets_and_commas_are_no_orders(pipe, prompt):
    assert check_prompt(pipe, prompt) == []


def test_a_learned_word_counts_with_all_its_vectors(pipe):
    """As the pipeline reads it, and the loop of notebook 07."""
    from diffusers import StableDiffusionPipeline

    learned = {"string_to_token": {"*": 265}, "name": "two", "step": 1}
    learned["string_to_param"] = {"*": torch.randn(3, 128)}
    pipe = StableDiffusionPipeline(**copy.deepcopy(pipe.components))
    pipe.load_textual_inversion(learned, token="<three>")
    assert check_prompt(pipe, "frog " * 72 + "<three>") == []
    assert "misses" in notice(pipe, "frog " * 73 + "<three>")[1]


def test_a_prompt_that_is_cut_off_is_one_short_line(pipe, monkeypatch):
    """Of the libraries, which repeated all of it for each picture."""
    be_brief()
    said = io.StringIO()
    for library in ("diffusers", "transformers"):
        for handler in logging.getLogger(library).handlers:
            if type(handler) is logging.StreamHandler:  # the library's, not pytest's
                monkeypatch.setattr(handler, "stream", said)
    for _ in range(2):
        draw(pipe, "a wolf under a large moon " * 60)
    (line,) = said.getvalue().splitlines()
    assert "truncated" in line and len(line) < 250
