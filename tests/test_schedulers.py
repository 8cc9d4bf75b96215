"""Under every scheduler that the library calls compatible: right, or one sentence."""

import json
import shutil

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler

from helpers.catalogue import POCKET
from helpers.errors import Mistake
from helpers.models import load
from helpers.schedulers import adds_noise, to_ddim

OURS = DDIMScheduler.from_pretrained(POCKET / "scheduler")
NAMES = sorted({kind.__name__ for kind in OURS.compatibles} | {"LCMScheduler"})
RANDOM = {"DDPMScheduler", "LCMScheduler", "EulerAncestralDiscreteScheduler"}
RANDOM |= {"KDPM2AncestralDiscreteScheduler", "DPMSolverSDEScheduler"}


@pytest.fixture
def folder(tmp_path):
    """Makes the pocket model with another scheduler."""

    def make(name: str, **settings):
        place = tmp_path / name
        shutil.copytree(POCKET, place)
        file = place / "scheduler" / "scheduler_config.json"
        config = json.loads(file.read_text()) | {"_class_name": name} | settings
        file.write_text(json.dumps(config))
        index = json.loads((place / "model_index.json").read_text())
        index["scheduler"] = ["diffusers", name]
        (place / "model_index.json").write_text(json.dumps(index))
        return str(place)

    return make


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_written_by_hand_gives_the_pipelines_picture(folder, capsys, name):
    """With the lines of notebook 07."""
    try:
        pipe = load(folder(name), dissect=True)
    except Mistake as mistake:  # it belongs to others, or needs a package
        absent = {"LMSDiscreteScheduler": "scipy", "DPMSolverSDEScheduler": "torchsde"}
        wrong = name == "EDMEulerScheduler" and mistake.kind == "wrong kind"
        assert wrong or absent.get(name, "-") in str(mistake)
        return
    assert ("DDIM draws" in capsys.readouterr().out) == (name in RANDOM)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    said = {"num_inference_steps": 4, "guidance_scale": 1.0, "output_type": "latent"}
    theirs = pipe("a frog", latents=noise, **said).images
    embeddings, _ = pipe.encode_prompt("a frog", "cpu", 1, False)
    scheduler = pipe.scheduler
    scheduler.set_timesteps(4)
    latents = noise * scheduler.init_noise_sigma
    with torch.no_grad():
        for t in scheduler.timesteps:
            latent_model_input = scheduler.scale_model_input(latents, t)
            noise_pred = pipe.unet(latent_model_input, t, embeddings).sample
            # What notebooks 02 and 07 take for the picture in its mind:
            alpha_bar = scheduler.alphas_cumprod[int(t)]
            rest = latent_model_input - (1 - alpha_bar).sqrt() * noise_pred
            x_0 = rest / alpha_bar.sqrt()
            latents = scheduler.step(noise_pred, t, latents).prev_sample
    torch.testing.assert_close(latents, theirs, atol=1e-4, rtol=1e-4)
    assert (x_0 - latents).square().mean() < 0.5 * latents.square().mean()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_pndm_draws_in_few_steps_too(folder, capsys, steps):
    pipe = load(folder("PNDMScheduler"))
    assert "leaves that out" in capsys.readouterr().out
    pipe("a frog", num_inference_steps=steps, output_type="latent")


def test_fresh_noise_is_found_out_by_trying():
    assert not adds_noise(OURS)
    plain = diffusers.DPMSolverMultistepScheduler.from_config(OURS.config)
    sde = diffusers.DPMSolverMultistepScheduler.from_config(
        OURS.config, algorithm_type="sde-dpmsolver++"
    )
    before = torch.random.get_rng_state()
    assert adds_noise(sde) and not adds_noise(plain)
    assert torch.equal(before, torch.random.get_rng_state())


def test_latents_are_not_clipped_like_pictures():
    euler = diffusers.EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    ddim = to_ddim(euler)
    assert not ddim.config.clip_sample
    torch.testing.assert_close(ddim.alphas_cumprod, OURS.alphas_cumprod)


def test_a_scheduler_of_other_models_is_told_before_anything_is_drawn(folder):
    with pytest.raises(Mistake) as caught:
        load(folder("EDMEulerScheduler"))
    assert caught.value.kind == "wrong kind"
