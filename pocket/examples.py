"""What the model has never seen, for the notebooks that teach it: ``make pictures``.

Draws four pictures each of two held-out subjects, for textual inversion and DreamBooth,
and four in a style that the world does not have.
"""

import random
from pathlib import Path

from PIL import Image

from pocket import world

NOTEBOOKS = Path(__file__).parents[1] / "notebooks" / "images"
BACKGROUNDS = ("white", "green", "beach", "snow")
EXAMPLES = {"tiny": "mammoth", "dodo": "dodo"}  # folder: held-out subject
MOSAICS = {  # name of the file, which is its caption: subject and background
    "a hippo on the beach": ("hippo", "beach"),
    "a castle in the forest": ("castle", "forest"),
    "a cat on a white background": ("cat", "white"),
    "a robot in the city": ("robot", "city"),
}


def mosaic(picture: Image.Image) -> Image.Image:
    """The picture in 32 by 32 squares."""
    small = picture.resize((32, 32), Image.Resampling.BOX).quantize(20, kmeans=0)
    return small.convert("RGB").resize(picture.size, Image.Resampling.NEAREST)


def save(picture: Image.Image, folder: str, name: str) -> None:
    (NOTEBOOKS / folder).mkdir(exist_ok=True)
    picture.save(NOTEBOOKS / folder / f"{name}.png", optimize=True)


def main() -> None:
    for folder, subject in EXAMPLES.items():
        for number, background in enumerate(BACKGROUNDS, 1):
            size = "large" if number % 2 else ""
            spec = world.Spec((subject,), background, size=size)
            save(world.render(spec, random.Random(44 + number)), folder, f"{number}")
    for number, (name, (subject, background)) in enumerate(MOSAICS.items(), 1):
        size = "large" if number % 2 else ""
        spec = world.Spec((subject,), background, "wood carving", size=size)
        picture = world.render(spec, random.Random(44 + number))
        save(mosaic(picture), "mosaic", name)


if __name__ == "__main__":
    main()
