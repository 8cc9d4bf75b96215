"""What the model has never seen, for the notebooks that teach it: ``make pictures``.

Draws four pictures of one held-out subject each for textual inversion and DreamBooth.
"""

import random
from pathlib import Path

from pocket import world

NOTEBOOKS = Path(__file__).parents[1] / "notebooks" / "images"
BACKGROUNDS = ("white", "green", "beach", "snow")
EXAMPLES = {"tiny": "mammoth", "dodo": "dodo"}  # folder: held-out subject


def main() -> None:
    for folder, subject in EXAMPLES.items():
        (NOTEBOOKS / folder).mkdir(exist_ok=True)
        for number, background in enumerate(BACKGROUNDS, 1):
            size = "large" if number % 2 else ""
            spec = world.Spec((subject,), background, size=size)
            picture = world.render(spec, random.Random(44 + number))
            picture.save(NOTEBOOKS / folder / f"{number}.png", optimize=True)


if __name__ == "__main__":
    main()
