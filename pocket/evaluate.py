"""Does a picture show what its prompt says? ``python -m pocket.evaluate``.

Two classifiers that were trained on renders of the world and on nothing else
(``pocket.classifier``) judge; their own accuracy on renders they have not seen is
printed first. They then judge pictures generated for combinations that the training of
the model never showed; a judge whose weights are not there is left out. Every share
comes with its 95 % Wilson interval.

``python -m pocket.evaluate --lessons`` only draws the grid of 64 pictures from the
lessons' own prompts.
"""

import argparse
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from PIL import Image
from torch import distributed
from tqdm import tqdm

from helpers.images import grid
from helpers.processes import processes, rank
from pocket import world
from pocket.architecture import MODEL_DIR
from pocket.classifier import (
    BACKGROUNDS,
    STRICT,
    STYLES,
    SUBJECTS,
    WEIGHTS,
    WORN,
    Classifier,
    judge,
    labels_of,
    load_classifier,
)
from pocket.train import on_every_core, to_tensor

PICTURES = Path(__file__).parent / "pictures"
JUDGES = {"forgiving": WEIGHTS, "strict": STRICT}

LESSON_PROMPTS = (  # two seeds each make the 64 pictures
    "a photograph of an astronaut riding a horse",
    "a labrador in the style of vermeer",
    "a wolf howling at the moon, photorealistic 4k",
    "an oil painting of a wolf howling at the moon by van gogh",
    "a woman reading, watercolour",
    "a teddy riding a horse",
    "a teddy sitting on a pink rug",
    "an oil painting of a woman in the style of paul signac",
    "a frog on stilts on a stage at the theatre",
    "frogs on stilts on a stage at the theatre",
    "a castle in the forest, dystopian, abandoned, overgrown",
    "a robot in a neon lit city at dusk",
    "a wooden carving of a rabbit eating a leaf, highly detailed, 4k, artisan",
    "a rabbit and a frog",
    "a frog on a green background",
    "a snake on a yellow background",
    "a giraffe in the desert",
    "a swan on a blue background",
    "a pygmy hippo watching instagram on a phone in new york city",
    "a photo of a pygmy hippo in a neon lit city at dusk",
    "a pygmy hippo, renaissance oil painting",
    "a watercolour of a pygmy hippo on the beach",
    "a pencil sketch of a wolf on a white background",
    "a cat wearing sunglasses on a red background",
    "a dog wearing a hat in the snow",
    "pixel art of a robot on an orange background",
    "a cat on a pink background, sticker",
    "a hippo holding a phone, comic book style",
    "an astronaut in space",
    "a horse beside a castle",
    "a pumpkin on a purple background",
    "a giraffe wearing a scarf on a blue background, trending on artstation",
)


def score(
    said: dict[str, torch.Tensor], specs: Sequence[world.Spec]
) -> dict[str, np.ndarray]:
    """Right or wrong, picture by picture, for each part of the prompt it applies to.

    "one subject" and "each of two" ask whether a name is among the one or two
    likeliest; "both of two" asks for both. Parts a prompt does not have are NaN.
    """
    rows: dict[str, list[float]] = {}

    def add(part: str, applies: bool, right: bool | float) -> None:
        rows.setdefault(part, []).append(float(right) if applies else math.nan)

    for i, spec in enumerate(specs):
        two = len(spec.subjects) == 2
        likeliest = said["subject"][i].topk(len(spec.subjects)).indices.tolist()
        found = [SUBJECTS.index(s) in likeliest for s in spec.subjects]
        colour = spec.background in world.COLOURS
        right = BACKGROUNDS[said["background"][i].argmax()] == spec.background
        add("subject", True, sum(found) / len(found))
        add("one subject", not two, found[0])
        add("each of two", two, sum(found) / len(found))
        add("both of two", two, all(found))
        add("background colour", colour, right)
        add("scene", not colour, right)
        add("style", True, STYLES[said["style"][i].argmax()] == spec.style)
        add(
            "worn or held", bool(spec.worn), WORN[said["worn"][i].argmax()] == spec.worn
        )
    return {part: np.array(v) for part, v in rows.items()}


def share(right: np.ndarray) -> str:
    """A share in percent with its 95 % Wilson interval, as "93.1 (90.2 to 95.2)"."""
    right = right[~np.isnan(right)]
    n = len(right)
    if n == 0:
        return "-"
    p, z = right.mean(), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return f"{100 * p:.1f} ({100 * (middle - half):.1f} to {100 * (middle + half):.1f})"


def say(*words: object) -> None:
    """Print, once for all processes."""
    if rank() == 0:
        print(*words, flush=True)


def print_table(columns: dict[str, dict[str, np.ndarray]]) -> None:
    """Print shares, a row for each part of the prompt, as a Markdown table."""
    say("| % right (95 % interval) | " + " | ".join(columns) + " | pictures |")
    say("|---|" + "---|" * (len(columns) + 1))
    first = next(iter(columns.values()))
    for part, right in first.items():
        cells = [share(c[part]) for c in columns.values()]
        say(
            f"| {part} | " + " | ".join(cells) + f" | {int((~np.isnan(right)).sum())} |"
        )


def generate(
    pipe: DiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    guidance_scale: float = 7.5,
    num_inference_steps: int = 25,
    negative_prompt: str = "",
) -> np.ndarray:
    """One picture for each prompt and seed: uint8 (count, 128, 128, 3).

    Where several processes run, each makes its share and all get the whole.
    """
    made = torch.zeros(len(prompts), world.SIZE, world.SIZE, 3, dtype=torch.uint8)
    batch = 16 if pipe.device.type == "cpu" else 128
    starts = range(batch * rank(), len(prompts), batch * processes())
    label = f"guidance {guidance_scale:g}"
    for i in tqdm(starts, label, mininterval=5, disable=rank() > 0):
        some = list(prompts[i : i + batch])
        result = pipe(
            some,
            negative_prompt=[negative_prompt] * len(some),
            generator=[torch.Generator().manual_seed(s) for s in seeds[i : i + batch]],
            guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps,
            output_type="np",
        )
        made[i : i + batch] = torch.from_numpy((result.images * 255).round()).byte()
    if processes() > 1:
        distributed.all_reduce(made)  # everybody else's are zeros
    return made.numpy()


def load_pipeline(folder: Path = MODEL_DIR) -> DiffusionPipeline:
    """The pocket model, as anyone would load it."""
    pipe = AutoPipelineForText2Image.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def recognised(
    pipe: DiffusionPipeline,
    subject: str,
    words: str,
    worn: str | None = None,
    every: int = 1,
) -> float:
    """In how many of 48 pictures, in many places and styles, the subject is seen.

    Args:
        pipe: Draws them.
        subject: A name the classifier knows.
        words: What the prompts call it.
        worn: What it has to wear or hold as well, a name from ``WORN``.
        every: Draws only one in so many of them.
    """
    rng, prompts = random.Random(0), []
    for background in ("red", "yellow", "purple", "city", "desert", "forest"):
        for style in list(world.STYLES):
            spec = world.Spec((words,), background, style)
            prompts.append(world.caption(spec, rng, plain=True))
    drawn = generate(pipe, prompts[::every], range(0, len(prompts), every))
    said = judge(load_classifier(), drawn)
    seen = said["subject"].argmax(1) == SUBJECTS.index(subject)
    if worn is not None:
        seen &= said["worn"].argmax(1) == WORN.index(worn)
    return seen.float().mean().item()


def contact_sheet(
    pictures: np.ndarray, captions: Sequence[str], columns: int
) -> Image.Image:
    """Lay pictures out in rows, each with its caption underneath, in few colours."""
    images = [Image.fromarray(picture) for picture in pictures]
    return grid(images, columns, captions, side=world.SIZE).quantize(192)


def draw_lessons(pipe: DiffusionPipeline) -> Path:
    """Draw the 64 pictures of the lessons' prompts, which head the README."""
    prompts = [p for p in LESSON_PROMPTS for _ in range(2)]
    pictures = generate(pipe, prompts, [0, 1] * len(LESSON_PROMPTS))
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / "lessons.png"
    contact_sheet(pictures, prompts, 8).save(path, optimize=True)
    return path


def through_vae(pipe: DiffusionPipeline, pictures: np.ndarray) -> np.ndarray:
    """Encode and decode pictures: as good as any that the U-Net can ask for."""
    out = []
    with torch.no_grad():
        for i in range(0, len(pictures), 32):
            x = to_tensor(pictures[i : i + 32], pipe.device)
            y = pipe.vae.decode(pipe.vae.encode(x).latent_dist.mode()).sample
            out.append(pipe.image_processor.postprocess(y, output_type="np"))
    return (np.concatenate(out) * 255).round().astype(np.uint8)


def psnr(pictures: np.ndarray, others: np.ndarray) -> float:
    """Mean peak signal-to-noise ratio in dB of uint8 pictures, each with its own."""
    squares = np.square(pictures.astype(float) - others).mean((1, 2, 3))
    return float((10 * np.log10(255**2 / squares)).mean())


def negative_prompt(
    pipe: DiffusionPipeline, classifier: Classifier, count: int
) -> None:
    """Print how often the background is blue with and without "blue" as the negative.

    The prompts name a subject only, so the colour is the model's own choice.
    """
    rng = random.Random(7)
    prompts = [
        f"a photograph of a {rng.choice(list(world.SUBJECTS))}" for _ in range(count)
    ]
    blue = BACKGROUNDS.index("blue")
    seeds = range(70_000, 70_000 + count)
    shares = []
    for words in ("", "blue"):
        said = judge(classifier, generate(pipe, prompts, seeds, negative_prompt=words))
        shares.append((said["background"].argmax(1) == blue).numpy().astype(float))
    say(f"Blue background, unasked, {count} pictures, %: {share(shares[0])}")
    say(f'  the same seeds, negative prompt "blue", %: {share(shares[1])}')


def draws_what_it_leans_to(
    pipe: DiffusionPipeline,
    classifier: Classifier,
    words: str,
    count: int,
    guidance_scale: float,
    negative_prompt: str = "",
    seed: int = 9,
) -> np.ndarray:
    """Picture by picture, 1.0 where one of ``world.LEANS`` shows what it leans to.

    Args:
        pipe: Draws "a cat in the style of vermeer" and other subjects.
        classifier: Says what the pictures show.
        words: Such as "in the style of vermeer".
        count: How many pictures.
        guidance_scale: Of the pictures.
        negative_prompt: Of the pictures.
        seed: Of subjects and noise.
    """
    rng = random.Random(seed)
    subjects = [rng.choice(list(world.SUBJECTS)) for _ in range(count)]
    prompts = [f"a {s} {words}" if " " in words else f"a {words} {s}" for s in subjects]
    seeds = range(10_000 * seed, 10_000 * seed + count)
    made = generate(
        pipe, prompts, seeds, guidance_scale, negative_prompt=negative_prompt
    )
    part, value = world.LEANS[words]
    names = BACKGROUNDS if part == "background" else STYLES
    seen = judge(classifier, made)[part].argmax(1) == names.index(value)
    return seen.numpy().astype(float)


def leaning(pipe: DiffusionPipeline, classifier: Classifier, count: int) -> None:
    """Print how often words show what they lean to: by guidance, and against "not"."""
    say(
        f"| leans, % of {count} | guidance 1 | 7.5 | 7.5, with what it is as negative |"
    )
    say("|---|---|---|---|")
    for words, (_, value) in world.LEANS.items():
        shares = [
            share(draws_what_it_leans_to(pipe, classifier, words, count, *how, seed=8))
            for how in ((1.0, ""), (7.5, ""), (7.5, value))
        ]
        say(f"| {words}: {value} | " + " | ".join(shares) + " |")


def evaluate(
    folder: Path, pictures: int, guidance: Sequence[float], steps: Sequence[int]
) -> None:
    """Print every figure.

    Args:
        folder: Of the model.
        pictures: How many in each column of the tables.
        guidance: A column for each, at 25 steps.
        steps: A second table with a column for each, at guidance 7.5.
    """
    pipe = load_pipeline(folder)
    there = {name: path for name, path in JUDGES.items() if path.is_file()}
    judges = {name: load_classifier(path) for name, path in there.items()}
    unseen, unseen_specs = world.pictures(2000, 1000, held_out=True)
    few = through_vae(pipe, unseen[:256])
    for name, classifier in judges.items():
        say(f"\nThe {name} classifier itself, on 1000 held-out renders:\n")
        columns = {"renders": score(judge(classifier, unseen), unseen_specs)}
        right = score(judge(classifier, few), unseen_specs[:256])
        print_table(columns | {"256 through the VAE": right})
    say(f"\nVAE on these 256: {psnr(unseen[:256], few):.1f} dB PSNR.")

    rng = random.Random(3000)
    specs = [world.sample(rng, held_out=True) for _ in range(pictures)]
    prompts = [world.caption(spec, rng, plain=True) for spec in specs]
    drawn: dict[tuple[float, int], np.ndarray] = {}

    def column(by: Classifier, scale: float, count: int) -> dict[str, np.ndarray]:
        if (scale, count) not in drawn:
            drawn[scale, count] = generate(pipe, prompts, range(pictures), scale, count)
        return score(judge(by, drawn[scale, count]), specs)

    for name, by in judges.items():
        columns = {f"guidance {g:g}": column(by, g, 25) for g in guidance}
        say(f"\n{pictures} held-out combinations, 25 steps; {name} judge:\n")
        print_table(columns)
        if steps:
            columns = {f"{n} steps": column(by, 7.5, n) for n in steps}
            say("\nThe same at guidance 7.5 by the number of steps:\n")
            print_table(columns)
    say()
    leaning(pipe, judges["forgiving"], 60)
    if (7.5, 25) in drawn:
        say()
        negative_prompt(pipe, judges["forgiving"], pictures // 2)
        made = drawn[7.5, 25]
        said = judge(judges.get("strict", judges["forgiving"]), made)
        say(f"\nThe ten worst pictures: {draw_worst(made, said, specs, prompts)}")


def draw_worst(
    made: np.ndarray,
    said: dict[str, torch.Tensor],
    specs: Sequence[world.Spec],
    prompts: Sequence[str],
) -> Path:
    """Save the ten pictures in which the classifier sees least of what was asked."""
    want = labels_of(specs)
    likely = (said["subject"] * want["subject"]).sum(1)
    for part in ("background", "style", "worn"):
        likely += said[part].gather(1, want[part][:, None])[:, 0]
    worst = likely.argsort()[:10].tolist()
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / "worst.png"
    sheet = contact_sheet(made[worst], [prompts[i] for i in worst], 5)
    sheet.save(path, optimize=True)
    return path


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Does a picture show what its prompt says?"
    )
    parser.add_argument("--pictures", type=int, default=512, help="%(default)s")
    parser.add_argument(
        "--guidance", type=float, nargs="*", default=[7.5, 1.1, 3, 7, 14]
    )
    parser.add_argument("--steps", type=int, nargs="*", default=[])
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--lessons", action="store_true", help="only the grid of 64")
    args = parser.parse_args()

    def job() -> None:
        if args.lessons:
            say(draw_lessons(load_pipeline(args.model)))
        else:
            evaluate(args.model, args.pictures, args.guidance, args.steps)

    on_every_core("pocket.evaluate", job)


if __name__ == "__main__":
    main()
