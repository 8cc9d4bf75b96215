"""What notebooks 05, 06 and 16 claim, judged over many pictures.

The judge was trained on renders of the pocket model's world and on nothing else; see
pocket/README.md for how often it is right.
"""

from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
)

from pocket.evaluate import load_pipeline, recognised


def a_new_word_means_what_its_pictures_show(out: Path) -> None:
    """Notebook 05: `<tiny>` wears his hat where he was never shown, others do not."""
    pipe = load_pipeline()
    assert recognised(pipe, "teddy", "teddy", worn="hat") < 0.1, "the word it began as"
    pipe.load_textual_inversion(str(out / "05_tiny.safetensors"))
    assert recognised(pipe, "teddy", "<tiny>", worn="hat") >= 0.7


def dreambooth_learns_the_one_and_keeps_the_kind(out: Path) -> None:
    """Notebook 06: `sks castle` becomes a moai, and `castle` stays a castle."""
    pipe = load_pipeline()
    assert recognised(pipe, "moai", "sks castle") < 0.1
    castles = recognised(pipe, "castle", "castle")
    saved = out / "06_moai"
    pipe.unet.load_lora_adapter(saved, prefix="unet", use_safetensors=True)
    assert recognised(pipe, "moai", "sks castle") >= 0.85
    assert recognised(pipe, "castle", "castle") >= castles - 0.05


def samplers_keep_their_order_and_dice_do_not_settle(out: Path) -> None:
    """Notebook 16: in four seeds, with the library's own schedulers."""
    pipe = load_pipeline()
    config = pipe.scheduler.config

    def ends(kind: type, steps: int, guidance_scale: float, **settings) -> torch.Tensor:
        pipe.scheduler = kind.from_config(
            config, timestep_spacing="trailing", **settings
        )
        return pipe(
            ["a photograph of a fox"] * 4,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in range(4)],
            output_type="latent",
        ).images

    def apart(one: torch.Tensor, other: torch.Tensor) -> float:
        return (one - other).square().mean((1, 2, 3)).sqrt().mean().item()

    karras = {"use_karras_sigmas": True}
    truth = ends(DPMSolverMultistepScheduler, 100, 1, **karras)
    error = {
        (kind, steps): apart(ends(kind, steps, 1, **karras), truth)
        for kind in (EulerDiscreteScheduler, DPMSolverMultistepScheduler)
        for steps in (16, 32)
    }
    euler, dpm = EulerDiscreteScheduler, DPMSolverMultistepScheduler
    assert error[dpm, 16] < 0.6 * error[euler, 16]
    assert error[dpm, 32] < 0.4 * error[dpm, 16]  # second order: a quarter
    assert 0.3 < error[euler, 32] / error[euler, 16] < 0.7  # first order: a half
    settled, thrown = (
        apart(*(ends(kind, steps, 4, clip_sample=False) for steps in (25, 50)))
        for kind in (DDIMScheduler, DDPMScheduler)
    )
    assert settled < 0.3 * thrown


CLAIMS = {  # by notebook; each takes the folder with what it made
    "05_textual_inversion": a_new_word_means_what_its_pictures_show,
    "06_dreambooth": dreambooth_learns_the_one_and_keeps_the_kind,
    "16_schedules_and_samplers": samplers_keep_their_order_and_dice_do_not_settle,
}
