"""Any picture that a learner has, as a model wants it."""

from __future__ import annotations

import errno
import io
import mimetypes
import re
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from helpers.errors import Mistake
from helpers.names import show

PNG = b"\x89PNG\r\n\x1a\n"
SHOWS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}  # what a PNG looks like
HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
PHOTOS = {".heic", ".heif", ".avif", ".jxl", ".dng", ".raw", ".cr2", ".cr3", ".nef"}
PHOTOS |= {".arw", ".orf", ".rw2", ".raf"}
TURN = {  # by what the camera wrote: how it was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
NO_FILE = {  # what a system says of a path where no file can be; Python says nothing
    errno.ENOENT,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    None,
}
WHY = {  # a picture of a folder is left out
    "no file": "not there",
    "not allowed": "may not be read",
    "too large": "too many pixels",
    "no picture": "damaged, or of a kind that cannot be read here",
    "heic": "HEIC: export it as JPEG",
}


def open_picture(
    source: str | Path | bytes, size: int | tuple[int, int]
) -> Image.Image:
    """Opens any picture as a model wants it: upright, RGB, cut to size.

    What is transparent becomes white, of an animation the first frame is taken. Grey of
    16 bits becomes 8 by 257. Whole numbers of 32 bits and floats are taken for what
    holds them all: up to 1 (floats only), 255 or 65535 is white; others are stretched
    from the smallest, black, to the largest.

    Args:
        source: A file's path, or what is in it.
        size: Pixels: the side of a square, or width and height.

    Raises:
        Mistake: There is no such file, or it is no picture, or too large to open.
    """
    box = (size, size) if isinstance(size, int) else size
    picture = ImageOps.fit(read(source, box), box, Image.LANCZOS)
    picture.info = {}  # the camera's words hold for the file, not for this
    return picture


def open_pictures(folder: str | Path, size: int | tuple[int, int]) -> list[Image.Image]:
    """Opens all pictures of a folder, in the order of their names; see `open_picture`.

    A picture is what its name says is one; hidden files are none. What cannot be read
    is left out, and told. Each picture's ``info["name"]`` is the name of its file,
    without the ending where no other picture has the same.

    Raises:
        Mistake: There is no such folder, or no picture in it that can be read.
    """
    folder = Path(folder)
    name = folder.name or folder.resolve().name
    if folder.is_file():
        raise Mistake(
            "no folder",
            f"“{name}” is a file: take the folder that it is in.",
        )
    if not folder.is_dir():
        raise Mistake(
            "no folder",
            f"There is no folder “{name}” here: make it and put pictures in.",
        )
    files = sorted(file for file in folder.iterdir() if _is_picture(file.name))
    if not files:
        raise Mistake(
            "no pictures",
            f"The folder “{name}” holds no pictures: put some into it.",
        )
    opened, left_out = {}, []
    for file in files:
        try:
            opened[file] = open_picture(file, size)
        except Mistake as mistake:
            left_out.append(f"{file.name} ({WHY[mistake.kind]})")
    told = ", ".join(left_out[:5])
    if len(left_out) > 5:
        told += f", and {len(left_out) - 5} more"
    if not opened:
        raise Mistake(
            "no picture",
            f"Of the pictures in “{name}” none can be read here: {told}.",
        )
    if left_out:
        print(f"{len(opened)} pictures taken, {len(left_out)} left out: {told}.")
    stems = [file.stem for file in opened]
    for file, picture in opened.items():
        alone = stems.count(file.stem) == 1
        picture.info["name"] = file.stem if alone else file.name
    return list(opened.values())


def read(source: str | Path | bytes, box: tuple[int, int] | None = None) -> Image.Image:
    """A picture as it is in its file, upright and RGB, with its ``info``.

    Args:
        source: A file's path, or what is in it.
        box: The least width and height that are needed; a large JPEG is read faster.

    Raises:
        Mistake: As of ``open_picture``.
    """
    is_file = not isinstance(source, bytes)
    name = f"“{show(Path(source).name)}”" if is_file else "This"
    data = _read_file(Path(source), name) if is_file else source
    try:
        return _decode_bare(data, box)
    except (Image.DecompressionBombError, MemoryError):
        raise Mistake(
            "too large",
            f"{name} has more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million "
            "pixels: make it smaller first.",
        ) from None
    except Exception:  # on odd bytes Pillow raises whatever its parts do
        if data[4:8] == b"ftyp" and data[8:12] in HEIF:
            raise Mistake(
                "heic",
                f"{name} is a HEIC photo, which cannot be read here: export it as JPEG "
                "(on an iPhone: Settings, Camera, Formats, Most Compatible).",
            ) from None
        raise Mistake(
            "no picture",
            f"{name} is not a picture that can be read here, or a part of it is "
            "missing: save it again as PNG or JPEG.",
        ) from None


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode in 8 bits, what is transparent white; see `open_picture`.

    (``convert`` cuts off above 255, and does not know every mode.)
    """
    if image.mode[0] in "IF":
        return _grey(image).convert("RGB")
    if image.mode == "LAB":
        profiles = [ImageCms.createProfile(space) for space in ("LAB", "sRGB")]
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(float), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    if image.mode == "I" and image.format in ("PNG", "PPM"):
        whites = (65535,)  # 16 bits, by what these formats are
    white = next((white for white in whites if 0 <= low and high <= white), None)
    if white is None:
        values, white = values - low, high - low
    grey = values * (255 / white)
    if "transparency" in image.info:
        grey[np.asarray(image) == image.info["transparency"]] = 255
    return Image.fromarray(grey.round().astype(np.uint8))


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except PermissionError:
        raise Mistake(
            "not allowed",
            f"{name} may not be read: copy it into the notebook's folder.",
        ) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) not in NO_FILE:
            raise
        if isinstance(error, IsADirectoryError):
            raise _is_folder(path) from None
        if re.match(r"\w+:/+\w+\.\w", str(path)):
            raise Mistake(
                "no file",
                f"{name} is an address on the web: download the picture first, and "
                "take the name of the file.",
            ) from None
        raise Mistake(
            "no file",
            f"There is no file {name} here: upload it into the notebook's folder "
            "first.",
        ) from None


def _is_folder(path: Path) -> Mistake:
    inside = sorted(file.name for file in path.iterdir() if _is_picture(file.name))
    such = f", such as “{inside[0]}”" if inside else ""
    name = path.name or path.resolve().name
    return Mistake("no file", f"“{name}” is a folder: take a picture in it{such}.")


def _decode_bare(data: bytes, box: tuple[int, int] | None) -> Image.Image:
    """A picture from its bytes; a PNG whose metadata cannot be read, without them."""
    try:
        return _decode(data, box)
    except Image.DecompressionBombError:
        raise
    except Exception:
        if not data.startswith(PNG):
            raise
        return _decode(_without_metadata(data), box)


def _decode(data: bytes, box: tuple[int, int] | None) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            if box:
                image.draft("RGB", (2 * box[0], 2 * box[1]))  # reads large JPEGs fast
            image.load()
            turn = _turn(image)
            rgb = as_rgb(image)
            rgb.info = dict(image.info)
            return rgb if turn is None else rgb.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to turn a photo upright; one whose EXIF cannot be read stays as it is."""
    try:
        return TURN.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # whatever Pillow raises on odd bytes, as above
        return None


def _without_metadata(data: bytes) -> bytes:
    """A PNG with only what says how it looks: Pillow refuses long texts beside it."""
    kept, start = [PNG], len(PNG)
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length  # its length, kind and checksum are around it
        if kind in SHOWS:
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _is_picture(name: str) -> bool:
    ending = Path(name).suffix.lower()
    by_name = mimetypes.guess_type(name)[0] or ""
    known = ending in PHOTOS or ending in Image.registered_extensions()
    return not name.startswith(".") and (known or by_name.startswith("image/"))
