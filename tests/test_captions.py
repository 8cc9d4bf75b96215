"""Captions: the noise is fair to all of them, and what made a picture fits it best."""

import random

import pytest
import torch

from helpers.captions import errors, rank, write
from pocket import world

SNOW = "a watercolour of a fox in the snow"


@pytest.fixture(scope="module")
def picture():
    return world.render(world.Spec(("fox",), "snow", "watercolour"), random.Random(0))


def test_every_caption_gets_the_same_noise(pipe, picture):
    """Also in another batch; so two of a kind are as far off, to within rounding."""
    captions = [SNOW, "a frog", SNOW]
    off = errors(pipe, picture, captions, (300, 900), batch_size=2)
    assert off.shape == (2, 3)
    torch.testing.assert_close(off[:, 0], off[:, 2], rtol=1e-4, atol=0)
    assert (off[:, 0] < off[:, 1]).all()


def test_an_error_is_the_u_nets(pipe, picture):
    """By hand, as notebook 11 has it."""
    with torch.no_grad():
        pixels = pipe.image_processor.preprocess(picture)
        latents = pipe.vae.encode(pixels).latent_dist.mean
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
        t = torch.tensor([400])
        noisy = pipe.scheduler.add_noise(latents, noise, t)
        said = pipe.encode_prompt(SNOW, "cpu", 1, False)[0]
        by_hand = (pipe.unet(noisy, t, said).sample - noise).square().mean()
    (off,) = errors(pipe, picture, [SNOW], (400,), seed=5)
    assert off.item() == pytest.approx(by_hand.item(), rel=1e-4)


def test_the_seed_decides(pipe, picture):
    one, two, other = (errors(pipe, picture, [SNOW], seed=s) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_ranks_by_looks_that_count_alike(pipe, picture):
    """The first three are the right way round, and shares are about 1."""
    captions = ["a house in the desert", "a fox in the desert", SNOW]
    order = rank(pipe, picture, captions)
    assert [caption for caption, _ in order] == captions[::-1]
    assert sum(share for _, share in order) / 3 == pytest.approx(1)


def test_writes_the_caption_part_by_part(pipe, picture):
    subjects, places = ["a frog", "a fox"], ["in the city", "in the snow", "in space"]
    styles = ["a photograph of", "a watercolour of"]
    order = write(pipe, picture, subjects, places, styles)
    assert order[0][0] == SNOW
    assert len(order) == len({caption for caption, _ in order}) == 2 * 2 * 2
