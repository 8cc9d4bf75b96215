"""Train the pocket model from nothing: ``python -m pocket.train`` (or ``make pocket``).

Four stages; each resumes from its last checkpoint when the command is run again:

1. draw the pictures (``pocket.world``);
2. the VAE, on crops, then encode every picture once;
3. the text encoder, contrastively, against an image encoder on those latents;
4. the U-Net, to predict the noise, the text encoder held still.

The finished folder goes to ``pocket/model``; ``pocket.lean`` then tunes the words that
lean. Runs on CUDA or on the CPU, whichever is there: on a CPU as one process for each
core, which share every batch and average their gradients (on two cores 1.4 times as
fast as one process with two threads). Every step draws its randomness from (seed,
stage, step), so a run that was stopped and resumed sees what an unbroken one would have
seen.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file
from torch import distributed, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import CLIPTokenizer

from helpers.checkpoints import write_checkpoint
from helpers.device import Device
from helpers.processes import join_processes, processes, rank
from helpers.training import Training
from pocket import world
from pocket.architecture import (
    MAX_TOKENS,
    MODEL_DIR,
    Contrast,
    centre_latents,
    ids_of,
    make_scheduler,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
    save_pipeline,
)
from pocket.machine import autocast, find_training_device
from pocket.watch import Watch

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True)
class Recipe:
    """How much of everything. Batches are pictures; steps are optimiser steps.

    ``begin_from`` is the folder of a trained model to go on from, or "" for nothing. A
    stage of 0 steps then keeps what that model has. After ``fresh`` steps of the U-Net,
    new pictures are drawn.
    """

    begin_from: str = ""
    seed: int = 0
    pictures: int = 40_000
    pairs: float = 0.4
    worn: float = 0.4
    vae_steps: int = 2_600
    vae_batch: int = 24
    vae_crop: int = 64
    vae_rate: float = 2e-3
    kl_weight: float = 1e-4
    edge_weight: float = 0.5
    square_weight: float = 4.0
    text_steps: int = 1_200
    text_batch: int = 192
    text_rate: float = 1e-3
    text_alike: int = 8
    unet_steps: int = 3_500
    unet_batch: int = 64
    unet_rate: float = 1e-3
    unet_decay: float = 0.6
    fresh: int = 8_000
    weight_cap: float = 40.0
    prompt_drop: float = 0.1
    ema: float = 0.999


def origin(recipe: Recipe) -> dict[str, Any]:
    """What makes a training another one, whatever its stages' numbers of steps."""
    names = ("begin_from", "seed", "pictures", "pairs", "worn")
    return {name: getattr(recipe, name) for name in names}


def begin(module: nn.Module, recipe: Recipe, part: str) -> nn.Module:
    """Load the weights of ``part`` from ``recipe.begin_from``, if there is one.

    Weights that the folder does not have stay as they were made.
    """
    if recipe.begin_from:
        files = sorted((Path(recipe.begin_from) / part).glob("*.safetensors"))
        weights = load_file(files[0])
        if part == "text_encoder":
            weights = same_words(weights, module, recipe)
        module.load_state_dict(weights, strict=False)
    return module


def table_of(text_encoder: nn.Module) -> tuple[str, nn.Parameter]:
    """The name and the weight of its embeddings, (tokens, width)."""
    table = text_encoder.get_input_embeddings().weight
    (name,) = (n for n, p in text_encoder.named_parameters() if p is table)
    return name, table


def digest_of(module: nn.Module) -> str:
    """Eight letters that are others when any of its weights is."""
    weights = torch.cat([p.detach().flatten().cpu() for p in module.parameters()])
    return sha256(weights.numpy().tobytes()).hexdigest()[:8]


def same_words(
    weights: dict[str, torch.Tensor], module: nn.Module, recipe: Recipe
) -> dict[str, torch.Tensor]:
    """Give each word that both tokenizers know the row it had."""
    before = CLIPTokenizer.from_pretrained(Path(recipe.begin_from) / "tokenizer")
    known, now = before.get_vocab(), make_tokenizer(world.words()).get_vocab()
    name, table = table_of(module)
    rows = table.detach().clone()
    for word in known.keys() & now.keys():
        rows[now[word]] = weights[name][known[word]].float()
    return weights | {name: rows}


class Optimizer:
    """Muon for the weights of layers, AdamW for everything else.

    Muon turns each matrix's step into the nearest orthogonal one, so that directions
    which seldom get a gradient move as fast as the others (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon); a convolution counts as the matrix from
    all it reads to its channels. Embeddings, biases, norms and thin layers are left to
    AdamW. Processes share the matrices, each steps its own and tells the others.

    The module's convolutions have to lie in memory as channels_last.
    """

    def __init__(
        self, module: nn.Module, rate: float, weights: Sequence[nn.Parameter]
    ) -> None:
        layers = [m for m in module.modules() if not isinstance(m, nn.Embedding)]
        self.weights = [
            p
            for layer in layers
            for p in layer.parameters(recurse=False)
            if p.ndim >= 2 and min(len(p), p[0].numel()) >= 32
        ]
        # The longest first, dealt out to the processes in turn.
        self.weights.sort(key=lambda p: -p.numel() * min(len(p), p[0].numel()))
        self.matrices = [nn.Parameter(self._matrix(p.data)) for p in self.weights]
        chosen = set(self.weights)
        self.adam = torch.optim.AdamW(
            [p for p in weights if p not in chosen],
            rate,
            (0.9, 0.99),
            weight_decay=0.01,
            fused=True,
        )
        self.muon = torch.optim.Muon(
            self.matrices[rank() :: processes()],
            rate,
            weight_decay=0.01,
            adjust_lr_fn="match_rms_adamw",
        )

    @staticmethod
    def _matrix(weight: torch.Tensor) -> torch.Tensor:
        """The same numbers as (outputs, inputs), in the order they have in memory."""
        if weight.ndim == 4:
            weight = weight.permute(0, 2, 3, 1)
        return weight.view(len(weight), -1)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [*self.adam.param_groups, *self.muon.param_groups]

    @torch.no_grad()
    def step(self) -> None:
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            gradient = weight.grad
            if weight.ndim == 4:
                gradient = gradient.contiguous(memory_format=torch.channels_last)
            matrix.grad = self._matrix(gradient)
        self.adam.step()
        self.muon.step()
        if processes() > 1:
            for owner in range(processes()):
                theirs = self.matrices[owner :: processes()]
                flat = torch.cat([m.flatten() for m in theirs])
                distributed.broadcast(flat, owner)
                parts = flat.split([m.numel() for m in theirs])
                for matrix, part in zip(theirs, parts, strict=True):
                    matrix.copy_(part.view_as(matrix))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs; all processes have to ask for it together."""
        momenta = [torch.zeros_like(m) for m in self.matrices]
        for matrix, momentum in zip(self.matrices, momenta, strict=True):
            if matrix in self.muon.state:
                momentum.copy_(self.muon.state[matrix]["momentum_buffer"])
            if processes() > 1:
                distributed.all_reduce(momentum)  # everybody else's are zeros
        return {"adam": self.adam.state_dict(), "momenta": momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])
        mine = self.muon.param_groups[0]["params"]
        momenta = state["momenta"][rank() :: processes()]
        for matrix, momentum in zip(mine, momenta, strict=True):
            self.muon.state[matrix]["momentum_buffer"] = momentum.to(matrix)


def run(
    stage: str,
    trained: nn.Module,
    loss_of: Callable[[random.Random, int], torch.Tensor],
    steps: int,
    rate: float,
    recipe: Recipe,
    decay: float = 0.3,
    watch: Callable[[nn.Module, int], None] | None = None,
    muon: bool = True,
) -> nn.Module:
    """Train one stage, going on from its checkpoint; return its moving average.

    Args:
        stage: Name of the checkpoint.
        trained: What is trained, on its device.
        loss_of: Gives the loss of one step from that step's random numbers and its
            number.
        steps: Optimiser steps in all; of 0, what it has stays.
        rate: Highest learning rate; it warms up over 100 steps.
        recipe: For the seed and the moving average.
        decay: Share of the steps over which the rate falls.
        watch: Is shown the moving average, and how many steps are done.
        muon: For the weights of layers, if there are any; else AdamW for everything.

    Returns:
        A copy of ``trained`` with the exponential moving average of its weights.
    """
    if not steps:
        return trained
    trained.to(memory_format=torch.channels_last)
    training = Training(
        dict(trained.named_parameters()),
        CHECKPOINTS / stage,
        steps=steps,
        learning_rate=rate,
        warmup=100,
        decay=decay,
        clip=1.0,
        average=recipe.ema,
        optimizer=partial(Optimizer, trained, rate) if muon else None,
        buffers=dict(trained.named_buffers()),
        **origin(recipe),
    )
    for step, generator in training:
        number = torch.randint(2**62, (), generator=generator).item()
        torch.manual_seed(number)
        training.learn(loss_of(random.Random(number), step))
        if watch and rank() == 0 and Watch.is_due(step + 1):
            watch(training.averaged(trained).eval(), step + 1)
    return training.averaged(trained)


def hash_of(*key: int | str) -> int:
    return random.Random("/".join(map(str, key))).getrandbits(62)


# --- 1: pictures --------------------------------------------------------------------


def _draw(job: tuple[int, int, dict[str, Any]]) -> tuple[np.ndarray, list[world.Spec]]:
    seed, count, choice = job
    return world.pictures(seed, count, **choice)


def draw_pictures(
    recipe: Recipe, subjects: Iterable[str] = world.SUBJECTS
) -> tuple[np.ndarray, list[world.Spec]]:
    """Draw a set of pictures on all cores; kept on disk as one array.

    Args:
        recipe: For its seed, its number of pictures, and how many show two subjects
            or a thing worn.
        subjects: What may be in them.

    Returns:
        uint8 pictures (count, 128, 128, 3), and what each shows.
    """
    CHECKPOINTS.mkdir(exist_ok=True)
    choice = {"subjects": list(subjects), "pairs": recipe.pairs, "worn": recipe.worn}
    numbers = (recipe.seed, recipe.pictures, recipe.pairs, recipe.worn)
    path = CHECKPOINTS / f"pictures-{'-'.join(map(str, numbers))}.npy"
    specs_path = path.with_suffix(".json")
    if not specs_path.exists():
        each = 500
        count = -(-recipe.pictures // each)
        seeds = [hash_of(recipe.seed, "pictures", i) for i in range(count)]
        jobs = [(seed, each, choice) for seed in seeds]
        shape = (len(jobs) * each, world.SIZE, world.SIZE, 3)
        out = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        specs: list[world.Spec] = []
        with multiprocessing.get_context("spawn").Pool() as pool:
            for part, more in tqdm(pool.imap(_draw, jobs), "pictures", len(jobs)):
                out[len(specs) : len(specs) + each] = part
                specs += more
        out.flush()
        specs_path.write_text(json.dumps(as_json(specs)))
    specs = as_specs(json.loads(specs_path.read_text()))
    return np.load(path, mmap_mode="r"), specs


def as_json(specs: list[world.Spec]) -> list[dict[str, Any]]:
    return [vars(spec) for spec in specs]


def as_specs(rows: list[dict[str, Any]]) -> list[world.Spec]:
    return [world.Spec(**{**row, "subjects": tuple(row["subjects"])}) for row in rows]


def to_tensor(pictures: np.ndarray, device: str | torch.device) -> torch.Tensor:
    """uint8 (batch, height, width, 3) to floats -1 to 1, (batch, 3, height, width)."""
    tensor = torch.from_numpy(np.array(pictures)).to(device)
    return tensor.permute(0, 3, 1, 2).float() / 127.5 - 1


# --- 2: VAE -------------------------------------------------------------------------


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]


def train_vae(recipe: Recipe, device: Device, pictures: np.ndarray) -> nn.Module:
    """L1 and squares on pixels, L1 on their differences, and a very light KL term."""
    torch.manual_seed(recipe.seed)
    vae = begin(make_vae(), recipe, "vae")
    vae = vae.to(device.type)
    room = world.SIZE - recipe.vae_crop

    def loss_of(rng: random.Random, step: int) -> torch.Tensor:
        crops = []
        for _ in range(recipe.vae_batch // processes()):
            i, x, y = (
                rng.randrange(len(pictures)),
                rng.randrange(0, room + 1, world.GRID),
                rng.randrange(0, room + 1, world.GRID),
            )
            crops.append(pictures[i, y : y + recipe.vae_crop, x : x + recipe.vae_crop])
        image = to_tensor(np.stack(crops), device.type)
        with autocast(device):
            posterior = vae.encode(image).latent_dist
            decoded = vae.decode(posterior.sample()).sample.float()
        loss = F.l1_loss(decoded, image)
        loss = loss + recipe.square_weight * F.mse_loss(decoded, image)
        for a, b in zip(edges(decoded), edges(image), strict=True):
            loss = loss + recipe.edge_weight * F.l1_loss(a, b)
        return (
            loss + recipe.kl_weight * posterior.kl().mean() / posterior.mean[0].numel()
        )

    return run("vae", vae, loss_of, recipe.vae_steps, recipe.vae_rate, recipe)


@torch.no_grad()
def encode(
    device: Device, vae: nn.Module, pictures: np.ndarray, alone: bool = False
) -> torch.Tensor:
    """Latents (count, 4, 16, 16) of all pictures; processes share the work.

    Args:
        device: Where.
        vae: Encodes.
        pictures: uint8 (count, 128, 128, 3).
        alone: Only this process is asking.
    """
    latents = torch.zeros(len(pictures), 4, 16, 16)
    mine, of = (0, 1) if alone else (rank(), processes())
    starts = range(50 * mine, len(pictures), 50 * of)
    for i in tqdm(starts, "encode", mininterval=5, disable=mine > 0):
        with autocast(device):
            image = to_tensor(pictures[i : i + 50], device.type)
            mean = vae.encode(image).latent_dist.mean
        latents[i : i + 50] = mean.float().cpu()
    if of > 1:
        distributed.all_reduce(latents)  # everybody else's are zeros
    return latents


@torch.no_grad()
def encode_pictures(
    recipe: Recipe, device: Device, vae: nn.Module, pictures: np.ndarray
) -> torch.Tensor:
    """Encode every picture once, centre the VAE's latents, and keep them on disk.

    A VAE that was not trained now has been centred before, and stays as it is.

    Returns:
        Latents of mean 0 and deviation 1 per channel, float16 (count, 4, 16, 16).
    """
    path = CHECKPOINTS / f"latents-{recipe.seed}-{digest_of(vae)}.pt"
    if path.exists():
        state = torch.load(path, weights_only=True)
        vae.load_state_dict(state["vae"])
        return state["latents"]
    latents = encode(device, vae, pictures)
    if recipe.vae_steps:
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        centre_latents(vae, mean.to(device.type), std.to(device.type))
        latents = (latents - mean[:, None, None]) / std[:, None, None]
    latents = latents.half()
    if rank() == 0:
        state = {"vae": vae.state_dict(), "latents": latents}
        torch.save(state, path)
    return latents


# --- 3: text encoder ----------------------------------------------------------------


def train_text(
    recipe: Recipe, device: Device, latents: torch.Tensor, specs: list[world.Spec]
) -> Contrast:
    """CLIP's loss: in a batch, each caption finds its picture and vice versa."""
    torch.manual_seed(recipe.seed)
    tokenizer = make_tokenizer(world.words())
    text_encoder = begin(make_text_encoder(tokenizer), recipe, "text_encoder")
    contrast = Contrast(text_encoder).to(device.type)
    # The same subject on the same background side by side, so that a batch cannot be
    # told apart by these alone, and small things have to be noticed too.
    alike = sorted(
        range(len(specs)), key=lambda i: (specs[i].subjects[0], specs[i].background)
    )

    def loss_of(rng: random.Random, step: int) -> torch.Tensor:
        picks: list[int] = []
        while len(picks) < recipe.text_batch // processes():
            i = rng.randrange(len(alike) - recipe.text_alike + 1)
            picks += alike[i : i + recipe.text_alike]
        captions = [world.caption(specs[i], rng) for i in picks]
        ids = tokenizer(
            captions,
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        ).input_ids
        batch = latents[picks].float()
        batch = batch + 0.1 * torch.randn_like(batch)
        with autocast(device):
            scores = contrast(batch.to(device.type), ids.to(device.type)).float()
        same = torch.arange(len(picks), device=device.type)
        return (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2

    trained = run(
        "text", contrast, loss_of, recipe.text_steps, recipe.text_rate, recipe
    )
    if recipe.text_steps:
        share_rows(trained.text_encoder, tokenizer, world.PLURALS)
        make_heard(trained.text_encoder, tokenizer, world.RARE)
    return trained


@torch.no_grad()
def share_rows(
    text_encoder: nn.Module, tokenizer: CLIPTokenizer, words: dict[str, str]
) -> None:
    """Give words that no caption has the embeddings of others.

    Args:
        text_encoder: Changed in place.
        tokenizer: Knows both words of each pair as one token.
        words: A word that is known, and one that is to mean the same.
    """
    table = text_encoder.get_input_embeddings().weight
    for known, same in words.items():
        (i,), (j,) = tokenizer([known, same], add_special_tokens=False).input_ids
        table[j] = table[i]


def make_heard(
    text_encoder: nn.Module, tokenizer: CLIPTokenizer, word: str, steps: int = 80
) -> None:
    """Give a word that no caption has an embedding that is heard in every caption.

    The embeddings that were never trained are hardly heard: the rest of the caption
    drowns them, and then DreamBooth cannot tell its subject from the kind. This one
    moves the pooled caption as far as it can, and by the same vector everywhere.

    Args:
        text_encoder: Changed in place, in this one row.
        tokenizer: Knows the word as one token.
        word: Put before the subject.
        steps: Of Adam, 32 captions each.
    """
    (token,) = tokenizer(word, add_special_tokens=False).input_ids
    name, weight = table_of(text_encoder)
    table = weight.detach()
    length = table.norm(dim=1).quantile(0.9)  # as long as the embeddings of subjects
    row = nn.Parameter(table[token].clone())
    adam, rng = torch.optim.Adam([row], lr=0.01), random.Random(0)

    def pooled(captions: list[str], weights: dict[str, torch.Tensor]) -> torch.Tensor:
        ids = tokenizer(captions, padding=True, return_tensors="pt").input_ids
        inputs = (ids.to(table.device),)
        return torch.func.functional_call(text_encoder, weights, inputs).pooler_output

    for _ in range(steps):
        specs = [world.sample(rng, pairs=0.0) for _ in range(32)]
        captions = [world.caption(spec, rng, plain=True) for spec in specs]
        said = [
            caption.replace(spec.subjects[0], f"{word} {spec.subjects[0]}", 1)
            for caption, spec in zip(captions, specs, strict=True)
        ]
        heard = table.clone()
        heard[token] = length * F.normalize(row, dim=0)
        with torch.no_grad():
            plain = pooled(captions, {})
        moved = pooled(said, {name: heard}) - plain
        adam.zero_grad()
        (-moved.mean(0).norm()).backward(inputs=[row])
        adam.step()
    with torch.no_grad():
        table[token] = length * F.normalize(row, dim=0)


# --- 4: U-Net -----------------------------------------------------------------------


@torch.no_grad()
def draw_latents(
    recipe: Recipe, device: Device, vae: nn.Module, number: int
) -> tuple[torch.Tensor, list[world.Spec]]:
    """Draw the set of pictures with this number, encode it, and keep only latents."""
    numbers = (recipe.seed, number, recipe.pictures, recipe.pairs, recipe.worn)
    path = CHECKPOINTS / f"set-{'-'.join(map(str, numbers))}.pt"
    if not path.exists():
        some = replace(recipe, seed=hash_of(recipe.seed, "set", number))
        if rank() == 0:
            draw_pictures(some)
        wait_for_all()
        pictures, specs = draw_pictures(some)
        latents = encode(device, vae, pictures).half()
        wait_for_all()
        if rank() == 0:
            for old in CHECKPOINTS.glob("set-*.pt"):
                old.unlink()
            write_checkpoint({"latents": latents, "specs": as_json(specs)}, path)
            for old in CHECKPOINTS.glob(f"pictures-{some.seed}-*"):
                old.unlink()
        wait_for_all()
    state = torch.load(path, weights_only=True)
    return state["latents"], as_specs(state["specs"])


def make_watch(
    device: Device, vae: nn.Module, text_encoder: nn.Module, tokenizer: CLIPTokenizer
) -> Watch:
    """Looks at 512 pictures that training never shows."""
    pictures, specs = world.pictures(8_000, 512, held_out=True)
    rng = random.Random(8_000)
    captions = [world.caption(spec, rng, plain=True) for spec in specs]
    latents = encode(device, vae, pictures, alone=True)
    return Watch(CHECKPOINTS, device, latents, captions, vae, text_encoder, tokenizer)


def loss_of_noise(
    unet: nn.Module, clean: torch.Tensor, text: torch.Tensor, weight_cap: float
) -> torch.Tensor:
    """The error of the predicted noise, weighed by 1 / alpha_bar, capped.

    Without the weight a picture's overall colour, which the noisiest steps decide,
    hardly counts, and follows the seed instead of the prompt. Timesteps are spread
    evenly over each batch, one per stratum.

    Args:
        unet: Predicts.
        clean: Latents (batch, 4, 16, 16), on the U-Net's device.
        text: text_embeddings (batch, tokens, 128).
        weight_cap: The highest weight, before their mean is made 1.
    """
    n = len(clean)
    alpha_bar = make_scheduler().alphas_cumprod.to(clean.device)
    weights = (1 / alpha_bar).clamp(max=weight_cap)
    noise = torch.randn_like(clean)
    t = ((torch.arange(n) + torch.rand(n)) / n * len(alpha_bar)).long()
    t = t.clamp(max=len(alpha_bar) - 1).to(clean.device)
    a = alpha_bar[t][:, None, None, None]
    noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
    noise_pred = unet(noisy, t, text).sample.float()
    each = F.mse_loss(noise_pred, noise, reduction="none").mean((1, 2, 3))
    return (each * weights[t] / weights.mean()).mean()


def train_unet(
    recipe: Recipe, device: Device, vae: nn.Module, text_encoder: nn.Module
) -> nn.Module:
    """Predict the noise.

    Not compiled: with torch 2.13 on a CPU, in bfloat16, the compiled backward pass gave
    no gradient to anything below the last up block, and said nothing.
    """
    torch.manual_seed(recipe.seed)
    tokenizer = make_tokenizer(world.words())
    unet = begin(make_unet(), recipe, "unet")
    unet = unet.to(device.type)
    if device.type == "cpu":  # SDPA's backward pass in bfloat16 is slow on CPUs
        unet.set_attn_processor(AttnProcessor())
    text_encoder = text_encoder.to(device.type).eval().requires_grad_(False)

    drawn: dict[int, tuple[torch.Tensor, list[world.Spec]]] = {}  # one set at a time

    def loss_of(rng: random.Random, step: int) -> torch.Tensor:
        number = step // recipe.fresh
        if number not in drawn:
            drawn.clear()
            drawn[number] = draw_latents(recipe, device, vae, number)
        latents, specs = drawn[number]
        n = recipe.unet_batch // processes()
        picks = [rng.randrange(len(specs)) for _ in range(n)]
        captions = [
            "" if rng.random() < recipe.prompt_drop else world.caption(specs[i], rng)
            for i in picks
        ]
        ids = ids_of(tokenizer, captions).to(device.type)
        clean = latents[picks].float().to(device.type)
        with autocast(device):
            with torch.no_grad():
                text = text_encoder(ids).last_hidden_state
            return loss_of_noise(unet, clean, text, recipe.weight_cap)

    steps, rate = recipe.unet_steps, recipe.unet_rate
    watch = make_watch(device, vae, text_encoder, tokenizer) if rank() == 0 else None
    return run("unet", unet, loss_of, steps, rate, recipe, recipe.unet_decay, watch)


def train(recipe: Recipe) -> None:
    """Run all four stages and write ``pocket/model``."""
    device = find_training_device()
    first = rank() == 0
    if first:
        print(f"Training on {device.type}, matrix products in {device.dtype}.")
        draw_pictures(recipe)
    wait_for_all()
    pictures, specs = draw_pictures(recipe)
    vae = train_vae(recipe, device, pictures)
    latents = encode_pictures(recipe, device, vae, pictures)
    contrast = train_text(recipe, device, latents, specs)
    unet = train_unet(recipe, device, vae, contrast.text_encoder)
    if first:
        tokenizer = make_tokenizer(world.words())
        parts = (m.cpu() for m in (vae, contrast.text_encoder, unet))
        vae, text_encoder, unet = parts
        save_pipeline(MODEL_DIR, vae, text_encoder, tokenizer, unet)
        print(f"Saved to {MODEL_DIR}.")


def wait_for_all() -> None:
    if processes() > 1:
        distributed.barrier()


def on_every_core(module: str, job: Callable[[], object]) -> None:
    """Run ``job`` once on a GPU, or in one process for each core of the CPU, up to 8.

    Args:
        module: The module whose command line is being run, to start it again.
        job: What the processes do together.
    """
    cores = len(psutil.Process().cpu_affinity())  # fewer than there are, in a container
    count = max(n for n in (1, 2, 4, 8) if n <= cores)  # every batch is divided evenly
    if "RANK" in os.environ:  # one of several
        torch.set_num_threads(1)
        join_processes()
        job()
        distributed.destroy_process_group()
    elif torch.cuda.is_available() or count == 1:
        job()
    else:
        launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
        again = ("-m", module, *sys.argv[1:])
        os.execv(sys.executable, [sys.executable, *launch, str(count), *again])


def main() -> None:
    """Read the command line: every number of the recipe is an option."""
    parser = argparse.ArgumentParser(
        description="Train the pocket model; resumes by itself."
    )
    for name, value in vars(Recipe()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help="%(default)s")
    recipe = replace(Recipe(), **vars(parser.parse_args()))
    on_every_core("pocket.train", lambda: train(recipe))


if __name__ == "__main__":
    main()
