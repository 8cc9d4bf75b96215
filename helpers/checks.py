"""Exercises that check themselves: ``check``, ``hint``, ``solution``.

A check says correct, not yet (and why), not tried, or cannot tell. It prints and never
raises, so that "run all" goes on past an exercise that nobody has done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from helpers.images import read_settings


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    Attributes:
        why_not: Takes the learner's answer; says in a sentence what is wrong with it,
            or nothing where it is right.
        hint_text: What to think of.
        solution_text: Code that passes.
    """

    why_not: Callable[[Any], str | None]
    hint_text: str
    solution_text: str

    def check(self, answer: Any) -> None:
        """Prints what is to be said about an answer; None is one not given yet."""
        if answer is None:
            print("Not tried yet. Stuck? Ask for .hint(), and then for .solution().")
            return
        try:
            problem = self.why_not(answer)
        except Exception as error:  # noqa: BLE001 - an answer may be anything
            print(f"Cannot tell: {type(error).__name__}: {error}")
            return
        print(f"Not yet: {problem}" if problem else "Correct.")

    def hint(self) -> None:
        """Prints the hint."""
        print(self.hint_text)

    def solution(self) -> None:
        """Prints the solution."""
        print(self.solution_text)


def exercise(hint: str, solution: str) -> Callable[[Callable], Exercise]:
    """Makes an exercise of the function that says what is wrong with an answer."""
    return lambda why_not: Exercise(why_not, cleandoc(hint), cleandoc(solution))


# 01 pipeline basics


@exercise(
    """`draw` hands `width` and `height` on to the pipeline. Both come in blocks of 8,
    and `model.size` is a good height.""",
    """size = {"width": 2 * model.size, "height": model.size}
    wide = draw("a hippo on the beach", seed=1, **suits, **size)""",
)
def wide(answer: Any) -> str | None:
    """A picture twice as wide as high."""
    if not isinstance(answer, Image.Image):
        return f"`wide` is a {type(answer).__name__}, and draw(...) gives a picture."
    if answer.width != 2 * answer.height:
        return f"it is {answer.width} wide and {answer.height} high."
    return None


@exercise(
    "One spot for 8 by 8 pixels, four numbers for each spot.",
    "numbers = 4 * (512 // 8) * (768 // 8)  # 24,576",
)
def numbers(answer: Any) -> str | None:
    """How many numbers the latent of a picture 768 wide and 512 high has."""
    right = 4 * (512 // 8) * (768 // 8)
    reasons = {
        768 * 512 * 3: "those are the pixels, and the U-Net works on the latent.",
        right // 4: "those are the spots, and each of them holds four numbers.",
        4 * 64 * 64: "that is a square of 512, and this picture is wider.",
    }
    if answer != right:
        return reasons.get(answer, "section 4 has the shape of a latent.")
    return None


@exercise(
    "`save(image, path, **settings)`: give it the same settings as `draw`.",
    """mine = {"prompt": "a wizard in the snow", "seed": 7, **suits}
    save(draw(**mine), OUT / "mine.png", model=model.name, **mine)
    saved = OUT / "mine.png\"""",
)
def saved(answer: Any) -> str | None:
    """A file from which its picture can be made again."""
    if not Path(answer).is_file():
        return f"there is no file {Path(answer).name}."
    try:
        known = read_settings(answer)
    except ValueError as error:
        return str(error)
    needed = ("prompt", "seed", "num_inference_steps", "guidance_scale")
    lacking = [name for name in needed if name not in known]
    if lacking:
        return f"the file lacks {' and '.join(lacking)}."
    if Path(answer).name == "first_picture.png":
        return "that one is mine; save one of yours."
    return None


# 02 guidance scale


def _predictions() -> tuple[torch.Tensor, torch.Tensor]:
    """Two made-up noise predictions, (2, 4, 16, 16) each."""
    both = torch.randn(2, 2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    return both[0], both[1]


def _problem(
    got: torch.Tensor | None,
    right: torch.Tensor,
    mistakes: dict[str, torch.Tensor],
    rule: str,
) -> str | None:
    """What is wrong with a tensor: the mistake that gives this one, or the rule."""
    if got is None:
        return "it returns nothing; is there a `return`?"
    if torch.allclose(got, right, atol=1e-4):
        return None
    for reason, wrong in mistakes.items():
        if got.shape == wrong.shape and torch.allclose(got, wrong, atol=1e-5):
            return reason
    return rule


@exercise(
    "Start at the prediction without the prompt and walk towards the one with it.",
    """
    def guide(noise_pred_uncond, noise_pred_text, guidance_scale):
        difference = noise_pred_text - noise_pred_uncond
        return noise_pred_uncond + guidance_scale * difference""",
)
def guide(answer: Any) -> str | None:
    """Classifier-free guidance (arXiv:2207.12598) from its two predictions."""
    uncond, text = _predictions()
    got = answer(uncond, text, 7.5)
    right = uncond + 7.5 * (text - uncond)
    mistakes = {
        "that starts at the prediction with the prompt: at 1 it should end there.": (
            text + 7.5 * (text - uncond)
        ),
        "that walks away from the prompt: swap the two in the difference.": (
            uncond + 7.5 * (uncond - text)
        ),
        "that is the difference alone: where does it start?": 7.5 * (text - uncond),
    }
    rule = "at guidance 0 it should give the first prediction, at 1 the second."
    problem = _problem(got, right, mistakes, rule)
    if problem is None and not torch.allclose(answer(uncond, text, 1), text, atol=1e-4):
        return "right at 7.5, and at 1 it should be the prediction with the prompt."
    return problem


@exercise(
    """How often is the U-Net called for 25 steps (notebook 01, section 4), and how many
    latents does it see each time when guidance is on?""",
    "looks = 26 * 2  # PNDM calls it once more than asked, with two latents",
)
def looks(answer: Any) -> str | None:
    """Latents the U-Net sees in a 25-step picture with guidance, under PNDM."""
    reasons = {
        25: "that is the steps; guidance looks twice at each of its calls.",
        26: "guidance is on, so it looks twice at each of its calls.",
        50: "so close: PNDM takes its second step twice.",
    }
    if answer != 52:
        return reasons.get(answer, "count the calls, then the latents in each.")
    return None


@exercise(
    """`noise_pred.std(dim=(1, 2, 3), keepdim=True)` is the size of a prediction. Bring
    the guided one to the size of `noise_pred_text`, then mix both with `rescale`.""",
    """
    def tame(noise_pred, noise_pred_text, rescale):
        axes = (1, 2, 3)
        std_text = noise_pred_text.std(dim=axes, keepdim=True)
        std_pred = noise_pred.std(dim=axes, keepdim=True)
        calm = noise_pred * (std_text / std_pred)
        return rescale * calm + (1 - rescale) * noise_pred""",
)
def tame(answer: Any) -> str | None:
    """Guidance rescale: section 3.4 of arXiv:2305.08891, its equations 14 to 16."""
    uncond, text = _predictions()
    guided = uncond + 7.5 * (text - uncond)
    axes = (1, 2, 3)
    calm = guided * text.std(axes, keepdim=True) / guided.std(axes, keepdim=True)
    got = answer(guided, text, 0.7)
    right = 0.7 * calm + 0.3 * guided
    whole = guided * text.std() / guided.std()
    mistakes = {
        "you mixed the wrong way round: rescale 0 should change nothing.": (
            0.3 * calm + 0.7 * guided
        ),
        "that is all of it; mix with the guided one, by `rescale`.": calm,
        "one size for the whole batch; each picture has its own.": (
            0.7 * whole + 0.3 * guided
        ),
    }
    rule = "with rescale 1, each picture's std should be that of `noise_pred_text`."
    problem = _problem(got, right, mistakes, rule)
    if problem is None and not torch.allclose(
        answer(guided, text, 0), guided, atol=1e-4
    ):
        return "right at 0.7, and with rescale 0 nothing should change."
    return problem


# 03 negative prompts


@exercise(
    """The spread of one seed is `np.std(changes, ddof=1)`; the mean of n seeds spreads
    less, by the square root of n.""",
    """
    def surprise(changes):
        changes = np.asarray(changes)
        error = changes.std(ddof=1) / np.sqrt(len(changes))
        return changes.mean() / error""",
)
def surprise(answer: Any) -> str | None:
    """A mean change over seeds, counted in its own standard errors."""
    changes = -np.array([1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 4.0, 5.0, 3.0])
    spread, n = changes.std(ddof=1), len(changes)
    got, right = float(answer(changes)), changes.mean() / (spread / np.sqrt(n))
    if np.isclose(got, [right, changes.mean() / changes.std() * 3]).any():
        return None
    mistakes = {
        "that is the mean; divide it by how uncertain it is.": changes.mean(),
        "a change may go down as well: keep its sign.": -right,
        "that compares with the spread of one seed; the mean of n is surer.": (
            changes.mean() / spread
        ),
        "divide by the standard error, not by its square.": (
            changes.mean() / (spread / n)
        ),
    }
    for reason, wrong in mistakes.items():
        if np.isclose(got, wrong):
            return reason
    return f"for {changes.tolist()} it should be {right:.2f}, and it is {got:.2f}."


@exercise(
    """Two differences, both measured from the empty prompt: walk towards one, and away
    from the other.""",
    """
    def steer(uncond, text, negative, guidance_scale, negative_scale):
        towards = guidance_scale * (text - uncond)
        away = negative_scale * (negative - uncond)
        return uncond + towards - away""",
)
def steer(answer: Any) -> str | None:
    """Guidance towards one prompt and away from another, each with its own scale."""
    uncond, text = _predictions()
    negative = text.flip(0)
    got = answer(uncond, text, negative, 7.5, 3.0)
    towards, away = 7.5 * (text - uncond), 3.0 * (negative - uncond)
    right = uncond + towards - away
    mistakes = {
        "that walks towards both: the second difference has to be subtracted.": (
            uncond + towards + away
        ),
        "each difference has to start at the prediction without a prompt.": (
            uncond + towards - 3.0 * negative
        ),
        "that is the way only: where does it start?": towards - away,
        "measure the second difference from the empty prompt, too.": (
            uncond + towards + 3.0 * (text - negative)
        ),
    }
    rule = "with negative_scale 0 it should be plain guidance, with 3 three steps away."
    problem = _problem(got, right, mistakes, rule)
    if problem is None and not torch.allclose(
        answer(uncond, text, negative, 1, 0), text, atol=1e-4
    ):
        return "right here, and at scales 1 and 0 it should be the prompt's own."
    return problem


@exercise(
    """Draw it twice with the same seed at guidance_scale=1, once with a negative
    prompt, and count: (np.asarray(a) != np.asarray(b)).sum()""",
    "changed = 0  # guidance is off at 1, so there is no second look to replace",
)
def changed(answer: Any) -> str | None:
    """How many values a negative prompt changes at guidance 1."""
    if answer != 0:
        return "at guidance 1 the pipeline looks once; draw both and compare."
    return None


# 04 image to image


@exercise(
    "The loop runs the last `strength` of the steps: rounded down, and at most all.",
    """
    def steps_run(num_inference_steps, strength):
        return min(int(num_inference_steps * strength), num_inference_steps)""",
)
def steps_run(answer: Any) -> str | None:
    """How many steps image to image runs."""
    right = {(50, 0.8): 40, (25, 0.3): 7, (30, 1.0): 30, (25, 0.02): 0}
    got = {key: answer(*key) for key in right}
    if got == right:
        return None
    if got[50, 0.8] == 10:
        return "those are the steps that are left out."
    if got[25, 0.3] == 8 or got[25, 0.02] == 1:
        return "7.5 steps are 7: the part of a step at the end is dropped."
    key = next(key for key in right if got[key] != right[key])
    return f"{key[0]} steps at strength {key[1]} run {right[key]}, not {got[key]}."


@exercise(
    "Which share of 40 is 10?",
    "gentle = 0.25  # 10 of 40",
)
def gentle(answer: Any) -> str | None:
    """A strength at which exactly 10 of 40 steps run."""
    if answer == 10:
        return "that is the number of steps; strength is a share of 40."
    if answer == 0.75:
        return "that leaves 10 out and runs 30."
    if int(40 * answer) != 10:
        return f"that runs {int(40 * answer)} of 40."
    return None


@exercise(
    """`np.diff(frames, axis=0)` is the change from each frame to the next. First turn
    pictures into numbers that can be negative: `np.asarray(frame).astype(int)`.""",
    """
    def flicker(frames):
        frames = np.stack([np.asarray(frame).astype(int) for frame in frames])
        return np.abs(np.diff(frames, axis=0)).mean()""",
)
def flicker(answer: Any) -> str | None:
    """The mean absolute change of a value from one frame to the next."""
    stripes = np.zeros((3, 8, 8, 3), np.uint8)  # one that moves and changes its light
    for i, light in enumerate((100, 200, 50)):
        stripes[i, :, 2 * i] = light
    got = float(answer([Image.fromarray(stripe) for stripe in stripes]))
    change = np.diff(stripes.astype(int), axis=0)
    right = np.abs(change).mean()
    mistakes = {
        "down cancels up: take the size of each change, with np.abs.": change.mean(),
        "small numbers without a sign wrap around: .astype(int) first.": (
            np.abs(np.diff(stripes, axis=0)).mean()
        ),
        "compare value by value; a mean brightness hides what moves.": (
            np.abs(np.diff(stripes.mean((1, 2, 3)))).mean()
        ),
        "that is the sum over the frames; take the mean.": 2 * right,
    }
    if np.isclose(got, right):
        return None
    for reason, wrong in mistakes.items():
        if np.isclose(got, wrong):
            return reason
    return f"for three frames with a stripe it is {right:g}, and yours says {got:g}."


# 05 textual inversion


@exercise(
    """Compare directions, not lengths: `F.normalize(x, dim=-1)` makes every row 1 long;
    then one product of a matrix and a vector gives all similarities.""",
    """
    def nearest(row, table):
        similarity = F.normalize(table, dim=-1) @ F.normalize(row, dim=-1)
        return similarity.argmax().item()""",
)
def nearest(answer: Any) -> str | None:
    """The number of the row in a table that points most nearly the same way."""
    table = torch.tensor([[9.0, 9, 0], [0, 5, 0.5], [0.3, 0.7, 0], [-2, -2, 0]])
    row = torch.tensor([0.1, 0.9, 0.1])
    got = answer(row, table)
    reasons = {
        0: "that row is only the longest; compare directions.",
        2: "that row is the nearest point; compare directions, whatever the length.",
        3: "that row is the least alike.",
        None: "it returns nothing; is there a `return`?",
    }
    if got != 1:
        return reasons.get(got, f"it gives {got}, and the table has rows 0 to 3.")
    return None


@exercise(
    "How wide is a row, and how many bytes does a float32 take?",
    "word_bytes = 768 * 4  # 3,072",
)
def word_bytes(answer: Any) -> str | None:
    """Bytes of one word of Stable Diffusion 1.5."""
    reasons = {
        768: "those are the numbers; each of them takes four bytes.",
        77 * 768 * 4: "that is a whole prompt of 77 tokens; a word is one row.",
        768 * 2: "float16 has two bytes; these are float32.",
    }
    if answer != 768 * 4:
        return reasons.get(answer, "a row of the table has 768 numbers of four bytes.")
    return None


@exercise(
    "Start at `a` and go a share of the way to `b`.",
    """
    def between(a, b, share):
        return a + share * (b - a)""",
)
def between(answer: Any) -> str | None:
    """A row between two rows."""
    a, b = _predictions()
    mistakes = {
        "the other way round: at share 0 it should be the first.": b + 0.3 * (a - b),
        "that goes past: a sum of both is as long as the two together.": a + 0.3 * b,
    }
    rule = "at share 0 it should be `a`, at 1 `b`, and halfway their mean."
    return _problem(answer(a, b, 0.3), a + 0.3 * (b - a), mistakes, rule)


# 06 dreambooth


@exercise(
    """`noise_pred.chunk(2)` gives the subject's half and the kind's. Each has a mean
    squared error of its own.""",
    """
    def two_losses(noise_pred, noise, prior_weight):
        subject_pred, kind_pred = noise_pred.chunk(2)
        subject_noise, kind_noise = noise.chunk(2)
        kind_loss = F.mse_loss(kind_pred, kind_noise)
        return F.mse_loss(subject_pred, subject_noise) + prior_weight * kind_loss""",
)
def two_losses(answer: Any) -> str | None:
    """DreamBooth's loss for a batch whose second half shows the kind."""
    noise_pred, noise = (torch.cat([x, 2 * x]) for x in _predictions())
    first, second = (noise_pred - noise).square().chunk(2)
    first, second = first.mean(), second.mean()
    mistakes = {
        "that is the error of the whole batch: weigh its halves.": (first + second) / 2,
        "the weight belongs to the second half, the kind.": 0.3 * first + second,
        "the weight belongs to the second half alone.": 0.3 * (first + second),
        "that is the subject alone: where is the kind?": first,
    }
    rule = "the subject's mean squared error, and `prior_weight` times the kind's."
    return _problem(
        answer(noise_pred, noise, 0.3), first + 0.3 * second, mistakes, rule
    )


@exercise(
    "`A` is 4 rows of 320, `B` is 320 rows of 4.",
    "thin = 2 * 4 * 320  # 2,560, and the matrix itself has 102,400",
)
def thin(answer: Any) -> str | None:
    """Numbers that LoRA of rank 4 learns for a matrix of 320 by 320."""
    reasons = {
        320 * 320: "that is the matrix itself, which stands still.",
        4 * 320: "that is one of the two thin matrices.",
        4 * 4: "`A` and `B` are long and thin: 4 by 320, and 320 by 4.",
    }
    if answer != 2 * 4 * 320:
        return reasons.get(answer, "count the numbers of `A`, then those of `B`.")
    return None


@exercise(
    "W x + scale B (A x) is one matrix times x: which?",
    """
    def merge(W, A, B, scale):
        return W + scale * B @ A""",
)
def merge(answer: Any) -> str | None:
    """The one matrix that does what a matrix and its LoRA do together."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(6, 6, generator=generator)
    A = torch.randn(2, 6, generator=generator)
    B = torch.randn(6, 2, generator=generator)
    mistakes = {
        "where is the scale?": W + B @ A,
        "that is what is added; `W` stays.": 0.5 * B @ A,
        "transposed: first `A` is applied, then `B`.": W + 0.5 * (B @ A).T,
    }
    rule = "it should be a matrix of the shape of `W`, which is `W` at scale 0."
    return _problem(answer(W, A, B, 0.5), W + 0.5 * B @ A, mistakes, rule)


# 07 manual denoising loop


@exercise(
    """Two lines: x_0 is `(latents - (1 - alpha_bar).sqrt() * noise_pred)` over
    `alpha_bar.sqrt()`; then mix it with `noise_pred` again, by `alpha_bar_next`.""",
    """
    def ddim_step(latents, noise_pred, alpha_bar, alpha_bar_next):
        clean = (latents - (1 - alpha_bar).sqrt() * noise_pred) / alpha_bar.sqrt()
        return alpha_bar_next.sqrt() * clean + (1 - alpha_bar_next).sqrt() * noise_pred
    """,
)
def ddim_step(answer: Any) -> str | None:
    """A step of DDIM without fresh noise: equation 12 of arXiv:2010.02502."""
    latents, noise_pred = _predictions()
    now, later = torch.tensor(0.3), torch.tensor(0.6)
    got = answer(latents, noise_pred, now, later)
    clean = (latents - (1 - now).sqrt() * noise_pred) / now.sqrt()
    right = later.sqrt() * clean + (1 - later).sqrt() * noise_pred
    mistakes = {
        "that is x_0, the whole way; the step goes only to the next t.": clean,
        "alpha_bar is a share of power: take its square root before you multiply.": (
            later * clean + (1 - later) * noise_pred
        ),
        "you put back the noise of where you are; it should be that of the next t.": (
            later.sqrt() * clean + (1 - now).sqrt() * noise_pred
        ),
    }
    rule = "where alpha_bar_next is alpha_bar, the latents should stay as they are."
    return _problem(got, right, mistakes, rule)


@exercise(
    "The two shares of section 4: the picture's is the square root of alpha_bar.",
    """
    def add_noise(clean, noise, alpha_bar):
        return alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise""",
)
def add_noise(answer: Any) -> str | None:
    """The forward process in one go: equation 4 of arXiv:2006.11239."""
    clean, noise = _predictions()
    share = torch.tensor(0.7)
    got = answer(clean, noise, share)
    right = share.sqrt() * clean + (1 - share).sqrt() * noise
    mistakes = {
        "alpha_bar is a share of power: take the square root of each share.": (
            share * clean + (1 - share) * noise
        ),
        "the picture fades as the noise comes: scale it, too.": (
            clean + (1 - share).sqrt() * noise
        ),
        "picture and noise are swapped.": (
            share.sqrt() * noise + (1 - share).sqrt() * clean
        ),
    }
    rule = "at alpha_bar 1 it should be the clean latents, at 0 the noise."
    return _problem(got, right, mistakes, rule)


@exercise(
    "Strength 0.3 is the last 30 % of the steps; both prompts go in one call.",
    "calls = 6  # 30 % of 20",
)
def calls(answer: Any) -> str | None:
    """Calls of the U-Net for 20 steps at strength 0.3."""
    reasons = {
        20: "strength leaves the first steps out.",
        14: "those are the steps that are left out.",
        12: "both prompts go through the U-Net in one call.",
    }
    if answer != 6:
        return reasons.get(answer, "it is the last 30 % of 20.")
    return None
