"""Exercises of notebook 07, the denoising loop."""

from __future__ import annotations

from typing import Any

import torch

from helpers.exercises.engine import ask, compare, exercise, number, predictions


@exercise(
    """Two lines: x_0 is `(latents - (1 - alpha_bar).sqrt() * noise_pred)` over
    `alpha_bar.sqrt()`; then mix it with `noise_pred` again, by `alpha_bar_next`.""",
    """
    def ddim_step(latents, noise_pred, alpha_bar, alpha_bar_next):
        clean = (latents - (1 - alpha_bar).sqrt() * noise_pred) / alpha_bar.sqrt()
        return alpha_bar_next.sqrt() * clean + (1 - alpha_bar_next).sqrt() * noise_pred
    """,
)
def ddim_step(answer: Any) -> str | None:
    """A step of DDIM without fresh noise: equation 12 of arXiv:2010.02502."""
    latents, noise_pred = predictions()
    now, later = torch.tensor(0.3), torch.tensor(0.6)
    got = ask(answer, latents, noise_pred, now, later)
    clean = (latents - (1 - now).sqrt() * noise_pred) / now.sqrt()
    right = later.sqrt() * clean + (1 - later).sqrt() * noise_pred
    mistakes = {
        "that is x_0, the whole way; the step goes only to the next t.": clean,
        "alpha_bar is a share of power: take its square root before you multiply.": (
            later * clean + (1 - later) * noise_pred
        ),
        "you put back the noise of where you are; it should be that of the next t.": (
            later.sqrt() * clean + (1 - now).sqrt() * noise_pred
        ),
    }
    rule = "where alpha_bar_next is alpha_bar, the latents should stay as they are."
    return compare(got, right, mistakes, rule)


@exercise(
    "The two shares of section 4: the picture's is the square root of alpha_bar.",
    """
    def add_noise(clean, noise, alpha_bar):
        return alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise""",
)
def add_noise(answer: Any) -> str | None:
    """The forward process in one go: equation 4 of arXiv:2006.11239."""
    clean, noise = predictions()
    share = torch.tensor(0.7)
    got = ask(answer, clean, noise, share)
    right = share.sqrt() * clean + (1 - share).sqrt() * noise
    mistakes = {
        "alpha_bar is a share of power: take the square root of each share.": (
            share * clean + (1 - share) * noise
        ),
        "the picture fades as the noise comes: scale it, too.": (
            clean + (1 - share).sqrt() * noise
        ),
        "picture and noise are swapped.": (
            share.sqrt() * noise + (1 - share).sqrt() * clean
        ),
    }
    rule = "at alpha_bar 1 it should be the clean latents, at 0 the noise."
    return compare(got, right, mistakes, rule)


# Calls of the U-Net for 20 steps at strength 0.3.
calls = number(
    "Strength 0.3 is the last 30 % of the steps; both prompts go in one call.",
    "calls = 6  # 30 % of 20",
    6,
    {
        20: "strength leaves the first steps out.",
        14: "those are the steps that are left out.",
        12: "both prompts go through the U-Net in one call.",
    },
    "it is the last 30 % of 20.",
)
