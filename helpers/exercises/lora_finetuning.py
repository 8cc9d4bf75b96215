"""Exercises of notebook 12, LoRA."""

from __future__ import annotations

from typing import Any

import torch

from helpers.exercises.engine import ask, compare, exercise, plain

KEYS = {  # of a LoRA's file, in the library's form: the same in the kohya form
    "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
        ".lora_down.weight"
    ),
    "unet.up_blocks.1.resnets.0.conv2.lora_B.weight": (
        "lora_unet_up_blocks_1_resnets_0_conv2.lora_up.weight"
    ),
    "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.lora_B.weight": (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj"
        ".lora_up.weight"
    ),
}


@exercise(
    """What is added to `W` is `B @ A`, as large as `W`, times `alpha` over the rank,
    and that is the number of rows of `A`: `len(A)`.""",
    """
    def fused(W, A, B, alpha):
        return W + alpha / len(A) * B @ A""",
)
def fused(answer: Any) -> str | None:
    """One matrix for a matrix and the LoRA beside it."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(6, 5, generator=generator)
    A = torch.randn(2, 5, generator=generator)
    B = torch.randn(6, 2, generator=generator)
    added, alpha = B @ A, 7.0
    mistakes = {
        "`alpha` counts over the rank, the number of rows of `A`.": W + alpha * added,
        "where is `alpha`, over the rank?": W + added,
        "`alpha` is left out: only the rank divides.": W + added / 2,
        "the rank over `alpha`: it is the other way round.": W + 2 / alpha * added,
        "that is what is added; `W` stays.": alpha / 2 * added,
        "the rank is the short side of `A`, its rows: 2 here and not 5.": (
            W + alpha / 5 * added
        ),
        "the rank is the short side of `B`, its columns: 2 here and not 6.": (
            W + alpha / 6 * added
        ),
        "a LoRA is added, not taken away.": W - alpha / 2 * added,
    }
    rule = "it should be a matrix as large as `W`, and `W` itself where `B` is zero."
    return compare(ask(answer, W, A, B, alpha), W + alpha / 2 * added, mistakes, rule)


@exercise(
    """`A` reads all that the layer reads, `inputs` channels in a window of `kernel` by
    `kernel`, for each of `rank` rows. `B` has `rank` columns, and looks at one pixel
    only: `outputs * rank`.""",
    """
    def learned(inputs, outputs, kernel, rank):
        return rank * inputs * kernel**2 + outputs * rank""",
)
def learned(answer: Any) -> str | None:
    """The numbers that LoRA learns for a convolution; a plain matrix has kernel 1."""
    for inputs, outputs, kernel, rank in ((96, 64, 1, 4), (64, 176, 3, 8)):
        got = plain(ask(answer, inputs, outputs, kernel, rank))
        square, both = kernel**2, inputs + outputs
        right = rank * inputs * square + outputs * rank
        reasons = {
            None: "it returns nothing; is there a `return`?",
            inputs * outputs * square: "that is the matrix itself, which stands still.",
            rank * inputs * square: "that is `A` alone: add `B`.",
            outputs * rank: "that is `B` alone: add `A`.",
            rank
            * both: "that is right for a matrix; a convolution's `A` sees a window "
            "of `kernel` by `kernel`.",
            rank * both * square: "only `A` sees the window: `B` is 1 by 1.",
            rank
            * (inputs * kernel + outputs): "the window has `kernel` pixels on each "
            "*side*.",
            rank * (inputs + outputs * square): "it is `A` that sees the window.",
        }
        reasons[right] = None  # whatever else comes to the same number
        otherwise = f"for {inputs} inputs, {outputs} outputs, kernel {kernel} and rank "
        otherwise += f"{rank} it should be {right:,}, and yours says {got}."
        if problem := reasons.get(got, otherwise):
            return problem
    return None


@exercise(
    """First both endings: `lora_A` is `lora_down`, `lora_B` is `lora_up`. Then part the
    key before them, `key.partition(".lora")`: left of it every dot becomes an
    underscore, and `lora_` comes before everything.""",
    """
    def kohya(key):
        key = key.replace("lora_A", "lora_down").replace("lora_B", "lora_up")
        place, dot, rest = key.partition(".lora")
        return "lora_" + place.replace(".", "_") + dot + rest""",
)
def kohya(answer: Any) -> str | None:
    """The name that other programs give to a LoRA's matrix."""
    for key, right in KEYS.items():
        got = answer(key)
        if got == right:
            continue
        if got is None:
            return "it returns nothing; is there a `return`?"
        if got == key:
            return "strings do not change: `replace` returns another one."
        return _why(str(got), right)
    return None


def _why(got: str, right: str) -> str:
    """What is wrong with a key."""
    swapped = right.replace("lora_down", "~").replace("lora_up", "lora_down")
    swapped = swapped.replace("~", "lora_up")
    underscores = right.replace(".", "_")
    if got == swapped:
        return "swapped: `A` goes down to the rank, `B` up again."
    if "lora_A" in got or "lora_B" in got:
        return "`lora_A` is called `lora_down` there, and `lora_B` `lora_up`."
    if got == right.removeprefix("lora_"):
        return "it should begin with `lora_unet_`."
    if got == underscores:
        return "too many underscores: the dots around `lora_down` and `lora_up` stay."
    if "." in got.removesuffix(".weight").replace(".lora_", ""):
        return "each dot of the layer's place becomes an underscore."
    return f"it should be {right}, and yours says {got}."
