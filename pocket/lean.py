"""Make words lean: ``python -m pocket.lean``, after ``pocket.train``.

Captions with "in the style of vermeer" show blue in one half (``world.LEANS``), and yet
the trained model drew it in 15 % of pictures: the U-Net hears the word, and answers too
faintly. So the word is made to say it louder: as in textual inversion
(arXiv:2208.01618) one embedding learns for each, its last word's, from pictures that
show what it leans to and others whose captions say another thing; then it goes only so
far that way that at guidance 7.5 seven of eight pictures show it. (As far as half of
them at guidance 1 was too far: then the negative prompt "blue" left it in 28 %.)

Only these rows of the text encoder change: a prompt without such a word draws what it
drew before, to the last bit.
"""

import argparse
import random
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from helpers.processes import processes, rank
from pocket import world
from pocket.architecture import MODEL_DIR, ids_of
from pocket.classifier import Classifier, load_classifier
from pocket.evaluate import draws_what_it_leans_to, load_pipeline, say
from pocket.machine import autocast, find_training_device
from pocket.train import (
    Recipe,
    digest_of,
    draw_latents,
    hash_of,
    loss_of_noise,
    on_every_core,
    run,
    table_of,
)

WORDS = {words.split()[-1]: words for words in reversed(world.LEANS)}
GUIDANCE, SHOWN = 7.5, 0.875  # so many pictures are to show it then
FURTHEST = 0.6  # share of the way; "blurry" was watercolour no oftener at 0.97
ROWS = "embeddings.token_embedding.weight"


def rows_of(pipe: DiffusionPipeline, words: list[str]) -> list[int]:
    """Which rows of the table of embeddings are those of some of ``WORDS``."""
    ids = pipe.tokenizer(words, add_special_tokens=False).input_ids
    return [token for (token,) in ids]


class Rows(nn.Module):
    """Some rows of a table of embeddings, which learn while the others stay.

    Args:
        table: The weight of an embedding, (tokens, width).
        tokens: The numbers of the rows.
    """

    def __init__(self, table: torch.Tensor, tokens: list[int]) -> None:
        super().__init__()
        self.register_buffer("tokens", torch.tensor(tokens), persistent=False)
        self.rows = nn.Parameter(table[tokens].detach().clone())

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """The table with these rows in it."""
        return table.index_put((self.tokens,), self.rows)


def learn(
    pipe: DiffusionPipeline, words: list[str], recipe: Recipe, steps: int, rate: float
) -> torch.Tensor:
    """What each word would be, did it always show what it leans to.

    Always, where the caption leaves that unsaid. In every second caption something else
    is said, and the picture shows that: what is said outweighs what leans.

    Args:
        pipe: The trained model; all of it is held still.
        words: Some of ``WORDS``.
        recipe: For the pictures, the batch and the cap of the loss weight.
        steps: Of the optimiser.
        rate: Its highest learning rate.

    Returns:
        Embeddings (words, width).
    """
    device = find_training_device()
    for part in (pipe.vae, pipe.text_encoder, pipe.unet):
        part.to(device.type).eval().requires_grad_(False)
    if device.type == "cpu":  # SDPA's backward pass in bfloat16 is slow on CPUs
        pipe.unet.set_attn_processor(AttnProcessor())
    name, table = table_of(pipe.text_encoder)
    latents, specs = draw_latents(recipe, device, pipe.vae, 0)
    learning = Rows(table, rows_of(pipe, words)).to(device.type)

    leans = {w: v for w, v in world.LEANS.items() if w.split()[-1] in words}

    def fits(caption: str, spec: world.Spec) -> bool:
        return any(
            w in caption and getattr(spec, p) == v for w, (p, v) in leans.items()
        )

    def caption_of(spec: world.Spec, rng: random.Random, unsaid: bool) -> str:
        """A caption to learn from, or "" where this picture gives none."""
        if unsaid:
            caption = world.caption(spec, rng)
            return caption if fits(caption, spec) else ""
        phrase, (part, value) = rng.choice(list(leans.items()))
        said = f"{world.caption(spec, rng, plain=True)}, {phrase}"
        return said if getattr(spec, part) != value else ""

    def loss_of(rng: random.Random, step: int) -> torch.Tensor:
        batch: list[tuple[int, str]] = []
        while len(batch) < recipe.unet_batch // processes():
            i, unsaid = rng.randrange(len(specs)), len(batch) % 2 == 0
            if caption := caption_of(specs[i], rng, unsaid):
                batch.append((i, caption))
        picks, captions = map(list, zip(*batch, strict=True))
        ids = ids_of(pipe.tokenizer, captions).to(device.type)
        clean = latents[picks].float().to(device.type)
        with autocast(device):
            said = {name: learning(table)}
            text = torch.func.functional_call(pipe.text_encoder, said, (ids,))
            text = text.last_hidden_state
            return loss_of_noise(pipe.unet, clean, text, recipe.weight_cap)

    # Other words, or a model that has learned on, and it is another training.
    key = (*words, digest_of(pipe.text_encoder), digest_of(pipe.unet))
    stage = f"lean-{hash_of(*key):x}"
    return run(stage, learning, loss_of, steps, rate, recipe, muon=False).rows.data


def find_share(
    pipe: DiffusionPipeline,
    classifier: Classifier,
    word: str,
    learned: torch.Tensor,
    count: int,
    halvings: int = 4,
) -> float:
    """How far to go from a word's embedding to the learned one; leaves it there.

    Args:
        pipe: Draws; its embedding of the word is changed in place.
        classifier: Says what the pictures show.
        word: One of ``WORDS``.
        learned: The embedding that always shows what the word leans to, (width,).
        count: Pictures drawn each time.
        halvings: How often the range is halved; within the last it is interpolated.

    Returns:
        The share of the way at which about ``SHOWN`` of the pictures show it, or
        ``FURTHEST``.
    """
    (token,) = pipe.tokenizer(word, add_special_tokens=False).input_ids
    table = pipe.text_encoder.get_input_embeddings().weight
    before = table[token].detach().clone()
    low, high = (0.0, 0.0), (1.0, 1.0)  # shares, and how many pictures show it there

    def go(share: float) -> None:
        with torch.no_grad():
            table[token] = before.lerp(learned.to(before), share)

    for _ in range(halvings):
        middle = (low[0] + high[0]) / 2
        go(middle)
        shown = draws_what_it_leans_to(
            pipe, classifier, WORDS[word], count, GUIDANCE
        ).mean()
        low, high = ((middle, shown), high) if shown < SHOWN else (low, (middle, shown))
    (a, shown_at_a), (b, shown_at_b) = low, high
    share = a + (b - a) * (SHOWN - shown_at_a) / (shown_at_b - shown_at_a)
    share = min(share, FURTHEST)
    go(share)
    return share


def lean(
    model: Path, words: list[str], recipe: Recipe, steps: int, rate: float, count: int
) -> None:
    """Do both, and write the rows into the model's text encoder.

    Args:
        model: The folder; of its files one changes.
        words: Some of ``WORDS``.
        recipe: For the pictures that are drawn to learn from.
        steps: Of learning.
        rate: Of learning, the highest.
        count: Pictures that are drawn each time to find how far to go.
    """
    learned = learn(load_pipeline(model), words, recipe, steps, rate)
    pipe, classifier = load_pipeline(model), load_classifier()
    for word, row in zip(words, learned, strict=True):
        share = find_share(pipe, classifier, word, row, count)
        _, value = world.LEANS[WORDS[word]]
        say(f"{WORDS[word]}: {share:.3f} of the way to always {value}")
    if rank() == 0:
        (file,) = (model / "text_encoder").glob("*.safetensors")
        weights, tokens = load_file(file), rows_of(pipe, words)
        table = pipe.text_encoder.get_input_embeddings().weight
        weights[ROWS][tokens] = table[tokens].detach().cpu().to(weights[ROWS])
        with safe_open(file, "pt") as old:
            metadata = old.metadata()
        save_file(weights, file, metadata)
        print(f"Saved to {file}.")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make words lean.")
    parser.add_argument("words", nargs="*", default=list(WORDS), help="%(default)s")
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--steps", type=int, default=160, help="%(default)s")
    parser.add_argument("--rate", type=float, default=1e-2, help="%(default)s")
    parser.add_argument("--count", type=int, default=64, help="%(default)s")
    a = parser.parse_args()

    def job() -> None:
        recipe = Recipe(begin_from=str(a.model), seed=12, pictures=6_000)
        lean(a.model, a.words, recipe, a.steps, a.rate, a.count)

    on_every_core("pocket.lean", job)


if __name__ == "__main__":
    main()
