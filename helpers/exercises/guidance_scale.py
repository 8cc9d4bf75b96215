"""Exercises of notebook 02, the guidance scale."""

from __future__ import annotations

from typing import Any

from helpers.exercises.engine import ask, compare, exercise, number, predictions


@exercise(
    "Start at the prediction without the prompt and walk towards the one with it.",
    """
    def guide(noise_pred_uncond, noise_pred_text, guidance_scale):
        difference = noise_pred_text - noise_pred_uncond
        return noise_pred_uncond + guidance_scale * difference""",
)
def guide(answer: Any) -> str | None:
    """Classifier-free guidance (arXiv:2207.12598) from its two predictions."""
    uncond, text = predictions()
    got = ask(answer, uncond, text, 7.5)
    right = uncond + 7.5 * (text - uncond)
    mistakes = {
        "that starts at the prediction with the prompt: at 1 it should end there.": (
            text + 7.5 * (text - uncond)
        ),
        "that walks away from the prompt: swap the two in the difference.": (
            uncond + 7.5 * (uncond - text)
        ),
        "that is the difference alone: where does it start?": 7.5 * (text - uncond),
    }
    rule = "at guidance 0 it should give the first prediction, at 1 the second."
    at_1 = "right at 7.5, and at 1 it should be the prediction with the prompt."
    return compare(got, right, mistakes, rule) or compare(
        ask(answer, uncond, text, 1), text, {}, at_1
    )


# Latents the U-Net sees in a 25-step picture with guidance, under PNDM.
looks = number(
    """How often is the U-Net called for 25 steps (notebook 01, section 4), and how many
    latents does it see each time when guidance is on?""",
    "looks = 26 * 2  # PNDM calls it once more than asked, with two latents",
    52,
    {
        25: "that is the steps; guidance looks twice at each of its calls.",
        26: "guidance is on, so it looks twice at each of its calls.",
        50: "so close: PNDM takes its second step twice.",
    },
    "count the calls, then the latents in each.",
)


@exercise(
    """`noise_pred.std(dim=(1, 2, 3), keepdim=True)` is the size of a prediction. Bring
    the guided one to the size of `noise_pred_text`, then mix both with `rescale`.""",
    """
    def tame(noise_pred, noise_pred_text, rescale):
        axes = (1, 2, 3)
        std_text = noise_pred_text.std(dim=axes, keepdim=True)
        std_pred = noise_pred.std(dim=axes, keepdim=True)
        calm = noise_pred * (std_text / std_pred)
        return rescale * calm + (1 - rescale) * noise_pred""",
)
def tame(answer: Any) -> str | None:
    """Guidance rescale: section 3.4 of arXiv:2305.08891, its equations 14 to 16."""
    uncond, text = predictions()
    guided = uncond + 7.5 * (text - uncond)
    axes = (1, 2, 3)
    calm = guided * text.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    got = ask(answer, guided, text, 0.7)
    right = 0.7 * calm + 0.3 * guided
    whole = guided * text.std() / guided.std()
    mistakes = {
        "you mixed the wrong way round: rescale 0 should change nothing.": (
            0.3 * calm + 0.7 * guided
        ),
        "that is all of it; mix with the guided one, by `rescale`.": calm,
        "one size for the whole batch; each picture has its own.": (
            0.7 * whole + 0.3 * guided
        ),
    }
    rule = "with rescale 1, each picture's std should be that of `noise_pred_text`."
    at_0 = "right at 0.7, and with rescale 0 nothing should change."
    return compare(got, right, mistakes, rule) or compare(
        ask(answer, guided, text, 0), guided, {}, at_0
    )
