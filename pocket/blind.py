"""Sheets for people: what do they see who do not know the prompts?

``python -m pocket.blind draw`` writes numbered sheets to ``out/blind``: drawings of
held-out prompts and, among them, renders of others, shuffled. Beside them lie the words
to choose from (``words.txt``), a table to fill in (``answers.csv``) and the key, which
whoever answers must not see. ``python -m pocket.blind score`` compares the two.
"""

import argparse
import csv
import json
import math
import random
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.images import grid
from pocket import world
from pocket.architecture import MODEL_DIR
from pocket.evaluate import generate, load_pipeline, print_table

COLUMNS = ("number", "subjects", "background", "style", "worn", "clarity")
SHEET, ACROSS = 24, 6  # pictures on a sheet, and in a row
ASK = """For each number say what you see, in these words only; guess where you must.

subjects    one, or two with a plus: cat + horse
background  a colour or a scene
style
worn        what somebody wears or holds; empty where nothing is
clarity     3 clean, 2 clear with flaws, 1 to be guessed, 0 nothing to be seen

"""


def draw(
    folder: Path,
    drawings: int,
    renders: int,
    seed: int,
    guidance_scale: float,
    model: Path = MODEL_DIR,
) -> None:
    """Write the sheets, the words, the empty table, and the key.

    Args:
        folder: Where to.
        drawings: How many pictures the model draws, each of a prompt of its own.
        renders: How many pictures of the world are hidden among them.
        seed: Of prompts, noise and order.
        guidance_scale: Of the drawings.
        model: Which model draws.
    """
    rng = random.Random(f"blind {seed}")
    specs = [world.sample(rng, held_out=True) for _ in range(drawings + renders)]
    prompts = [world.caption(spec, rng, plain=True) for spec in specs]
    seeds = [rng.randrange(2**31) for _ in range(drawings)]
    pipe = load_pipeline(model)
    made = generate(pipe, prompts[:drawings], seeds, guidance_scale)
    images = [Image.fromarray(picture) for picture in made]
    images += [world.render(spec, rng) for spec in specs[drawings:]]
    order = rng.sample(range(len(images)), len(images))

    folder.mkdir(parents=True, exist_ok=True)
    key = []
    for number, i in enumerate(order, 1):
        row = {"number": number, "drawn": i < drawings, "prompt": prompts[i]}
        key.append(row | vars(specs[i]))
    (folder / "key.json").write_text(json.dumps(key, indent=1))
    for first in range(0, len(order), SHEET):
        some = order[first : first + SHEET]
        numbers = [str(first + 1 + n) for n in range(len(some))]
        sheet = grid([images[i] for i in some], ACROSS, numbers)
        sheet.save(folder / f"sheet-{first // SHEET + 1}.png")
    known = {
        "subjects": sorted(world.SUBJECTS),
        "background": [*world.COLOURS, *world.SCENES],
        "style": list(world.STYLES),
        "worn": list(world.WORN),
    }
    words = "\n".join(f"{part}: {', '.join(some)}" for part, some in known.items())
    (folder / "words.txt").write_text(ASK + words + "\n")
    with (folder / "answers.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows([n, *[""] * 5] for n in range(1, len(order) + 1))


def compare(answers: list[dict[str, str]], key: list[dict]) -> dict[str, np.ndarray]:
    """Right or wrong, picture by picture, and the clarity; NaN where nothing is asked.

    A picture that nobody answered for is wrong in everything, and of clarity 0.
    """
    given = {int(row["number"]): row for row in answers}
    other = {word: name for name, words in world.ALIASES.items() for word in words}
    rows: dict[str, list[float]] = {}

    def add(part: str, applies: bool, value: float) -> None:
        rows.setdefault(part, []).append(float(value) if applies else math.nan)

    for truth in key:
        row = given.get(truth["number"], {})
        said = {part: (row.get(part) or "").strip().lower() for part in COLUMNS}
        names = {other.get(n.strip(), n.strip()) for n in said["subjects"].split("+")}
        right = [subject in names for subject in truth["subjects"]]
        two = len(right) == 2
        add("subject", True, sum(right) / len(right))
        add("both of two", two, all(right))
        add("background", True, said["background"] == truth["background"])
        add("style", True, said["style"] == truth["style"])
        add("worn or held", bool(truth["worn"]), said["worn"] == truth["worn"])
        add("clarity", True, float(said["clarity"] or 0))
    return {part: np.array(values) for part, values in rows.items()}


def score(folder: Path, answers: Path) -> None:
    """Print shares with intervals, of the drawings and of the renders among them."""
    key = json.loads((folder / "key.json").read_text())
    with answers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns, clear = {}, []
    for name, drawn in (("drawings", True), ("renders", False)):
        some = [row for row in key if row["drawn"] == drawn]
        columns[name] = compare(rows, some)
        marks = columns[name].pop("clarity")
        error = 1.96 * marks.std() / math.sqrt(len(marks))
        clear.append(f"{name} {marks.mean():.2f} ± {error:.2f}")
    print_table(columns)
    print(f"\nClarity, 0 to 3, with its 95 % interval: {', '.join(clear)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Sheets of pictures to be named.")
    what = parser.add_subparsers(dest="what", required=True)
    drawing = what.add_parser("draw", help="write sheets, words, a table and the key")
    drawing.add_argument("--drawings", type=int, default=64, help="%(default)s")
    drawing.add_argument("--renders", type=int, default=24, help="%(default)s")
    drawing.add_argument("--seed", type=int, default=0, help="%(default)s")
    drawing.add_argument("--guidance", type=float, default=5.0, help="%(default)s")
    drawing.add_argument("--model", type=Path, default=MODEL_DIR)
    scoring = what.add_parser("score", help="compare a filled table with the key")
    scoring.add_argument("answers", type=Path)
    for one in (drawing, scoring):
        one.add_argument("--folder", type=Path, default=Path("out/blind"))
    a = parser.parse_args()
    if a.what == "score":
        score(a.folder, a.answers)
    else:
        draw(a.folder, a.drawings, a.renders, a.seed, a.guidance, a.model)


if __name__ == "__main__":
    main()
