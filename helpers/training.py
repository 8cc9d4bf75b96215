"""A training that is kept: stopped, it goes on where it was, to the last bit."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from helpers.checkpoints import going_on, is_kept, read_checkpoint, write_checkpoint
from helpers.device import GB, Device
from helpers.errors import Mistake
from helpers.processes import as_the_first_says, average_gradients, rank

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from matplotlib.figure import Figure

    from helpers.latents import Latents

SECONDS_BETWEEN_SAVES = 10  # longer where a save takes long
MOST_SKIPPED = 20  # steps in a row without a number before it is called hopeless


class Training:
    """The steps of a training, kept on disk: interrupted, it goes on where it was.

    Going through it gives the number of each step and that step's own generator, so an
    interrupted training ends where an unbroken one would have ended::

        for step, generator in training:
            loss = ...
            training.learn(loss)

    Each training has a file of its own, named after all that makes it what it is. Who
    changes a setting begins another one; who changes it back goes on with the first.

    Where several processes were started together (see ``helpers.processes``), each has
    its own generator, all learn from the mean of their gradients, the first one saves.

    Args:
        parameters: What is trained, by name, in float32.
        path: Of the checkpoints; a few letters and ``.pt`` are added to it.
        steps: In all; to go on with a finished training, ask for more.
        learning_rate: The highest.
        warmup: Over so many steps the rate rises from nothing.
        decay: Over this share of the steps, the last ones, it falls to nothing.
        weight_decay: Of AdamW (arXiv:1711.05101).
        clip: The longest that all gradients together may be.
        average: How much of the moving average stays at each step, such as 0.999.
        optimizer: Makes another one than AdamW. It needs ``step``, ``param_groups``,
            ``state_dict`` and ``load_state_dict``.
        buffers: What changes without being trained, and is kept as well.
        precision: In which the network computes. In float16 the loss is scaled up and
            the gradients down again, or small ones would be zero (arXiv:1710.03740).
        seed: Of the generators.
        **settings: What else makes this training what it is: what JSON can hold.

    Attributes:
        path: The checkpoint.
        losses: One for each step that is done; of this process.
        seconds: How long it has learned, all sittings together.
        averages: The moving average of each parameter, by name; empty if there is none.
    """

    def __init__(
        self,
        parameters: Mapping[str, torch.nn.Parameter],
        path: str | Path,
        *,
        steps: int,
        learning_rate: float,
        warmup: int = 0,
        decay: float = 0.0,
        weight_decay: float = 0.01,
        clip: float | None = None,
        average: float = 0.0,
        optimizer: Callable[[Sequence[torch.nn.Parameter]], Any] | None = None,
        buffers: Mapping[str, torch.Tensor] | None = None,
        precision: torch.dtype = torch.float32,
        seed: int = 0,
        **settings: object,
    ) -> None:
        """Takes up the training that was begun with all this, or begins it.

        Raises:
            Mistake: ``steps`` or ``learning_rate`` is not above 0.
        """
        if steps < 1 or learning_rate <= 0:
            raise Mistake(
                "training", "A training needs at least 1 step and a rate above 0."
            )
        self.parameters, self.buffers = dict(parameters), dict(buffers or {})
        self.steps, self.seed, self._told = steps, seed, set[str]()
        self.losses: list[float] = []
        self.seconds = 0.0
        self._rate, self._warmup, self._decay = learning_rate, warmup, decay
        self._clip, self._average, self._skipped = clip, average, 0
        weights = list(self.parameters.values())
        adam = partial(torch.optim.AdamW, weight_decay=weight_decay)
        self._optimizer = (optimizer or adam)(weights)
        self.settings = {
            "rate": [learning_rate, warmup, decay],
            "optimizer": [type(self._optimizer).__name__, weight_decay],
            "others": [clip, average, seed],
            "shapes": {name: list(p.shape) for name, p in self.parameters.items()},
            **settings,
        }
        self.averages = {
            name: p.detach().clone() for name, p in self.parameters.items() if average
        }
        self._scaler = torch.amp.GradScaler(
            weights[0].device.type, enabled=precision == torch.float16
        )
        self._find(Path(path))

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    def __iter__(self) -> Iterator[tuple[int, torch.Generator]]:
        self._tick = self._saved = time.monotonic()
        self._pause = float(SECONDS_BETWEEN_SAVES)
        done = min(self.step, self.steps)
        with tqdm(
            total=self.steps, initial=done, mininterval=0.5, disable=rank() > 0
        ) as bar:
            while self.step < self.steps:
                step = self.step
                key = self.seed * 1_000_003 + step + 10**12 * rank()
                yield step, torch.Generator("cpu").manual_seed(key)
                if self._skipped:
                    continue  # once more: its gradients were no numbers
                if self.step == step:
                    raise Mistake(
                        "training",
                        "The loop learns nothing: it needs training.learn().",
                    )
                bar.update()
                if self.step % 25 == 0:
                    mean = sum(self.losses[-25:]) / len(self.losses[-25:])
                    bar.set_postfix(loss=f"{mean:.4f}", refresh=False)

    def learn(self, loss: torch.Tensor) -> None:
        """One step of the optimiser down the gradient of a loss.

        Raises:
            Mistake: The loss, or what follows from it, is not a number any more.
        """
        if not torch.isfinite(loss):
            raise Mistake(
                "not a number",
                f"The loss at step {self.step} is {loss.item()}: take a lower learning "
                "rate, and run this cell again.",
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * self._share_of_rate()
        for parameter in self.parameters.values():
            parameter.grad = None
        self._scaler.scale(loss).backward()
        average_gradients(self.parameters.values())
        if self._clip:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._clip)
        before = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() < before:
            return self._skip()
        self._skipped = 0
        keep = min(self._average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, average in self.averages.items():
                average.lerp_(self.parameters[name], 1 - keep)
        self.losses.append(loss.item())
        now = time.monotonic()
        self.seconds += now - self._tick
        self._tick = now
        due = now - self._saved > self._pause
        if self.step == self.steps or as_the_first_says(due):
            self._save()
            self._saved = time.monotonic()
            self._pause = SECONDS_BETWEEN_SAVES * max(1, 5 * (self._saved - now))

    def averaged(self, network: torch.nn.Module) -> torch.nn.Module:
        """A copy of the network that was trained, with the moving averages in it."""
        copied = copy.deepcopy(network).requires_grad_(False).eval()
        for name, parameter in copied.named_parameters():
            parameter.copy_(self.averages.get(name, parameter))
        return copied

    def going_on(self) -> AbstractContextManager[None]:
        """Inside, what the disk refuses is said, once, and stops no training."""
        return going_on(self._told)

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

    def _find(self, stem: Path) -> None:
        """Takes up the file that has these settings, or says that there are others."""
        said = json.dumps(self.settings, sort_keys=True).encode()
        self.path = stem.with_name(f"{stem.name}-{sha256(said).hexdigest()[:8]}.pt")
        if is_kept(self.path):
            self._take_up()
        elif [*stem.parent.glob(f"{stem.name}-????????.pt")] and rank() == 0:
            print("Other settings than before: begins anew, and keeps what those gave.")

    def _share_of_rate(self) -> float:
        share = min(1.0, (self.step + 1) / self._warmup) if self._warmup else 1.0
        if self._decay:
            share = min(share, (self.steps - self.step) / (self._decay * self.steps))
        return share

    def _skip(self) -> None:
        """The scale was too large for float16, so no step was taken."""
        self._skipped += 1
        if self._skipped > MOST_SKIPPED:
            raise Mistake(
                "not a number",
                f"The gradients at step {self.step} are no numbers, however they are "
                "scaled: take a lower learning rate, and run this cell again.",
            )

    def _save(self) -> None:
        optimizer = self._optimizer.state_dict()  # which processes may put together
        if rank() > 0:
            return
        kept = ("settings", "losses", "seconds", "averages", "buffers")
        state = {name: getattr(self, name) for name in kept} | {
            "parameters": {name: p.data for name, p in self.parameters.items()},
            "optimizer": optimizer,
            "scaler": self._scaler.state_dict(),
        }
        with self.going_on():
            write_checkpoint(state, self.path)

    def _take_up(self) -> None:
        try:
            self._apply(read_checkpoint(self.path))
        except (Mistake, ValueError, KeyError, TypeError, AttributeError):
            aside = self.path.with_suffix(".damaged")
            os.replace(self.path, aside)
            print(f"{self.path.name} is damaged: begins anew, keeps it as {aside.name}")
            return
        if rank() == 0:
            print(f"{self.step} steps are done already: {self.path.name} has them.")

    def _apply(self, state: dict[str, Any]) -> None:
        """Takes over what a checkpoint holds; all of it, or nothing."""
        pairs = [
            (tensor, state[kind][name])
            for kind in ("parameters", "averages", "buffers")
            for name, tensor in getattr(self, kind).items()
        ]
        if any(tensor.shape != value.shape for tensor, value in pairs):
            raise ValueError("tensors of other shapes")
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        with torch.no_grad():
            for tensor, value in pairs:
                tensor.copy_(value)
        self.losses, self.seconds = state["losses"], state["seconds"]


def save_memory(
    unet: UNet2DConditionModel, latents: Latents, batch_size: int, device: Device
) -> bool:
    """Lets a U-Net compute twice what it has no room to keep, where that is needed.

    For each picture the backward pass needs up to 600 times the U-Net's first map, as
    ``benchmarks.memory`` counts for Stable Diffusion 1.5 with the LoRA of notebook 06.
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
    short = kept + weights > 0.8 * device.memory_gb * GB
    if short:
        print(f"{kept / GB:.1f} GB to keep is too much for {device}: computes twice.")
        unet.train().enable_gradient_checkpointing()
    else:
        unet.eval().disable_gradient_checkpointing()
    return short
