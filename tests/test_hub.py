"""The hub and its faults: the real client against a hub on this machine.

Each learner's sentence is checked, and that what was there before still is.
"""

import sys

import pytest
from hub_reasons import REASONS, reasons
from hub_server import SENTENCES, check, listen

pytestmark = pytest.mark.seconds(1)  # all of them share one that takes a minute


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    return listen(sys.executable, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("fault", SENTENCES)
def test_a_fault_gets_one_sentence_that_names_the_fix(heard, fault):
    check(heard[0][fault], SENTENCES[fault])


def test_no_fault_costs_a_picture_or_a_checkpoint(heard):
    assert heard[0]["made before"] is True


def test_models_come_from_the_hub(heard):
    said, output, errors = heard
    assert said["hub"] == [None, "stable-diffusion-v1-5"]
    assert said["typed id"] == "somebody/pocket"
    assert said["real id"] == "stable-diffusion-v1-5"
    assert (said["img2img"], said["as"]) == (
        "somebody/img2img",
        "StableDiffusionPipeline",
    )
    assert "Downloading stable-diffusion-v1-5: 23 MB, once." in output
    assert "Fetching" in errors, "there is no progress bar"
    assert "[transformers]" not in errors


def test_a_folder_of_ones_own_is_loaded(heard):
    assert heard[0]["own"] == "own"


def test_of_a_typed_model_the_half_is_fetched(heard):
    """Where there is one: SDXL in float32 would fill Colab's memory."""
    assert heard[0]["half"] == "fault/both"
    assert heard[0]["which half"] == [True, False]
    assert heard[0]["halves"] == "fault/halves"
    assert heard[0]["half unet"] == "fault/half-unet"
    assert heard[0]["half vae"] == "fault/half-vae"


def test_a_few_step_model_brings_its_scheduler_and_guidance(heard):
    said = heard[0]
    assert said["few steps"] == "lcm-lora"
    assert said["sampler"] == ["LCMScheduler", 4]
    low, high = said["spread"]
    assert high - low > 100, "no picture"


def test_a_download_goes_on_after_it_was_cut(heard):
    said, _, errors = heard
    assert said["cut once"] == "fault/once"
    assert "resume" in errors


def test_a_damaged_download_is_deleted(heard):
    assert heard[0]["damaged kept"] is False


def test_it_is_fetched_again_when_the_disk_has_room(heard):
    assert heard[0]["after a full disk"] == "fault/fine"


def test_auto_takes_the_pocket_model_where_the_other_breaks_off(heard):
    said, output, _ = heard
    assert said["auto"] == "pocket"
    assert "Why: the other one could not be had." in output


def test_without_the_hub_it_is_what_was_downloaded_before(heard):
    said = heard[0]
    assert said["hub down"] == ["it answers 503", "stable-diffusion-v1-5"]
    assert said["cached"] == "somebody/pocket"
    assert said["real id cached"] == "stable-diffusion-v1-5"


def test_a_busy_hub_is_no_obstacle_to_what_was_downloaded_before(heard):
    assert heard[0]["busy"] == "stable-diffusion-v1-5"


def test_a_hub_that_answers_for_some_is_no_obstacle_to_what_is_here(heard):
    assert heard[0]["moody"] == "somebody/pocket"


def test_a_bad_token_is_left_out_and_that_is_told_once(heard):
    said, output, _ = heard
    assert said["token"] == "fault/plain"
    assert said["token, but here"] == "somebody/pocket"
    assert said["quoted token"] == "fault/fresh"
    assert output.count("is not accepted by the hub") == 1
    assert output.count("characters in it that no token has") == 1
    assert "hf_" not in output


def test_an_address_loads_exactly_the_same_again(heard):
    for address, same in heard[0]["again"]:
        assert same, address
    addresses = [address for address, _ in heard[0]["again"]]
    assert addresses[:-1] == [
        "lcm-lora",
        "stable-diffusion-v1-5",
        "somebody/pocket",
        "somebody/pocket@v2",
        "stable-diffusion-v1-4",
        "stable-diffusion-v1-5/stable-diffusion-v1-5@v2",
    ]


def test_pickle_files_are_read_where_that_is_asked_for(heard):
    said, output, _ = heard
    assert said["pickle allowed"] == said["pickle cached"] == "fault/trusted"
    assert said["part pickled"] == "fault/part"
    assert "Downloading fault/trusted: 23 MB, once." in output


@pytest.fixture(scope="module")
def why(tmp_path_factory):
    return reasons(sys.executable, tmp_path_factory.mktemp("why"))


@pytest.mark.parametrize("case", REASONS)
def test_why_the_hub_is_not_reached(why, case):
    last = why[case].splitlines()[-1]
    assert REASONS[case][1] in last
    assert "hf_" not in why[case]


@pytest.mark.parametrize("case", REASONS)
def test_a_token_that_cannot_be_sent_is_known(why, case):
    bad = case in ("quoted token", "token in two")
    assert ("no token has" in why[case]) == bad
