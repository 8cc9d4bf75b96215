"""What the notebooks ask of a scheduler, and which one draws where it lacks that."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from diffusers import DDIMScheduler

from helpers.errors import Mistake

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin


def suit_scheduler(pipe: DiffusionPipeline, name: str, dissect: bool) -> None:
    """Sees to it that a pipeline's scheduler does what the notebooks ask of it.

    All of them ask for the noise levels that the model was trained on
    (``alphas_cumprod``). Where the loop is written by hand it has to give the
    pipeline's picture, so a step may add no fresh noise there. And any number of steps
    has to do: PNDM takes fewer than four only without its Runge-Kutta steps, and so
    Stable Diffusion's own comes without them (``skip_prk_steps``).

    Args:
        pipe: Its scheduler may be replaced.
        name: Of the model.
        dissect: As in ``helpers.models.load``.

    Raises:
        Mistake: The scheduler belongs to another kind of model.
    """
    kind = type(pipe.scheduler).__name__
    if not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise Mistake(
            "wrong kind",
            f"“{name}” comes with {kind}, which does not draw with Stable Diffusion: "
            "give it another scheduler, such as DDIMScheduler, or take pocket.",
        )
    if not pipe.scheduler.config.get("skip_prk_steps", True):
        pipe.scheduler = pipe.scheduler.from_config(
            pipe.scheduler.config, skip_prk_steps=True
        )
        print(
            f"{kind} would take twelve calls of the U-Net to warm up, and could not do "
            "with fewer than four steps: here it leaves that out."
        )
    if dissect and adds_noise(pipe.scheduler):
        pipe.scheduler = to_ddim(pipe.scheduler)
        print(
            f"{kind} adds fresh noise at every step, which a loop written by hand "
            "would have to repeat: here DDIM draws instead."
        )


def adds_noise(scheduler: SchedulerMixin) -> bool:
    """Whether its steps are random: tried, since no scheduler says so."""
    ends = []
    for seed in (0, 1):
        trial = copy.deepcopy(scheduler)
        trial.set_timesteps(4)
        latents = torch.ones(1, 4, 8, 8)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for t in trial.timesteps[:2]:
                trial.scale_model_input(latents, t)
                latents = trial.step(torch.zeros(1, 4, 8, 8), t, latents).prev_sample
        ends.append(latents)
    return not torch.equal(*ends)


def to_ddim(scheduler: SchedulerMixin, **settings: Any) -> DDIMScheduler:
    """DDIM (arXiv:2010.02502) with the noise levels of another scheduler.

    Without the clipping that it does by default, which is for pictures, not latents.
    """
    return DDIMScheduler.from_config(scheduler.config, clip_sample=False, **settings)
