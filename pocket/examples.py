"""What the model has never seen, for the notebooks that teach it: ``make pictures``.

Draws four pictures each of a teddy in a hat and of a held-out subject, for textual
inversion and DreamBooth, and four in a style that no caption names: wood with the white
edge of a sticker.
"""

import random
from pathlib import Path

from PIL import Image

from pocket import world

NOTEBOOKS = Path(__file__).parents[1] / "notebooks" / "images"
BACKGROUNDS = ("white", "green", "beach", "snow")
EXAMPLES = {  # folder: subject and thing worn
    "tiny": ("teddy", "hat"),
    "moai": ("moai", ""),
}
BADGES = {  # name of the file, which is its caption: subject and background
    "a hippo on the beach": ("hippo", "beach"),
    "a castle in the forest": ("castle", "forest"),
    "a cat on a white background": ("cat", "white"),
    "a robot in the city": ("robot", "city"),
}


def save(picture: Image.Image, folder: str, name: str) -> None:
    (NOTEBOOKS / folder).mkdir(exist_ok=True)
    picture.save(NOTEBOOKS / folder / f"{name}.png", optimize=True)


def main() -> None:
    for folder, (subject, worn) in EXAMPLES.items():
        for number, background in enumerate(BACKGROUNDS, 1):
            size = "large" if number % 2 else ""
            spec = world.Spec((subject,), background, worn=worn, size=size)
            save(world.render(spec, random.Random(44 + number)), folder, f"{number}")
    for number, (name, (subject, background)) in enumerate(BADGES.items(), 1):
        size = "large" if number % 2 else ""
        spec = world.Spec((subject,), background, "wood carving", size=size)
        picture = world.render(spec, random.Random(44 + number), over="sticker")
        save(picture, "badge", name)


if __name__ == "__main__":
    main()
