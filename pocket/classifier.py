"""Two classifiers that name what a picture shows; they judge the pocket model.

Trained only on fresh renders of the world: ``python -m pocket.classifier`` trains one
(resuming from its last checkpoint) and writes ``pocket/classifier.safetensors``. It
forgives softness, as it has seen softened renders; ``--strict`` trains the other one,
which has seen clean ones only. ``python -m pocket.evaluate`` prints first how often
each is right on unseen renders.
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from helpers.device import Device
from helpers.processes import processes, rank
from pocket import world
from pocket.machine import autocast, find_training_device
from pocket.train import (
    Recipe,
    draw_pictures,
    on_every_core,
    run,
    to_tensor,
    wait_for_all,
)

WEIGHTS = Path(__file__).parent / "classifier.safetensors"
STRICT = WEIGHTS.with_name("strict.safetensors")
SUBJECTS = [*world.SUBJECTS, *world.HELD_OUT_SUBJECTS]
BACKGROUNDS = [*world.COLOURS, *world.SCENES]
STYLES = list(world.STYLES)
WORN = ["", *world.WORN]
BATCH = 64


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


def load_classifier(path: Path = WEIGHTS) -> Classifier:
    """The trained classifier, on the fastest device.

    Raises:
        FileNotFoundError: It has not been trained yet.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path.name} yet: train it with `python -m pocket.classifier`."
        )
    classifier = Classifier()
    classifier.load_state_dict(load_file(path))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return classifier.to(device).eval()


@torch.no_grad()
def judge(classifier: Classifier, pictures: np.ndarray) -> dict[str, torch.Tensor]:
    """Log probabilities by part of the prompt, for uint8 (count, 128, 128, 3)."""
    device = next(classifier.parameters()).device
    said: dict[str, list[torch.Tensor]] = {}
    for i in range(0, len(pictures), 64):
        out = classifier(to_tensor(pictures[i : i + 64], device))
        for part, logits in out.items():
            said.setdefault(part, []).append(F.log_softmax(logits, -1).cpu())
    return {part: torch.cat(logs) for part, logs in said.items()}


def soften(x: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """Take away fine detail and add blotches, more or less, as a VAE's decoder does.

    Who has seen sharp renders only takes softness for another style or subject.

    Args:
        x: (batch, 3, height, width), of the same shape afterwards.
        rng: Decides how much; one batch in four stays as it is.
    """
    if rng.random() < 0.25:
        return x
    size, small = x.shape[-2:], rng.choice((32, 48, 64, 96))
    soft = F.interpolate(x, (small, small), mode="bilinear", antialias=True)
    soft = F.interpolate(soft, size, mode="bilinear")
    blotches = torch.randn(len(x), 3, 32, 32, device=x.device)
    blotches = F.interpolate(blotches, size, mode="bilinear")
    x = torch.lerp(x, soft, rng.random())
    return (x + rng.uniform(0, 0.2) * blotches).clamp(-1, 1)


def train_classifier(
    device: Device, steps: int, begin_from: str = "", strict: bool = False
) -> None:
    """Train on renders of its own seed and on the training set's; write the weights.

    Its own show the held-out subjects as well: it has to know what textual inversion
    and DreamBooth teach. Styles that take the colour away come more often: shape alone
    is harder to learn. The pictures are softened, but never by the VAE it will judge;
    the strict one's are not.

    Args:
        device: Where.
        steps: Of 64 pictures.
        begin_from: A file of weights to go on from, or "" for nothing.
        strict: Learn from clean renders only.
    """
    path, name = (STRICT, "strict") if strict else (WEIGHTS, "classifier")
    recipe = Recipe(begin_from=begin_from, seed=1000, pictures=30_000)
    if rank() == 0:
        draw_pictures(recipe, SUBJECTS), draw_pictures(Recipe())
    wait_for_all()
    drawn = [draw_pictures(recipe, SUBJECTS), draw_pictures(Recipe())]
    images = [picture for pictures, _ in drawn for picture in pictures]
    specs = [spec for _, more in drawn for spec in more]
    labels = labels_of(specs)
    labels["subject"] /= labels["subject"].sum(1, keepdim=True)  # 1, or a half each
    rare = [3.0 if s.style in ("pencil sketch", "wood carving") else 1.0 for s in specs]
    torch.manual_seed(recipe.seed)
    classifier = Classifier()
    if begin_from:
        classifier.load_state_dict(load_file(begin_from))
    classifier = classifier.to(device.type)

    def loss_of(rng: random.Random, step: int) -> torch.Tensor:
        picks = rng.choices(range(len(specs)), rare, k=BATCH // processes())
        x = to_tensor(np.stack([images[i] for i in picks]), device.type)
        x = x if strict else soften(x, rng)
        classifier.train()
        with autocast(device):
            said = classifier(x)
        want = {k: v[picks].to(x.device) for k, v in labels.items()}
        return sum(F.cross_entropy(said[k].float(), want[k]) for k in want)

    run(name, classifier, loss_of, steps, 2e-3, recipe, decay=0.5)
    if rank() == 0:  # the last weights, not their average: batch norm has counted these
        state = {k: v.cpu().contiguous() for k, v in classifier.state_dict().items()}
        half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        save_file(half, path)
        print(f"Saved to {path}.")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the classifier; resumes.")
    parser.add_argument("--steps", type=int, default=9_500, help="%(default)s")
    parser.add_argument("--begin-from", default="", help="weights to go on from")
    parser.add_argument("--strict", action="store_true", help="from clean renders")
    a = parser.parse_args()

    def job() -> None:
        device = find_training_device()
        train_classifier(device, a.steps, a.begin_from, a.strict)

    on_every_core("pocket.classifier", job)


if __name__ == "__main__":
    main()
