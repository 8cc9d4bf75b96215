"""What the training notebooks share: encoded pictures, and a training that is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from helpers.device import GIB, Device
from helpers.forms import Mistake

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from matplotlib.figure import Figure
    from PIL import Image

SECONDS_BETWEEN_SAVES = 10  # longer where a save takes long


@dataclass(frozen=True)
class Latents:
    """Pictures as the VAE sees them: encoded once, drawn from at every step.

    The VAE answers with a distribution, not a point (arXiv:2112.10752), so each draw
    is a little different, as if the picture were encoded anew.

    Attributes:
        mean: (pictures, channels, height / 8, width / 8), scaled for the U-Net.
        std: The same shape.
        digest: Another one for other pictures.
    """

    mean: torch.Tensor
    std: torch.Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.mean)

    def draw(self, picks: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draws latents, (len(picks), channels, height / 8, width / 8).

        Args:
            picks: Numbers of the pictures.
            generator: On the CPU; decides.
        """
        mean, std = self.mean[picks], self.std[picks]
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        return mean + std * noise


@torch.no_grad()
def encode(
    pipe: StableDiffusionPipeline, images: Sequence[Image.Image], flip: bool = True
) -> Latents:
    """Encodes pictures once, so that training need not do it at every step.

    Args:
        pipe: Its VAE encodes.
        images: RGB, all of one size.
        flip: Take the mirror image of each as well.
    """
    vae = pipe.vae
    pixels = pipe.image_processor.preprocess(list(images)).to(vae.device, vae.dtype)
    if flip:
        pixels = torch.cat([pixels, pixels.flip(-1)])
    each = [vae.encode(one[None]).latent_dist for one in pixels]
    factor = vae.config.scaling_factor
    mean = torch.cat([posterior.mean for posterior in each]).float()
    std = torch.cat([posterior.std for posterior in each]).float()
    digest = sha256(pixels.float().cpu().numpy().tobytes()).hexdigest()[:16]
    return Latents(mean * factor, std * factor, digest)


def save_memory(
    unet: UNet2DConditionModel, latents: Latents, batch_size: int, device: Device
) -> bool:
    """Lets a U-Net compute twice what it has no room to keep, where that is needed.

    For each picture the backward pass needs up to 600 times the U-Net's first map, as
    ``benchmarks.fit`` counts for Stable Diffusion 1.5 with the LoRA of notebook 06.
    Where that does not fit, it is dropped and computed again (arXiv:1604.06174): a
    third more time.

    Args:
        unet: The one that learns, or lets a gradient through.
        latents: What it is going to learn from.
        batch_size: Pictures at once.
        device: With so much memory.

    Returns:
        Whether it does.
    """
    first = unet.config.block_out_channels[0] * latents.mean[0, 0].numel()
    kept = batch_size * 600 * first * unet.dtype.itemsize
    weights = sum(p.numel() * p.element_size() for p in unet.parameters())
    short = kept + weights > 0.8 * device.memory_gb * GIB
    if short:
        print(f"{kept / GIB:.1f} GB to keep is too much for {device}: computes twice.")
        unet.train().enable_gradient_checkpointing()
    else:
        unet.eval().disable_gradient_checkpointing()
    return short


class Training:
    """The steps of a training, kept on disk: interrupted, it goes on where it was.

    Going through it gives the number of each step and that step's own generator, so an
    interrupted training ends where an unbroken one would have ended::

        for step, generator in training:
            loss = ...
            training.learn(loss)

    On a card the loss is scaled up, and the gradients down again, or the small ones
    would be zero in float16 (arXiv:1710.03740).

    Attributes:
        losses: One for each step that is done.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        path: str | Path,
        *,
        steps: int,
        learning_rate: float,
        falling: bool = False,
        weight_decay: float = 0.01,
        seed: int = 0,
        **settings: object,
    ) -> None:
        """Takes up the training that ``path`` holds, or begins one.

        Args:
            parameters: What is trained, by name, in float32.
            path: Of the checkpoint.
            steps: In all; to go on with a finished training, ask for more.
            learning_rate: Of AdamW (arXiv:1711.05101).
            falling: Let the rate fall evenly, to nothing after the last step.
            weight_decay: Of AdamW.
            seed: Of the generators.
            **settings: What else makes this training what it is, as text or numbers. A
                checkpoint with other settings is put aside, not taken up.

        Raises:
            Mistake: ``steps`` or ``learning_rate`` is not above 0.
        """
        if steps < 1 or learning_rate <= 0:
            raise Mistake("A training needs at least 1 step and a rate above 0.")
        self.path, self.steps, self.seed = Path(path), steps, seed
        self.parameters = dict(parameters)
        self.losses: list[float] = []
        self._rate, self._falling = learning_rate, falling
        self._settings = {
            "learning_rate": learning_rate,
            "falling": falling,
            "weight_decay": weight_decay,
            "seed": seed,
            **settings,
        }
        weights = list(self.parameters.values())
        self._optimizer = torch.optim.AdamW(
            weights, learning_rate, weight_decay=weight_decay
        )
        on_card = weights[0].device.type == "cuda"
        self._scaler = torch.amp.GradScaler(weights[0].device.type, enabled=on_card)
        if self.path.exists():
            self._take_up()

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    def __iter__(self) -> Iterator[tuple[int, torch.Generator]]:
        self._due = time.monotonic() + SECONDS_BETWEEN_SAVES
        with tqdm(total=self.steps, initial=min(self.step, self.steps)) as bar:
            while self.step < self.steps:
                step = self.step
                key = self.seed * 1_000_003 + step
                yield step, torch.Generator("cpu").manual_seed(key)
                if self.step == step:
                    raise Mistake("The loop learns nothing: it needs training.learn().")
                bar.update()

    def learn(self, loss: torch.Tensor) -> None:
        """One step of the optimiser down the gradient of a loss.

        Raises:
            Mistake: The loss is not a number any more.
        """
        if not torch.isfinite(loss):
            raise Mistake(
                f"The loss at step {self.step} is {loss.item()}: take a lower learning "
                "rate, and run this cell again."
            )
        if self._falling:
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate * (1 - self.step / self.steps)
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self.losses.append(loss.item())
        if time.monotonic() > self._due or self.step == self.steps:
            start = time.monotonic()
            self._save()
            took = time.monotonic() - start
            self._due = time.monotonic() + SECONDS_BETWEEN_SAVES * max(1, 2 * took)

    def curve(self, over: int = 25) -> Figure:
        """The losses, and their mean over so many steps."""
        from matplotlib import pyplot as plt

        losses = torch.tensor(self.losses)
        figure, axis = plt.subplots(figsize=(7, 3))
        axis.plot(losses, color="lightgrey", label="each step")
        if len(losses) > over:
            mean = losses.unfold(0, over, 1).mean(1)
            steps = range(over - 1, len(losses))
            axis.plot(steps, mean, "k", label=f"mean of {over}")
        axis.set(xlabel="step", ylabel="loss")
        axis.legend()
        plt.close(figure)  # or a notebook shows it twice
        return figure

    def _save(self) -> None:
        state = {
            "settings": self._settings,
            "losses": self.losses,
            "parameters": {name: p.data for name, p in self.parameters.items()},
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.path)  # whole, or not at all

    def _take_up(self) -> None:
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if state["settings"] != self._settings:
            old = self.path.with_suffix(".old")
            os.replace(self.path, old)
            print(f"Other settings than before: begins anew. Kept: {old.name}.")
            return
        for name, parameter in self.parameters.items():
            parameter.data.copy_(state["parameters"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.losses = state["losses"]
        print(f"{self.step} steps are done already: {self.path.name} has them.")
