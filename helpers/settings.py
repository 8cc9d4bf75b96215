"""What a prompt or a setting cannot do, told before it is tried."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from helpers.errors import Mistake

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedTokenizerBase

CLIP_VOCABULARY = 49_408  # enough pieces to spell any word
# What other programs read as an order, and diffusers as words and punctuation.
ORDERS = {
    r"\([^()]*:\s*\d*\.?\d+\s*\)|\(\(|\[\[|\w\+\+|\w::-?\d": "weights of words",
    r"<(lora|lyco|hypernet):[^>]*>": "LoRAs",
    r"(^|\s)--\w+": "options",
    r"\b(BREAK|AND)\b": "joining words",
}


def check_settings(
    pipe: DiffusionPipeline,
    *,
    width: int | None = None,
    height: int | None = None,
    num_inference_steps: int | None = None,
    strength: float | None = None,
) -> None:
    """Stops settings with which the pipeline cannot draw; None means not given.

    Args:
        pipe: The pipeline that is to draw.
        width: In pixels.
        height: In pixels.
        num_inference_steps: How often the picture is cleaned.
        strength: The share of these steps that image to image runs.

    Raises:
        Mistake: One sentence with a value that works.
    """
    block = pipe.vae_scale_factor
    for name, pixels in {"width": width, "height": height}.items():
        if pixels is None or (pixels > 0 and pixels % block == 0):
            continue
        below = max(int(pixels) // block * block, block)
        raise Mistake(
            "setting",
            f"{name} is {pixels}, but the model draws in blocks of {block} pixels: "
            f"take {below} or {below + block}.",
        )

    most = pipe.scheduler.config.num_train_timesteps
    if num_inference_steps is not None and not 1 <= num_inference_steps <= most:
        raise Mistake(
            "setting",
            f"num_inference_steps is {num_inference_steps}, but noise turns into a "
            f"picture in 1 to {most} steps: take 25.",
        )

    if strength is not None:
        _check_strength(strength, num_inference_steps)


def _check_strength(strength: float, num_inference_steps: int | None) -> None:
    if not 0 < strength <= 1:
        raise Mistake(
            "setting",
            f"strength is {strength}, and it is a share of the steps, above 0 and at "
            "most 1: take 0.6.",
        )
    if num_inference_steps is not None and int(num_inference_steps * strength) < 1:
        enough = math.ceil(1 / strength)
        raise Mistake(
            "setting",
            f"{num_inference_steps} steps at strength {strength} is less than one "
            f"step, so nothing would happen: take {enough} steps, or more strength.",
        )


def check_prompt(pipe: DiffusionPipeline, prompt: str) -> list[str]:
    """Says what the model will not understand; it draws all the same.

    Args:
        pipe: The pipeline that is to draw.
        prompt: What it shall draw.

    Returns:
        One sentence for each thing to know; empty where all is well.
    """
    if not prompt.strip():
        return ["The prompt is empty, so anything may come: name what you want to see."]
    notices = []
    tokenizer = pipe.tokenizer
    prompt = pipe.maybe_convert_prompt(prompt, tokenizer)  # a learned word: its vectors
    tokens = tokenizer(prompt, add_special_tokens=False, verbose=False).tokens()
    room = tokenizer.model_max_length - 2  # 77, less a token for start and end each
    if len(tokens) > room:
        unread = _text(tokenizer, tokens[room:])
        if len(unread) > 60:
            unread = unread[:60] + "..."
        notices.append(
            f"The prompt is {len(tokens)} tokens long and the model reads {room}: "
            f"shorten it, or it misses “{unread}”."
        )
    if orders := [what for sign, what in ORDERS.items() if re.search(sign, prompt)]:
        notices.append(
            f"Other programs have signs for {' and '.join(orders)}; here they are "
            "read as words: leave them out, and say what matters first."
        )
    unknown = _unknown_words(tokenizer, tokens)
    if unknown:
        notices.append(_unknown_notice(tokenizer, unknown))
    return notices


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[str]) -> str:
    text = tokenizer.decode(tokenizer.convert_tokens_to_ids(tokens))
    return text.replace("</w>", " ").strip()  # which some tokenizers leave in


def _unknown_words(tokenizer: PreTrainedTokenizerBase, tokens: list[str]) -> list[str]:
    """Words that a small vocabulary has to spell in pieces, each one once.

    CLIP's own vocabulary spells rare words and knows them all the same; a small
    one has never seen a word that it has to spell.
    """
    if tokenizer.vocab_size >= CLIP_VOCABULARY:
        return []
    added = tokenizer.get_added_vocab()
    words, pieces = [], []
    for token in tokens:
        if token in added:
            continue
        pieces.append(token)
        if token.endswith("</w>"):
            word = _text(tokenizer, pieces)
            if len(pieces) > 1 and word.isalpha() and word not in words:
                words.append(word)
            pieces = []
    return words


def _unknown_notice(tokenizer: PreTrainedTokenizerBase, unknown: list[str]) -> str:
    words = [t for t in tokenizer.get_vocab() if t.endswith("</w>")]
    known = [word[:-4] for word in words if len(word) > 6]
    shown = []
    for word in unknown[:5]:
        near = get_close_matches(word, known, n=1, cutoff=0.8)
        shown.append(f"“{word}”" + (f" (is it “{near[0]}”?)" if near else ""))
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    noun = "this word" if len(unknown) == 1 else "these words"
    return (
        f"The model has never seen {noun} and will guess: {', '.join(shown)}{more}; "
        "say it with others."
    )
