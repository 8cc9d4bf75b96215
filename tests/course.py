"""What several tests do with notebooks: find them, fill their forms, run them."""

import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import torch
from nbformat import NotebookNode
from PIL import Image

from helpers.catalogue import CATALOGUE
from helpers.fields import Field
from tools.execute import Run, execute
from tools.notebooks import fill

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(file: Path) -> NotebookNode:
    return nbformat.read(file, as_version=4)


def cells(file: Path, kind: str) -> list[NotebookNode]:
    return [cell for cell in read(file).cells if cell.cell_type == kind]


def default(field: Field) -> object:
    return field.default


def lowest(field: Field) -> object:
    return field.lowest


def highest(field: Field) -> object:
    """As the field has it; of a list of models, the last that needs no download.

    A slider that stands at its highest is put at its lowest: with the notebook's own
    values it was at its highest already, and training for so long costs minutes.
    """
    if field.kind == "slider" and field.default == field.highest:
        return field.lowest
    here = [o for o in field.options if o not in CATALOGUE or o == "pocket"]
    return here[-1] if here else field.highest


def run(
    file: Path, out: Path, *values: Callable[[Field], object], after: str = ""
) -> Run:
    """Executes a notebook, off line, so that it costs the same on every machine.

    Args:
        file: The notebook.
        out: A folder of the test's own, for what the notebook makes.
        *values: What a field of its forms holds; it runs once for each of these, in
            one kernel, as with "run all" and "run all" again.
        after: Code for one more cell at the end.
    """
    notebook = read(file)
    notebook.cells = [cell for value in values for cell in fill(notebook, value).cells]
    if after:
        notebook.cells.append(nbformat.v4.new_code_cell(after))
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COURSE_OUT": str(out)}
    return execute(notebook, FOLDER, environment=environment)


def shown_text(notebook: NotebookNode) -> str:
    """All text that the cells put out, warnings included."""
    parts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            parts += [output.get("text", ""), output.get("data", {}).get("text/plain")]
    return "\n".join(filter(None, parts))


def pictures(notebook: NotebookNode, kind: str) -> int:
    """How many pictures of a kind, such as "image/png", the cells put out."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return sum(kind in output.get("data", {}) for output in outputs)


def git_answers_with(folder: Path) -> dict[str, str]:
    """Environment in which git finds github.com in a folder of this machine."""
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{folder}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/",
    }


def draw(pipe, prompt="a frog", seed=4, **settings) -> Image.Image:
    """A picture of two steps, made as a notebook makes it."""
    generator = torch.Generator("cpu").manual_seed(seed)
    settings = {"num_inference_steps": 2, **settings}
    return pipe(prompt, generator=generator, **settings).images[0]
