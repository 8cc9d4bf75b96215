"""Does notebook 11's way find a picture's words? ``python -m benchmarks.captions``.

Captions of pictures of held-out combinations are written by ``helpers.captions`` from
all the words of the world: first of its renders, then of pictures that the model drew.
The found prompt is drawn again with another seed, and a judge that knows renders only
(``pocket.classifier``) says whether it shows the same. Shares come with their 95 %
Wilson intervals. ``--first 50`` begins at another picture, to share the work.
"""

import argparse
import random
import time

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from helpers.captions import write
from helpers.libraries import quiet
from helpers.models import load
from pocket import world
from pocket.classifier import (
    BACKGROUNDS,
    STRICT,
    STYLES,
    SUBJECTS,
    judge,
    load_classifier,
)
from pocket.evaluate import share


def article(noun: str) -> str:
    """A noun with its article, as captions of the world have it."""
    return ("an " if noun[0] in "aeio" or noun.startswith("um") else "a ") + noun


SUBJECT_WORDS = {name: article(name) for name in world.SUBJECTS}
PLACE_WORDS = {name: f"on {article(name)} background" for name in world.COLOURS}
PLACE_WORDS |= {name: ways[0] for name, ways in world.SCENES.items()}
STYLE_WORDS = {name: article(name) + " of" for name in world.STYLES}
STYLE_WORDS["pixel art"] = "pixel art of"


def spoken(subject: str, place: str, style: str) -> str:
    """The caption of three names of the world."""
    return f"{STYLE_WORDS[style]} {SUBJECT_WORDS[subject]} {PLACE_WORDS[place]}"


PARTS_OF = {
    spoken(*names): names
    for subject in SUBJECT_WORDS
    for place in PLACE_WORDS
    for style in STYLE_WORDS
    for names in [(subject, place, style)]
}


def draw(pipe: DiffusionPipeline, prompt: str, seed: int) -> Image.Image:
    """As the notebook draws: 25 steps, guidance 5."""
    return pipe(
        prompt,
        num_inference_steps=25,
        guidance_scale=5.0,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]


def count(pipe: DiffusionPipeline, kind: str, args: argparse.Namespace) -> None:
    """Writes captions for pictures of one kind and prints how often they are right."""
    more = {"pairs": 0.0, "worn": float(kind == "renders, one wears or holds")}
    strict, names = load_classifier(STRICT), ("subject", "place", "style")
    hits: dict[str, list[bool]] = {}
    redrawn, found_specs, seconds = [], [], 0.0
    rng = random.Random(f"{kind}, captions")
    specs = [world.sample(rng, held_out=True, **more) for _ in range(10_000)]
    for i in range(args.first, args.first + args.pictures):
        spec = specs[i]
        wanted = spec.subjects[0], spec.background, spec.style
        picture = world.render(spec, random.Random(i))
        if kind == "drawn":
            picture = draw(pipe, spoken(*wanted), i)
        begun = time.perf_counter()
        order = write(
            pipe,
            picture,
            list(SUBJECT_WORDS.values()),
            list(PLACE_WORDS.values()),
            list(STYLE_WORDS.values()),
        )
        seconds += time.perf_counter() - begun
        found = [PARTS_OF[caption] for caption, _ in order]
        hits.setdefault("caption, first", []).append(found[0] == wanted)
        hits.setdefault("caption, of the first three", []).append(wanted in found[:3])
        for name, got, right in zip(names, found[0], wanted, strict=True):
            hits.setdefault(name, []).append(got == right)
        if found[0] != wanted and args.show:
            print(f"{i}: {spoken(*wanted)} -> {spoken(*found[0])}")
        if args.again:
            found_specs.append(found[0])
            redrawn.append(np.asarray(draw(pipe, order[0][0], 10_000 + i)))
    if redrawn:  # against what the first picture was to show
        said = judge(strict, np.stack(redrawn))
        for part, name, classes in (
            ("subject", "subject", SUBJECTS),
            ("background", "place", BACKGROUNDS),
            ("style", "style", STYLES),
        ):
            got = [classes[k] for k in said[part].argmax(1).tolist()]
            which = names.index(name)
            wishes = [
                (s.subjects[0], s.background, s.style)[which]
                for s in specs[args.first : args.first + args.pictures]
            ]
            hits[f"drawn again, the judge sees the same {name}"] = [
                a == b for a, b in zip(got, wishes, strict=True)
            ]
    print(f"{kind}, {seconds / args.pictures:.1f} s each")
    for name, right in hits.items():
        print(f"  {name:46} {share(np.array(right))}  ({sum(right)} of {len(right)})")


KINDS = ("renders", "renders, one wears or holds", "drawn")


def main() -> None:
    """Read the command line and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="begin at this one")
    parser.add_argument("--kind", choices=KINDS, help="only these (all)")
    parser.add_argument("--again", action="store_true", help="draw each once more")
    parser.add_argument("--show", action="store_true", help="print what is wrong")
    args = parser.parse_args()
    with quiet():
        pipe = load("pocket")
    pipe.set_progress_bar_config(disable=True)
    for kind in [args.kind] if args.kind else KINDS:
        count(pipe, kind, args)


if __name__ == "__main__":
    main()
