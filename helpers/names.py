"""What a typed name means: an entry of the catalogue, a folder, or a hub's address."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from safetensors import SafetensorError, safe_open

from helpers.catalogue import CATALOGUE, POCKET, SUCCESSORS, Model
from helpers.errors import Mistake

ROOT = POCKET.parents[1]  # of the course, where paths in its texts begin
INDEX = "model_index.json"  # what makes a folder a pipeline
LONGEST = 80  # letters of a name that a sentence repeats

_URL = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^/?#]+/[^/?#]+)"
    r"(?:/(?:tree|blob|resolve)/([^/?#]+))?.*"
)


def find_model(name: str | os.PathLike[str]) -> tuple[Model, str]:
    """Finds what a name means, with quotes, spaces and capitals that crept in.

    Args:
        name: A name in ``CATALOGUE``; a folder, from here or from the course's; or an
            address on the hub, which may end in ``@`` and a branch, tag or commit.

    Returns:
        The model, and the reason in a few words.

    Raises:
        Mistake: The name means nothing, or a model that was taken off the hub, or
            something on this disk that is no pipeline.
    """
    text = tidy(os.fspath(name))
    if model := _listed(text):
        if model.name == "pocket" and not POCKET.is_dir():
            raise Mistake(
                "missing", f"The pocket model is missing: {POCKET} should hold it."
            )
        return model, "you chose it"
    if place := _on_disk(text):
        folder = Path(pipeline_in(place)).resolve()
        return _listed(str(folder)) or Model(folder.name, str(folder)), (
            "you chose this folder"
        )
    if url := _URL.fullmatch(text):
        text = "@".join(part for part in url.groups() if part not in (None, "main"))
    if model := _at_address(text):
        return model, "you chose it by its address"
    raise _unknown(text)


def tidy(text: str) -> str:
    """A name without the spaces and quotes around it, and an ``@`` before nothing."""
    return text.strip(" @\t\r\n\"'`“”„‘’«»")


def _listed(text: str) -> Model | None:
    """The entry of a name or an id, in whatever case."""
    known = {model.id: model for model in reversed(CATALOGUE.values())} | CATALOGUE
    typed = "-".join(text.lower().split())
    return next((m for key, m in known.items() if typed == key.lower()), None)


def _at_address(text: str) -> Model | None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    id, _, revision = text.partition("@")
    if id in SUCCESSORS:
        raise Mistake("gone", f"“{id}” was taken off the hub: take “{SUCCESSORS[id]}”.")
    try:
        validate_repo_id(id)
    except HFValidationError:
        return None
    if "/" not in id or not all(map(_is_printed, id + revision)):
        return None
    found = _listed(id) or Model(id, id)
    return replace(found, revision=revision) if revision else found


def _is_printed(letter: str) -> bool:
    return letter.isascii() and letter.isprintable()


def find_path(text: str | os.PathLike[str], *folders: str | os.PathLike[str]) -> Path:
    """The file or folder that somebody means, from here or from one of some folders.

    Quotes and spaces around it, a ``~``, ``file://`` and the backslashes of Windows
    are understood. Where there is nothing of that name, the name comes back, tidied.
    """
    text = tidy(os.fspath(text))
    if text.lower().startswith("file://"):
        text = unquote(text[7:])
    for path in dict.fromkeys((text, text.replace("\\", "/"))):
        if path == "~" or path.startswith("~/"):  # another's home is no one's model
            path = os.path.expanduser("~") + path[1:]
        for folder in ("", *folders):
            place = os.path.join(folder, path)
            if text and os.path.exists(place):  # no error, whatever the path is
                return Path(place)
    return Path(text.replace("\\", "/"))


def _on_disk(text: str) -> str | None:
    """The path that a name is, from here or from the course's folder."""
    place = find_path(text, ROOT)
    return str(place) if text and os.path.exists(place) else None


def pipeline_in(place: str) -> str:
    """The folder of a pipeline that a path leads to.

    Raises:
        Mistake: It leads to something else, which is named, with what to do.
    """
    if os.path.basename(place) == INDEX:
        place = os.path.dirname(place)
    if os.path.isfile(os.path.join(place, INDEX)):
        return place
    shown = show(os.path.basename(os.path.abspath(place)))
    if not os.path.isdir(place):
        raise _single_file(place, shown)
    above = os.path.dirname(os.path.abspath(place))
    if os.path.isfile(os.path.join(above, INDEX)):
        raise Mistake(
            "not a pipeline",
            f"“{shown}” is a part of a pipeline: take the folder above it, “{above}”.",
        )
    inside = sorted(path.parent for path in Path(place).glob(f"*/{INDEX}"))
    if inside:
        raise Mistake(
            "not a pipeline",
            f"“{shown}” is no pipeline, but one is in it: take “{inside[0]}”.",
        )
    files = sorted(Path(place).glob("*.safetensors"))
    if files:
        raise _single_file(str(files[0]), show(f"{shown}/{files[0].name}"))
    raise Mistake(
        "not a pipeline",
        f"The folder “{shown}” holds no {INDEX}, so it is no pipeline: take a folder "
        "that pipe.save_pretrained wrote.",
    )


def _single_file(path: str, shown: str) -> Mistake:
    """What to say of a file, by what is in it; no number of it is read."""
    kind = Path(path).suffix.lower()
    if kind in (".ckpt", ".pt", ".pth", ".bin"):
        return Mistake(
            "single file",
            f"“{shown}” is a pickle file, which can run any program on this machine: "
            "take the model's .safetensors file, or a name from the list.",
        )
    if kind != ".safetensors":
        return Mistake("not a pipeline", f"“{shown}” is no model: take a folder.")
    try:
        with safe_open(path, "pt") as file:
            keys = list(file.keys())
    except (SafetensorError, OSError):
        return Mistake("damaged", f"“{shown}” is damaged: copy it again.")
    if any("lora" in key.lower() for key in keys):
        return Mistake(
            "lora",
            f"“{shown}” is a LoRA, which changes a model: load one, then "
            f'pipe.load_lora_weights("{show(path)}").',
        )
    if any(key.startswith("model.diffusion_model.") for key in keys):
        return Mistake(
            "single file",
            f"“{shown}” is a model in a single file: convert it once, with "
            f'StableDiffusionPipeline.from_single_file("{show(path)}")'
            f'.save_pretrained("{Path(path).stem}"), and load that folder.',
        )
    return Mistake(
        "not a pipeline",
        f"“{shown}” holds weights, but not those of a whole model: take a folder that "
        "pipe.save_pretrained wrote.",
    )


def show(text: str) -> str:
    """A name as a sentence repeats it: not too long, and nothing that is not seen."""
    seen = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return seen if len(seen) <= LONGEST else f"{seen[:LONGEST]}…"


def _unknown(text: str) -> Mistake:
    names = ["auto", *CATALOGUE, *(model.id for model in CATALOGUE.values())]
    lower = {name.lower(): name for name in reversed(names)}
    typed = "-".join(text[:LONGEST].lower().split())
    if near := difflib.get_close_matches(typed, lower, n=1, cutoff=0.75):
        instead = f"you may mean {lower[near[0]]}"
    else:
        instead = (
            f"take auto, {', '.join(CATALOGUE)}, or an address on the hub such as "
            "CompVis/stable-diffusion-v1-4"
        )
    return Mistake("no model", f"There is no model “{show(text)}”: {instead}.")
