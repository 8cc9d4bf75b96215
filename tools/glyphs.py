"""Draws the emoji that the pocket model's world is made of, for subjects that are new.

    python tools/glyphs.py [/path/to/NotoColorEmoji.ttf]

The world opens these pictures and needs no font: fonts, and the libraries that join a
person and a rocket into an astronaut, differ from machine to machine. On Debian the
font is in the package fonts-noto-color-emoji.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image, ImageDraw, ImageFont

from pocket.world import characters, glyph_file

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"


def main(path: str = FONT) -> None:
    font = ImageFont.truetype(path, 109)  # the size that its pictures have
    for character in characters():
        file = glyph_file(character)
        if not file.exists():
            picture = Image.new("RGBA", (136, 128))
            draw = ImageDraw.Draw(picture)
            draw.text((0, 0), character, font=font, embedded_color=True)
            picture.crop(picture.getbbox()).save(file, optimize=True)
            print(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
