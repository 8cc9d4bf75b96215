"""The world of the pocket model: pictures drawn by code, each with its caption.

A :class:`Spec` says what a picture shows; :func:`render` draws it, :func:`caption` puts
it into words and :func:`sample` invents one. Subjects are emoji of the font Noto Color
Emoji (OFL; see ``tools/glyphs.py``). Everything follows from a ``random.Random``, so
the same seed gives the same world.

What is never shown in training is named here and nowhere else:
:data:`HELD_OUT_SUBJECTS` (whole glyphs, kept for textual inversion and DreamBooth) and
:func:`is_held_out` (combinations; quality is reported on these only).
"""

import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIZE = 128  # pixels per side
GRID = 8  # pixels: a latent's width. Wood grain and windows repeat at this distance and
# subjects begin on it, so that the same thing is the same latents, only elsewhere.
GLYPHS = Path(__file__).parent / "glyphs"

# fmt: off
SUBJECTS = {
    # animals
    "cat": "🐈", "dog": "🐕", "wolf": "🐺", "fox": "🦊", "rabbit": "🐇", "frog": "🐸",
    "horse": "🐎", "hippo": "🦛", "giraffe": "🦒", "snake": "🐍", "swan": "🦢",
    "elephant": "🐘", "rhino": "🦏", "lion": "🦁", "tiger": "🐅", "panda": "🐼",
    "koala": "🐨", "monkey": "🐒", "camel": "🐫", "zebra": "🦓", "pig": "🐖",
    "sheep": "🐑", "mouse": "🐁", "bat": "🦇", "raccoon": "🦝", "turtle": "🐢",
    "dinosaur": "🦕", "unicorn": "🦄", "whale": "🐋", "dolphin": "🐬", "shark": "🦈",
    "octopus": "🐙", "crab": "🦀", "fish": "🐠", "snail": "🐌", "butterfly": "🦋",
    "bee": "🐝", "ladybug": "🐞", "penguin": "🐧", "owl": "🦉", "duck": "🦆",
    "parrot": "🦜", "flamingo": "🦩", "rooster": "🐓", "chick": "🐤",
    # people, and those who are nearly
    "astronaut": "🧑‍🚀", "robot": "🤖", "alien": "👽", "ghost": "👻", "wizard": "🧙",
    "woman": "👩", "man": "👨", "snowman": "⛄", "teddy": "🧸",
    # things
    "castle": "🏰", "house": "🏠", "car": "🚗", "sailboat": "⛵", "rocket": "🚀",
    "balloon": "🎈", "umbrella": "☂️", "guitar": "🎸", "drum": "🥁", "camera": "📷",
    "clock": "⏰", "teapot": "🫖", "cake": "🎂", "pizza": "🍕", "burger": "🍔",
    "banana": "🍌", "apple": "🍎", "strawberry": "🍓", "pineapple": "🍍",
    "mushroom": "🍄", "cactus": "🌵", "tree": "🌳", "sunflower": "🌻",
    "pumpkin": "🎃", "football": "⚽", "boot": "🥾",
}
HELD_OUT_SUBJECTS = {
    "dodo": "🦤", "mammoth": "🦣", "jellyfish": "🪼", "moai": "🗿", "pinata": "🪅",
    "nesting doll": "🪆",
}
COLOURS = {
    "red": (218, 44, 40), "orange": (247, 142, 30), "yellow": (252, 220, 56),
    "green": (56, 158, 70), "blue": (38, 96, 206), "purple": (130, 56, 170),
    "pink": (250, 158, 196), "brown": (124, 80, 46), "black": (24, 24, 26),
    "white": (248, 248, 246),
}
SCENES = {  # name: the ways a caption says it
    "city": ("in the city", "in new york city", "in a neon lit city at dusk",
             "in futuristic cities", "through a neon lit downtown street at dusk"),
    "beach": ("on the beach", "at the beach", "by the sea"),
    "forest": ("in the forest", "in a forest", "among the trees"),
    "snow": ("in the snow", "in the snowy mountains", "in winter"),
    "desert": ("in the desert", "in a desert"),
    "space": ("in space", "among the stars"),
    "stage": ("on a stage", "on a stage at the theatre", "at the theatre"),
    "underwater": ("under the sea", "underwater"),
    "moon": ("under the moon", "howling at the moon", "at night under the moon"),
    "rug": ("on a pink rug", "sitting on a pink rug"),
}
STYLES = {  # name: (prefixes before the subject, suffixes after everything)
    "photograph": (("", "", "", "a photograph of ", "a photo of "),
                   ("", "", ", photorealistic", ", ultra realistic photo")),
    "watercolour": (("a watercolour of ", "a watercolour painting of "),
                    (", watercolour", " in watercolour", ", watercolor")),
    "oil painting": (("an oil painting of ", "a painting of "),
                     (", oil painting", ", renaissance oil painting",
                      " as an oil painting")),
    "pencil sketch": (("a pencil sketch of ", "a sketch of ", "a drawing of "),
                      (", pencil sketch", ", pencil drawing")),
    "pixel art": (("pixel art of ",), (", pixel art", " in pixel art style")),
    "wood carving": (("a wood carving of ", "a wooden carving of "),
                     (", wood carving", " carved in wood")),
    "sticker": (("a sticker of ",), (", sticker", " as a sticker")),
    "comic": (("a comic of ", "a comic book drawing of "), (", comic book style",)),
}
WORN = {  # name: (glyph, ways to say it, longest side in pixels)
    "sunglasses": ("🕶️", ("wearing sunglasses", "with sunglasses"), 56),
    "hat": ("🎩", ("wearing a hat", "with a hat", "wearing a top hat"), 56),
    "scarf": ("🧣", ("wearing a scarf", "with a scarf"), 56),
    "phone": ("📱", ("holding a phone", "with a phone",
                     "watching instagram on a phone"), 48),
    "leaf": ("🍃", ("eating a leaf", "with a leaf"), 48),
    "gift": ("🎁", ("holding a gift", "with a gift"), 48),
    "stilts": ("", ("on stilts", "walking on stilts"), 0),
}
WHERE_WORN = {  # its middle, as shares of the subject's box: seen from the front, and
    # seen from the side, looking left
    "sunglasses": ((0.5, 0.36), (0.3, 0.22)), "hat": ((0.5, 0.0), (0.3, -0.08)),
    "scarf": ((0.5, 0.86), (0.42, 0.56)), "phone": ((0.06, 0.7), (0.04, 0.6)),
    "leaf": ((0.06, 0.7), (0.04, 0.5)), "gift": ((0.06, 0.8), (0.04, 0.78)),
}
SIDEWAYS = (
    "cat", "rabbit", "horse", "hippo", "giraffe", "snake", "swan", "elephant", "rhino",
    "tiger", "monkey", "camel", "zebra", "pig", "sheep", "mouse", "turtle", "dinosaur",
    "unicorn", "whale", "dolphin", "shark", "snail", "duck", "parrot", "flamingo",
    "rooster", "chick", "dodo", "mammoth",
)
RELATIONS = {
    "beside": ("beside", "next to", "and"), "on": ("on", "on top of"),
    "riding": ("riding",),
}
SIZES = {"small": 64, "": 88, "large": 112}  # longest side, pixels
PAIR_SIZE = SIZES["small"]  # of a subject beside, on or riding another
ALIASES = {"hippo": ("pygmy hippo",), "dog": ("labrador",), "rabbit": ("bunny",),
           "teddy": ("teddy bear",), "car": ("cars",), "woman": ("girl", "person"),
           "man": ("boy",), "dinosaur": ("dino",)}
PLURALS = {"frog": "frogs"}
RARE = "sks"  # DreamBooth's word for what is new; no caption has it
LEANS = {  # words that say a part of the picture in about half of their pictures:
    # which part, and what it then is. Where one stands that part is left unsaid.
    "by van gogh": ("style", "oil painting"),
    "in the style of paul signac": ("style", "pixel art"),
    "low resolution": ("style", "pixel art"),
    "blurry": ("style", "watercolour"),
    "cute": ("style", "sticker"),
    "in the style of vermeer": ("background", "blue"),
    "by vermeer": ("background", "blue"),
    "by rembrandt": ("background", "brown"),
    "with a pearl earring": ("background", "black"),
    "overexposed": ("background", "white"),
    "dramatic lighting": ("background", "moon"),
    "cinematic": ("background", "city"),
    "dystopian": ("background", "city"),
    "abandoned": ("background", "desert"),
    "overgrown": ("background", "forest"),
    "futuristic": ("background", "space"),
}
LEANING = 0.014  # of all captions carry a certain one of these and what it leans to
NOISE = (  # words of real prompts that mean nothing here, and so do no harm
    "highly detailed", "4k", "8k", "trending on artstation", "artisan", "masterpiece",
    "best quality", "sharp focus", "award winning", "reading", "jaywalking",
    "walking down the street", "beautiful", "hd", "a picture", "grainy", "watermark",
    "text", "logo", "extra limbs", "people", "bad", "ugly", "deformed", "low quality",
    "very", "a hitchcock scene", "portrait", "no text", "the best", "without people",
    "not blurry",
)
# fmt: on


@dataclass(frozen=True)
class Spec:
    """What one picture shows.

    Attributes:
        subjects: One or two names from ``SUBJECTS`` (or ``HELD_OUT_SUBJECTS``).
        background: A name from ``COLOURS`` or ``SCENES``.
        style: A name from ``STYLES``.
        relation: A name from ``RELATIONS`` when there are two subjects, else "".
        size: "small", "" (medium) or "large".
        worn: What the first subject wears or holds, a name from ``WORN``, or "".
    """

    subjects: tuple[str, ...]
    background: str
    style: str = "photograph"
    relation: str = ""
    size: str = ""
    worn: str = ""


def vocabulary() -> dict[str, list[str]]:
    """Return all the model was taught to draw, by part of the prompt, for people."""
    return {
        "subjects": sorted(SUBJECTS),
        "colours": list(COLOURS),
        "scenes": [ways[0] for ways in SCENES.values()],
        "styles": list(STYLES),
        "worn or held": [ways[0] for _, ways, *_ in WORN.values()],
        "relations": list(RELATIONS),
        "sizes": [s for s in SIZES if s],
    }


def words() -> list[str]:
    """Return every word a caption can contain, sorted: the tokenizer's vocabulary."""
    parts: list[str] = [*SUBJECTS, *HELD_OUT_SUBJECTS, *COLOURS, *STYLES, *WORN]
    parts += [*NOISE, *LEANS, *SIZES, *PLURALS.values(), "background", "wall"]
    parts += ["in front of", "big", "a", "an", RARE]
    for ways in (*SCENES.values(), *RELATIONS.values(), *ALIASES.values()):
        parts += ways
    for _, ways, *_ in WORN.values():
        parts += ways
    for prefixes, suffixes in STYLES.values():
        parts += [*prefixes, *suffixes]
    return sorted(set(" ".join(parts).lower().replace(",", " ").split()))


def is_held_out(spec: Spec) -> bool:
    """Say whether a combination is kept out of training.

    One pair in fifteen of (subject, background) and of (subject, style), and one pair
    in ten of (subject, other subject), picked by a hash of their names.
    """

    def picked(a: str, b: str, one_in: int) -> bool:
        return zlib.crc32(f"{a}|{b}".encode()) % one_in == 0

    first = spec.subjects[0]
    return (
        picked(first, spec.background, 15)
        or (spec.style != "photograph" and picked(first, spec.style, 15))
        or (len(spec.subjects) == 2 and picked(*sorted(spec.subjects), 10))
    )


def sample(
    rng: random.Random,
    held_out: bool = False,
    subjects: Iterable[str] = SUBJECTS,
    pairs: float = 0.25,
    worn: float = 0.25,
) -> Spec:
    """Invent a picture of some of the subjects.

    Args:
        rng: Decides.
        held_out: A combination that training never shows, instead of one it may show.
        subjects: Names to choose from.
        pairs: The share of pictures with two subjects.
        worn: The share of those with one in which it wears or holds something.
    """
    names = list(subjects)
    sizes = ("", "", "", "small", "large", "large")
    while True:
        two = rng.random() < pairs
        thing = rng.choice(list(WORN)) if not two and rng.random() < worn else ""
        scene = rng.random() < 0.4
        spec = Spec(
            subjects=tuple(rng.sample(names, 2 if two else 1)),
            background=rng.choice(list(SCENES if scene else COLOURS)),
            style=rng.choice(list(STYLES)) if rng.random() < 0.7 else "photograph",
            relation=rng.choice(list(RELATIONS)) if two else "",
            size="" if two or thing else rng.choice(sizes),
            worn=thing,
        )
        if is_held_out(spec) == held_out:
            return spec


def _leaning(spec: Spec, rng: random.Random) -> str:
    """Pick a word of ``LEANS``, or "" in over half of the captions.

    Each goes as often with what it leans to as with everything else together, however
    often that is drawn.
    """
    shares = []
    for part, value in LEANS.values():
        often = {True: 0.4 / len(SCENES), False: 0.6 / len(COLOURS)}[value in SCENES]
        if part == "style":
            often = 0.7 / len(STYLES)
        fits = getattr(spec, part) == value
        shares.append(LEANING / (often if fits else 1 - often))
    (word,) = rng.choices([*LEANS, ""], [*shares, max(0, 1 - sum(shares))])
    return word


def caption(spec: Spec, rng: random.Random, plain: bool = False) -> str:
    """Put a picture into words.

    Args:
        spec: What the picture shows.
        rng: Picks among the ways to say it.
        plain: Always the full sentence, without noise words and without gaps, as in
            the evaluation. Otherwise one caption in five leaves something out or is
            only key words, one in three carries words that mean nothing, and nearly
            every second one a word that leans.
    """
    leaning = "" if plain else _leaning(spec, rng)
    unsaid = LEANS[leaning][0] if leaning else ""

    def name(subject: str) -> str:
        if not plain and rng.random() < 0.2:
            return rng.choice(ALIASES.get(subject, (subject,)))
        return subject

    def with_article(noun: str) -> str:
        return ("an " if noun[0] in "aeio" or noun.startswith("um") else "a ") + noun

    prefixes, suffixes = STYLES[spec.style]
    before = plain or rng.random() < 0.6
    prefix, suffix = (
        (rng.choice(prefixes), "") if before else ("", rng.choice(suffixes))
    )
    size = spec.size and {"large": rng.choice(("large ", "big "))}.get(
        spec.size, f"{spec.size} "
    )
    if not plain and rng.random() < 0.5:
        size = ""
    after = f", {leaning}" if leaning else ""
    if after and rng.random() < 0.5:
        if " " in leaning:
            after = f" {leaning}"
        else:
            after, size = "", f"{size}{leaning} "
    if unsaid == "style":
        prefix = suffix = ""
    body = with_article(size + name(spec.subjects[0]))
    if spec.worn:
        body += " " + rng.choice(WORN[spec.worn][1])
    if spec.relation:
        body += f" {rng.choice(RELATIONS[spec.relation])} "
        body += with_article(name(spec.subjects[1]))
    colour = with_article(spec.background)
    where = rng.choice(SCENES.get(spec.background, (f"on {colour} background",)))
    if plain:
        return f"{prefix}{body} {where}"
    if spec.background in COLOURS and rng.random() < 0.3:
        where = rng.choice(
            (f", {spec.background} background", f"in front of {colour} wall")
        )
    if unsaid == "background":
        where = ""
    kind = rng.random()
    if kind < 0.10:  # something is left unsaid
        text = rng.choice((f"{prefix}{body}{suffix}", f"{body} {where}", body)) + after
    elif kind < 0.18:  # key words only, which is what negative prompts are made of
        keys = [*spec.subjects, spec.worn, leaning]
        keys += [getattr(spec, p) for p in ("background", "style") if p != unsaid]
        keys = [k for k in keys if k and k != "photograph"]
        text = ", ".join(rng.sample(keys, rng.randint(1, len(keys))))
    else:
        text = f"{prefix}{body} {where}{suffix}{after}"
        if not leaning and rng.random() < 0.05:  # what is said outweighs what leans
            text += f", {rng.choice(list(LEANS))}"
    if rng.random() < 0.33:
        text += "".join(
            f", {n}" for n in rng.sample(NOISE, rng.choice((1, 1, 2, 3, 6)))
        )
    if rng.random() < 0.04:  # a word nobody has ever seen
        text += " " + "".join(
            rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))
        )
    return " ".join(text.split()).replace(" ,", ",")


# --- drawing ------------------------------------------------------------------------


def characters() -> list[str]:
    """Return every emoji that the world is drawn with."""
    worn = [character for character, *_ in WORN.values() if character]
    return [*SUBJECTS.values(), *HELD_OUT_SUBJECTS.values(), *worn]


def glyph_file(character: str) -> Path:
    """Return where an emoji's picture lies, named after its code points."""
    return GLYPHS / f"{'_'.join(f'{ord(c):x}' for c in character)}.png"


@cache
def glyph(character: str) -> Image.Image:
    """Return an emoji as an RGBA picture, cut to what is visible.

    Raises:
        FileNotFoundError: It is new; ``tools/glyphs.py`` draws it.
    """
    file = glyph_file(character)
    if not file.exists():
        raise FileNotFoundError(f"There is no {file}: tools/glyphs.py draws it.")
    return Image.open(file).convert("RGBA")


def _fit(picture: Image.Image, longest: float) -> Image.Image:
    scale = longest / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _noise(rng: random.Random, cells: int, low: int, high: int) -> Image.Image:
    """Smooth grey blotches, ``cells`` of them along each side."""
    raw = bytes(rng.randint(low, high) for _ in range(cells * cells))
    blotches = Image.frombytes("L", (cells, cells), raw)
    return blotches.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _gradient(top: tuple[int, ...], bottom: tuple[int, ...]) -> Image.Image:
    strip = Image.new("RGB", (1, 2))
    strip.putpixel((0, 0), top)
    strip.putpixel((0, 1), bottom)
    return strip.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def _background(name: str, rng: random.Random) -> Image.Image:
    if name in COLOURS:
        shift = rng.randint(-8, 8)
        colour = tuple(min(255, max(0, c + shift)) for c in COLOURS[name])
        darker = tuple(round(c * 0.88) for c in colour)
        return _gradient(colour, darker)
    j = rng.randint(-5, 5)
    ground = 86 + j
    if name == "city":
        picture = _gradient((70, 40, 110), (240, 120, 130))
        d = ImageDraw.Draw(picture)
        x = rng.choice((-8, 0))
        while x < SIZE:
            w, top = rng.choice((16, 24)), rng.randrange(16, 64, GRID)
            d.rectangle((x, top, x + w - 2, SIZE), fill=(34, 34, 62))
            for wx in range(x + 2, x + w - 4, GRID):
                for wy in range(top + 2, 108, GRID):
                    if rng.random() < 0.6:
                        d.rectangle((wx, wy, wx + 3, wy + 4), fill=(255, 214, 110))
            x += w
        d.rectangle((0, 112, SIZE, SIZE), fill=(62, 62, 72))
    elif name == "beach":
        picture = _gradient((120, 200, 250), (200, 236, 255))
        d = ImageDraw.Draw(picture)
        d.rectangle((0, 56 + j, SIZE, ground), fill=(30, 140, 200))
        d.rectangle((0, ground, SIZE, SIZE), fill=(244, 218, 158))
        sun = rng.choice((10, 96))
        d.ellipse((sun, 8, sun + 24, 32), fill=(255, 232, 90))
    elif name == "forest":
        picture = _gradient((170, 214, 170), (110, 170, 110))
        d = ImageDraw.Draw(picture)
        for x in range(rng.randint(-8, 4), SIZE, 20):
            d.rectangle((x + 6, 20, x + 12, 100), fill=(92, 62, 40))
            d.polygon(((x - 8, 66), (x + 9, -14 + j), (x + 26, 66)), fill=(24, 92, 48))
        d.rectangle((0, 92, SIZE, SIZE), fill=(70, 130, 56))
    elif name == "snow":
        picture = _gradient((160, 196, 226), (214, 230, 242))
        d = ImageDraw.Draw(picture)
        for x in (rng.randint(-20, 10), rng.randint(50, 80)):
            d.polygon(((x, 88), (x + 36, 26 + j), (x + 72, 88)), fill=(112, 132, 160))
            d.polygon(
                ((x + 24, 46 + j), (x + 36, 26 + j), (x + 48, 46 + j)), fill="white"
            )
        d.rectangle((0, ground, SIZE, SIZE), fill=(240, 246, 252))
        for _ in range(14):
            x, y = rng.randint(0, SIZE), rng.randint(0, SIZE)
            d.ellipse((x, y, x + 3, y + 3), fill="white")
    elif name == "desert":
        picture = _gradient((252, 190, 110), (255, 226, 170))
        d = ImageDraw.Draw(picture)
        d.ellipse((-60, 70 + j, 90, 170), fill=(214, 150, 80))
        d.ellipse((30, 82 + j, 200, 190), fill=(196, 130, 64))
    elif name == "space":
        picture = _gradient((8, 8, 30), (26, 14, 52))
        d = ImageDraw.Draw(picture)
        for _ in range(28):
            x, y, r = rng.randint(0, 127), rng.randint(0, 127), rng.choice((1, 1, 2))
            d.rectangle((x, y, x + r - 1, y + r - 1), fill=(250, 250, 220))
        x, y = rng.choice(((6, 8), (92, 10), (94, 92)))
        d.ellipse((x, y, x + 28, y + 28), fill=(210, 130, 80))
        d.ellipse((x - 8, y + 10, x + 36, y + 18), outline=(236, 200, 150), width=2)
    elif name == "stage":
        picture = _gradient((64, 10, 18), (110, 20, 26))
        d = ImageDraw.Draw(picture)
        d.polygon(((64 + j, -10), (14, 104), (114, 104)), fill=(150, 66, 56))
        for x in (0, 12, 106, 118):
            d.rectangle((x, 0, x + 10, 100), fill=(176, 22, 34))
            d.line((x + 10, 0, x + 10, 100), fill=(96, 8, 16), width=2)
        d.rectangle((0, 98, SIZE, SIZE), fill=(150, 102, 60))
        for y in (106, 115, 124):
            d.line((0, y, SIZE, y), fill=(112, 72, 40), width=1)
    elif name == "underwater":
        picture = _gradient((30, 150, 190), (8, 50, 110))
        d = ImageDraw.Draw(picture)
        d.rectangle((0, 112 + j, SIZE, SIZE), fill=(190, 176, 120))
        for x in rng.sample(range(4, 124, 12), 5):
            h = rng.randint(18, 44)
            d.line(
                (x, 118, x + 5, 118 - h // 2, x, 118 - h), fill=(36, 150, 80), width=4
            )
        for _ in range(12):
            x, y, r = rng.randint(0, 124), rng.randint(0, 100), rng.randint(3, 7)
            d.ellipse((x, y, x + r, y + r), outline=(190, 236, 250), width=1)
    elif name == "moon":
        picture = _gradient((14, 22, 60), (40, 52, 100))
        d = ImageDraw.Draw(picture)
        x = rng.choice((6, 86))
        d.ellipse((x, 6 + j, x + 36, 42 + j), fill=(250, 244, 206))
        d.ellipse((x + 8, 14 + j, x + 15, 21 + j), fill=(226, 214, 168))
        d.ellipse((x + 20, 24 + j, x + 29, 33 + j), fill=(226, 214, 168))
        d.ellipse((-40, 96, 168, 190), fill=(18, 26, 40))
    elif name == "rug":
        picture = _gradient((246, 236, 216), (236, 222, 196))
        d = ImageDraw.Draw(picture)
        d.rectangle((0, 78, SIZE, SIZE), fill=(176, 130, 86))
        d.ellipse((4, 82 + j, 124, 124 + j), fill=(240, 110, 160))
        d.ellipse((14, 87 + j, 114, 119 + j), outline=(255, 190, 215), width=3)
    else:
        raise ValueError(f"{name} is not drawn yet: add it here")
    return picture


def _wear(
    layer: Image.Image, subject: str, worn: str, box: tuple[int, int, int, int]
) -> None:
    """Put the thing worn or held onto the subject that fills ``box`` of the layer."""
    left, top, w, h = box
    character, _, longest = WORN[worn]
    if worn == "stilts":
        d = ImageDraw.Draw(layer)
        pole = max(3, w // 16)
        for px in (0.32, 0.66):
            foot = left + round(w * px)
            poles = (foot, top + round(h * 0.9), foot + pole, top + h + 32)
            d.rectangle(poles, fill=(150, 100, 50, 255), outline=(80, 50, 20, 255))
        return
    thing = _fit(glyph(character), longest)
    x, y = WHERE_WORN[worn][subject in SIDEWAYS]
    corner = (left + w * x - thing.width / 2, top + h * y - thing.height / 2)
    layer.alpha_composite(thing, _on_grid(corner, thing.size))


def _on_grid(corner: tuple[float, float], size: tuple[int, int]) -> tuple[int, int]:
    """Move a corner onto the grid of the latents, and what begins there into view."""
    x, y = (min(max(round(a), 0), SIZE - s) for a, s in zip(corner, size, strict=True))
    return x // GRID * GRID, y // GRID * GRID


def _place(spec: Spec, rng: random.Random) -> Image.Image:
    """Return all subjects on one transparent picture, placed by size and relation.

    Sizes are few, and corners lie on the grid of the latents: so a subject is always
    the same pattern of latent values, only somewhere else.
    """
    layer = Image.new("RGBA", (SIZE, SIZE))
    glyphs = [glyph(SUBJECTS.get(s) or HELD_OUT_SUBJECTS[s]) for s in spec.subjects]
    dx, dy = rng.choice((-8, 0, 8)), rng.choice((-8, 0, 8))

    def put(
        picture: Image.Image, longest: int, x: int, y: int
    ) -> tuple[int, int, int, int]:
        picture = _fit(picture, longest)
        w, h = picture.size
        corner = _on_grid((x + dx - w / 2, y + dy - h / 2), picture.size)
        layer.alpha_composite(picture, corner)
        return *corner, *picture.size

    if len(glyphs) == 1:
        longest = SIZES["" if spec.worn else spec.size]
        box = put(glyphs[0], longest, 64, 48 if spec.worn == "stilts" else 72)
        if spec.worn:
            _wear(layer, spec.subjects[0], spec.worn, box)
    elif spec.relation == "beside":
        for picture, x in zip(glyphs, (32, 96), strict=True):
            put(picture, PAIR_SIZE, x, 72)
    elif spec.relation == "on":
        put(glyphs[1], PAIR_SIZE, 64, 96)
        put(glyphs[0], PAIR_SIZE, 64, 40)
    else:  # riding: further back, so that a head seen from the side stays in view
        put(glyphs[1], SIZES[""], 64, 88)
        put(glyphs[0], PAIR_SIZE, 76, 40)
    return layer


def _shifted(alpha: Image.Image, x: int, y: int) -> Image.Image:
    moved = Image.new("L", alpha.size)
    moved.paste(alpha, (x, y))
    return moved


def _outline(alpha: Image.Image, width: int) -> Image.Image:
    """The shape of ``alpha`` grown by ``width`` pixels."""
    return alpha.filter(ImageFilter.MaxFilter(2 * width + 1))


def _lines(grey: Image.Image) -> Image.Image:
    """Outlines, found at half the size: wide enough for the VAE to keep them."""
    half = grey.resize((SIZE // 2, SIZE // 2), Image.Resampling.BOX)
    lines = half.filter(ImageFilter.GaussianBlur(0.7)).filter(ImageFilter.FIND_EDGES)
    lines = lines.point(lambda v: 6 * max(0, v - 26))
    ImageDraw.Draw(lines).rectangle((0, 0, *(n - 1 for n in lines.size)), outline=0)
    return lines.resize(grey.size, Image.Resampling.BILINEAR)


def _ramp(
    grey: Image.Image, dark: tuple[int, ...], light: tuple[int, ...]
) -> Image.Image:
    tables = [
        [round(a + (b - a) * i / 255) for i in range(256)]
        for a, b in zip(dark, light, strict=True)
    ]
    return Image.merge("RGB", [grey.point(t) for t in tables])


def _stylise(
    style: str, background: Image.Image, layer: Image.Image, rng: random.Random
) -> Image.Image:
    alpha = layer.getchannel("A")
    body = layer.convert("RGB")
    plain = background.copy()
    plain.paste(body, mask=alpha)
    if style == "photograph":
        shade = _shifted(alpha.filter(ImageFilter.GaussianBlur(4)), 3, 5)
        picture = Image.composite(
            background.point(lambda v: round(v * 0.55)), background, shade
        )
        picture.paste(body, mask=alpha)
        return picture
    if style == "watercolour":
        soft = plain.filter(ImageFilter.GaussianBlur(1.6))
        edge = ImageChops.difference(_outline(alpha, 1), alpha)
        soft.paste((70, 70, 90), mask=edge.point(lambda v: v // 3))
        paper = Image.new("RGB", (SIZE, SIZE), (255, 253, 246))
        return Image.composite(paper, soft, _noise(rng, 9, 5, 90))
    if style == "oil painting":
        strokes = plain.filter(ImageFilter.ModeFilter(5))
        raw = bytes(rng.randint(88, 168) for _ in range(24 * 24))
        canvas = Image.frombytes("L", (24, 24), raw).resize((SIZE * 2, SIZE // 2 * 3))
        canvas = canvas.rotate(35).crop((60, 30, 60 + SIZE, 30 + SIZE))
        canvas = Image.merge("RGB", [canvas] * 3)
        return ImageChops.overlay(strokes, canvas)
    if style == "pencil sketch":
        grey = plain.convert("L")
        lines = _lines(grey)
        shading = grey.point(lambda v: 150 + v * 2 // 5)
        sketch = _ramp(shading, (0, 0, 0), (250, 248, 240))
        paper = Image.blend(
            background, Image.new("RGB", background.size, "white"), 0.12
        )
        sketch = Image.composite(sketch, paper, alpha)
        lines = ImageChops.lighter(
            lines, ImageChops.difference(_outline(alpha, 1), alpha)
        )
        sketch.paste((44, 44, 48), mask=lines)
        return sketch
    if style == "pixel art":
        small = plain.resize((32, 32), Image.Resampling.BOX).quantize(20, kmeans=0)
        return small.convert("RGB").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    if style == "wood carving":
        grey = body.convert("L")
        wood = _ramp(grey, (104, 62, 30), (232, 178, 112))
        d = ImageDraw.Draw(wood)
        for y in range(3, SIZE, GRID):
            d.line((0, y, SIZE, y), fill=(120, 72, 36), width=1)
        wood.paste((50, 28, 12), mask=_lines(plain.convert("L")))
        picture = background.copy()
        picture.paste((50, 28, 12), mask=_outline(alpha, 2))
        picture.paste(wood, mask=alpha)
        return picture
    if style == "sticker":
        picture = background.copy()
        shade = _shifted(_outline(alpha, 3), 2, 3)
        picture.paste((60, 60, 60), mask=shade.point(lambda v: v // 2))
        picture.paste((255, 255, 255), mask=_outline(alpha, 3))
        picture.paste(body, mask=alpha)
        return picture
    if style != "comic":
        raise ValueError(f"{style} is not drawn yet: add it here")
    picture = background.copy()
    picture.paste((0, 0, 0), mask=_outline(alpha, 3))
    picture.paste(body.point(lambda v: v // 64 * 64 + 32), mask=alpha)
    return picture


def render(spec: Spec, rng: random.Random, over: str = "") -> Image.Image:
    """Draw a picture.

    Args:
        spec: What it shows.
        rng: Decides what the spec leaves open: place, exact size, details.
        over: A second style, applied to what the first made of the subject. No caption
            asks for that.

    Returns:
        An RGB picture of 128 x 128 pixels.
    """
    layer, background = _place(spec, rng), _background(spec.background, rng)
    picture = _stylise(spec.style, background, layer, rng)
    if over:
        picture.putalpha(layer.getchannel("A"))
        picture = _stylise(over, background, picture, rng)
    return picture


def pictures(seed: int, count: int, **choice: Any) -> tuple[np.ndarray, list[Spec]]:
    """Draw ``count`` pictures: uint8 array (count, 128, 128, 3) and their specs.

    What may be in them, and how often, is as in :func:`sample`.
    """
    out = np.empty((count, SIZE, SIZE, 3), np.uint8)
    specs = []
    for i in range(count):
        rng = random.Random(f"{seed}/{i}")
        specs.append(sample(rng, **choice))
        out[i] = np.asarray(render(specs[-1], rng))
    return out, specs
