"""Does a picture show what its prompt says? ``python -m pocket.evaluate``.

A classifier is trained on fresh renders of the world and on nothing else; its own
accuracy on renders it has not seen is printed first. It then judges pictures generated
for combinations that the training of the model never showed. Every share comes with its
95 % Wilson interval.

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
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from pocket import world
from pocket.architecture import MODEL_DIR
from pocket.train import Machine, Recipe, draw_pictures, find_machine, run, to_tensor

PICTURES = Path(__file__).parent / "pictures"
SUBJECTS = list(world.SUBJECTS)
BACKGROUNDS = [*world.COLOURS, *world.SCENES]
STYLES = list(world.STYLES)
WORN = ["", *world.WORN]

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


class Classifier(nn.Module):
    """Names what a picture shows: subjects, background, style, thing worn.

    Input is (batch, 3, 128, 128) in [-1, 1], looked at in 64 x 64. Subjects and things
    worn are scored at each of 8 x 8 places, and the places are pooled softly, so that
    two subjects are found as well as one.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        plan = ((3, 24, 1), (24, 48, 2), (48, 48, 1), (48, 96, 2), (96, 96, 1))
        plan += ((96, 192, 2), (192, 192, 1))
        for a, b, stride in plan:
            layers += [nn.Conv2d(a, b, 3, stride, 1), nn.BatchNorm2d(b), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.subject = nn.Conv2d(192, len(SUBJECTS), 1)
        self.worn = nn.Conv2d(192, len(WORN), 1)
        self.background = nn.Linear(384, len(BACKGROUNDS))
        self.style = nn.Linear(384, len(STYLES))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(F.avg_pool2d(x, 2))  # (batch, 192, 8, 8)
        whole = torch.cat((features.mean((2, 3)), features.amax((2, 3))), 1)
        return {
            "subject": self.subject(features).logsumexp((2, 3)),
            "background": self.background(whole),
            "style": self.style(whole),
            "worn": self.worn(features).logsumexp((2, 3)),
        }


def labels_of(specs: Sequence[world.Spec]) -> dict[str, torch.Tensor]:
    """What the classifier should say: class numbers, and 0/1 for each subject."""
    subjects = torch.zeros(len(specs), len(SUBJECTS))
    for row, spec in enumerate(specs):
        for name in spec.subjects:
            subjects[row, SUBJECTS.index(name)] = 1
    return {
        "subject": subjects,
        "background": torch.tensor([BACKGROUNDS.index(s.background) for s in specs]),
        "style": torch.tensor([STYLES.index(s.style) for s in specs]),
        "worn": torch.tensor([WORN.index(s.worn) for s in specs]),
    }


def train_classifier(machine: Machine, steps: int = 5_000) -> Classifier:
    """Train on renders of its own seed and on the training set's; resumes.

    Styles that take the colour away come more often: shape alone is harder to learn.
    """
    recipe = Recipe(seed=1000, pictures=30_000)
    drawn = [draw_pictures(r) for r in (recipe, Recipe())]
    images = [picture for pictures, _ in drawn for picture in pictures]
    specs = [spec for _, more in drawn for spec in more]
    labels = labels_of(specs)
    labels["subject"] /= labels["subject"].sum(1, keepdim=True)  # 1, or a half each
    rare = [3.0 if s.style in ("pencil sketch", "wood carving") else 1.0 for s in specs]
    torch.manual_seed(recipe.seed)
    classifier = Classifier().to(machine.device, memory_format=torch.channels_last)

    def loss_of(rng: random.Random) -> torch.Tensor:
        picks = rng.choices(range(len(specs)), rare, k=64)
        x = to_tensor(np.stack([images[i] for i in picks]), machine)
        if rng.random() < 0.5:
            soft = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            x = torch.lerp(x, soft, rng.random())
        classifier.train()
        with machine.autocast():
            said = classifier(x)
        want = {k: v[picks].to(x.device) for k, v in labels.items()}
        return sum(F.cross_entropy(said[k].float(), want[k]) for k in want)

    run("classifier", classifier, loss_of, steps, 3e-3, recipe, decay=0.5)
    return classifier.eval()


@torch.no_grad()
def judge(classifier: Classifier, pictures: np.ndarray) -> dict[str, torch.Tensor]:
    """Log probabilities by part of the prompt, for uint8 (count, 128, 128, 3)."""
    device = next(classifier.parameters()).device
    machine = Machine(device, torch.float32)
    said: dict[str, list[torch.Tensor]] = {}
    for i in range(0, len(pictures), 64):
        out = classifier(to_tensor(pictures[i : i + 64], machine))
        for part, logits in out.items():
            said.setdefault(part, []).append(F.log_softmax(logits, -1).cpu())
    return {part: torch.cat(logs) for part, logs in said.items()}


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


def print_table(columns: dict[str, dict[str, np.ndarray]]) -> None:
    """Print shares, a row for each part of the prompt, as a Markdown table."""
    print("| % right (95 % interval) | " + " | ".join(columns) + " | pictures |")
    print("|---|" + "---|" * (len(columns) + 1))
    first = next(iter(columns.values()))
    for part, right in first.items():
        cells = [share(c[part]) for c in columns.values()]
        print(
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
    """One picture for each prompt and seed: uint8 (count, 128, 128, 3)."""
    out = []
    batch = 16 if pipe.device.type == "cpu" else 128
    for i in tqdm(
        range(0, len(prompts), batch), f"guidance {guidance_scale}", mininterval=5
    ):
        some = list(prompts[i : i + batch])
        result = pipe(
            some,
            negative_prompt=[negative_prompt] * len(some),
            generator=[torch.Generator().manual_seed(s) for s in seeds[i : i + batch]],
            guidance_scale=guidance_scale,
            num_inference_steps=num_inference_steps,
            output_type="np",
        )
        out.append((result.images * 255).round().astype(np.uint8))
    return np.concatenate(out)


def load_pipeline(folder: Path = MODEL_DIR) -> DiffusionPipeline:
    """The pocket model, as anyone would load it."""
    pipe = AutoPipelineForText2Image.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to("cuda" if torch.cuda.is_available() else "cpu")


def contact_sheet(
    pictures: np.ndarray, captions: Sequence[str], columns: int
) -> Image.Image:
    """Lay pictures out in rows, each with its caption underneath, wrapped."""
    cell, text = world.SIZE + 8, 40
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell, rows * (cell + text)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x, y = i % columns * cell + 4, i // columns * (cell + text) + 4
        sheet.paste(Image.fromarray(picture), (x, y))
        lines, line = [], ""
        for word in caption.split():
            if draw.textlength(f"{line} {word}".strip()) > world.SIZE:
                lines, line = [*lines, line], word
            else:
                line = f"{line} {word}".strip()
        draw.multiline_text(
            (x, y + world.SIZE + 2), "\n".join([*lines, line][:4]), "black"
        )
    return sheet


def draw_lessons(pipe: DiffusionPipeline) -> Path:
    """Draw the 64 pictures of the lessons' prompts, which head the README."""
    prompts = [p for p in LESSON_PROMPTS for _ in range(2)]
    pictures = generate(pipe, prompts, [0, 1] * len(LESSON_PROMPTS))
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / "lessons.png"
    contact_sheet(pictures, prompts, 8).quantize(192).save(path, optimize=True)
    return path


def vae_psnr(pipe: DiffusionPipeline, pictures: np.ndarray) -> float:
    """Mean PSNR in dB of pictures encoded and decoded again, on a scale of 0 to 255."""
    machine = Machine(pipe.device, torch.float32)
    values = []
    with torch.no_grad():
        for i in range(0, len(pictures), 32):
            x = to_tensor(pictures[i : i + 32], machine)
            y = pipe.vae.decode(pipe.vae.encode(x).latent_dist.mode()).sample.clamp(
                -1, 1
            )
            mse = ((x - y) / 2).square().mean((1, 2, 3))
            values += (-10 * mse.log10()).tolist()
    return float(np.mean(values))


def negative_prompt(
    pipe: DiffusionPipeline, classifier: Classifier, count: int
) -> None:
    """Print how often the background is blue with and without "blue" as the negative.

    The prompts name a subject only, so the colour is the model's own choice.
    """
    rng = random.Random(7)
    prompts = [f"a photograph of a {rng.choice(SUBJECTS)}" for _ in range(count)]
    blue = BACKGROUNDS.index("blue")
    seeds = range(70_000, 70_000 + count)
    shares = []
    for words in ("", "blue"):
        said = judge(classifier, generate(pipe, prompts, seeds, negative_prompt=words))
        shares.append((said["background"].argmax(1) == blue).numpy().astype(float))
    print(f"Blue background, unasked, {count} pictures, %: {share(shares[0])}")
    print(f'  the same seeds, negative prompt "blue", %: {share(shares[1])}')


def main() -> None:
    """Read the command line and print everything."""
    parser = argparse.ArgumentParser(
        description="Does a picture show what its prompt says?"
    )
    parser.add_argument(
        "--pictures", type=int, default=512, help="per column of the table"
    )
    parser.add_argument(
        "--guidance", type=float, nargs="*", default=[7.5, 1.1, 3, 7, 14]
    )
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--lessons", action="store_true", help="only the grid of 64")
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    if args.lessons:
        print(draw_lessons(pipe))
        return
    classifier = train_classifier(find_machine())
    unseen, unseen_specs = world.pictures(2000, 1000, held_out=True)
    print("The classifier itself, on 1000 renders of held-out combinations:")
    print_table({"renders": score(judge(classifier, unseen), unseen_specs)})
    print(f"\nVAE on the same renders: {vae_psnr(pipe, unseen[:256]):.1f} dB PSNR.")

    rng = random.Random(3000)
    specs = [world.sample(rng, held_out=True) for _ in range(args.pictures)]
    prompts = [world.caption(spec, rng, plain=True) for spec in specs]
    seeds = range(args.pictures)
    columns = {}
    for scale in args.guidance:
        made = generate(pipe, prompts, seeds, scale, args.steps)
        said = judge(classifier, made)
        columns[f"guidance {scale:g}"] = score(said, specs)
        if scale == 7.5:
            want = labels_of(specs)
            likely = (said["subject"] * want["subject"]).sum(1)
            for part in ("background", "style", "worn"):
                likely += said[part].gather(1, want[part][:, None])[:, 0]
            worst = likely.argsort()[:10].tolist()
            PICTURES.mkdir(exist_ok=True)
            sheet = contact_sheet(made[worst], [prompts[i] for i in worst], 5)
            sheet.save(PICTURES / "worst.png")
    print(
        f"\n{args.pictures} held-out combinations, {args.steps} steps, seeds 0 and up:"
    )
    print_table(columns)
    if 7.5 in args.guidance:
        print()
        negative_prompt(pipe, classifier, args.pictures // 2)
        print(f"\nThe ten worst pictures: {PICTURES / 'worst.png'}")


if __name__ == "__main__":
    main()
