"""Looks at a U-Net while it learns: the same pictures, noise and prompts each time."""

import json
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import nn
from transformers import CLIPTokenizer

from helpers.device import Device
from pocket import world
from pocket.architecture import ids_of, make_scheduler
from pocket.machine import autocast

LOSSES, DRAWN = 800, 1_600  # steps between losses, and between sheets of drawings
EDGES = (0, 100, 250, 500, 750)  # losses are told apart by the timestep
SIDE, SHEET = 8, 24  # of a sheet: pictures in a row, pictures


class Watch:
    """Losses on held-out pictures and drawings of held-out prompts, while it learns.

    Losses by timestep go to ``watch.jsonl``, sheets of drawings to ``film/``.

    Args:
        folder: Of the checkpoints.
        device: Where.
        latents: (pictures, 4, 16, 16), of pictures that training never shows.
        captions: One for each.
        vae, text_encoder, tokenizer: Draw, with the U-Net that is being looked at.
    """

    def __init__(
        self,
        folder: Path,
        device: Device,
        latents: torch.Tensor,
        captions: list[str],
        vae: nn.Module,
        text_encoder: nn.Module,
        tokenizer: CLIPTokenizer,
    ) -> None:
        self.folder, self.device, self.latents = folder, device, latents
        self.captions = captions
        self.parts = {
            "vae": vae,
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "scheduler": make_scheduler(),
        }
        count = len(latents)
        self.noise = torch.randn(
            latents.shape, generator=torch.Generator().manual_seed(8_000)
        )
        self.t = ((torch.arange(count) * 387) % count * 1000 / count).long()

    @staticmethod
    def is_due(step: int) -> bool:
        """Whether there is anything to look at after so many steps."""
        return step % LOSSES == 0 or step % DRAWN == 0

    def __call__(self, unet: nn.Module, step: int) -> None:
        """Looks, where it is time to."""
        if step % LOSSES == 0:
            row = {"step": step, "time": time.time(), **self.losses(unet)}
            with (self.folder / "watch.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if step % DRAWN == 0:
            film = self.folder / "film"
            film.mkdir(exist_ok=True)
            self.sheet(unet).save(film / f"{step:06d}.png")

    @torch.no_grad()
    def losses(self, unet: nn.Module) -> dict[str, float]:
        """The mean squared error in each range of timesteps, by where it begins."""
        rows: dict[int, list[float]] = {edge: [] for edge in EDGES}
        alpha_bar = self.parts["scheduler"].alphas_cumprod
        for i in range(0, len(self.latents), 64):
            some, where = slice(i, i + 64), self.device.type
            t, noise = self.t[some], self.noise[some]
            a = alpha_bar[t][:, None, None, None]
            noisy = a.sqrt() * self.latents[some] + (1 - a).sqrt() * noise
            ids = ids_of(self.parts["tokenizer"], self.captions[some])
            with autocast(self.device):
                text = self.parts["text_encoder"](ids.to(where)).last_hidden_state
                noise_pred = unet(noisy.to(where), t.to(where), text).sample
            each = (noise_pred.float().cpu() - noise).square().mean((1, 2, 3))
            for at, loss in zip(t.tolist(), each.tolist(), strict=True):
                rows[max(edge for edge in EDGES if edge <= at)].append(loss)
        return {str(edge): sum(row) / len(row) for edge, row in rows.items() if row}

    def sheet(self, unet: nn.Module) -> Image.Image:
        """The first captions drawn, each with its number as the seed."""
        pipe = StableDiffusionPipeline(
            **self.parts,
            unet=unet,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.set_progress_bar_config(disable=True)
        with autocast(self.device):
            made = pipe(
                self.captions[:SHEET],
                guidance_scale=5.0,
                num_inference_steps=25,
                generator=[torch.Generator().manual_seed(i) for i in range(SHEET)],
            ).images
        sheet = Image.new("RGB", (SIDE * world.SIZE, SHEET // SIDE * world.SIZE))
        for i, picture in enumerate(made):
            sheet.paste(picture, (i % SIDE * world.SIZE, i // SIDE * world.SIZE))
        return sheet
