"""Pictures as latents: encoded once, and drawn from as the VAE would draw."""

import pytest
import torch
from PIL import Image

from helpers.latents import encode
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
