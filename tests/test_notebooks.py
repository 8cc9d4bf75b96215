"""Notebooks: each runs from end to end, and lies in the repository as it should."""

import os
import re
import time
from copy import deepcopy
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from helpers.forms import Field, fields
from helpers.models import CATALOGUE
from tools.badges import BADGE, badge, setup_cell
from tools.execute import IMAGE, Run, execute, render
from tools.notebooks import CELL_METADATA, fill

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "colab_badges.md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
WORDS, WIDTH = 120, 88
STARTED = time.time()

every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


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


def run(file: Path, value, times: int = 1) -> Run:
    """Executes a notebook, off line, so that it costs the same on every machine.

    More than once means that often in one kernel, as with "run all".
    """
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    notebook = fill(read(file), value)
    notebook.cells = [deepcopy(cell) for _ in range(times) for cell in notebook.cells]
    return execute(notebook, FOLDER, environment=offline)


@cache
def own_run(file: Path) -> Run:
    """A run with the values that stand in the notebook, once for all tests."""
    return run(file, default)


def shown_text(notebook: NotebookNode) -> str:
    """All text that the cells put out, warnings included."""
    parts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            parts += [output.get("text", ""), output.get("data", {}).get("text/plain")]
    return "\n".join(filter(None, parts))


def picture_count(notebook: NotebookNode) -> int:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


# Running them


@every_notebook
def test_runs_with_its_own_values(file):
    result = own_run(file)
    assert result.error is None
    assert picture_count(result.notebook) > 0
    text = shown_text(result.notebook)
    assert str(ROOT) not in text, "an output names a folder of this machine"
    assert "Warning" not in text, "a learner sees a warning"
    page = render(result.notebook, FOLDER, file.stem)
    assert page.count('src="data:image/') >= picture_count(result.notebook)
    assert str(ROOT) not in page
    assert not re.search(r'<img[^>]+src="(?!data:)', page), "a picture is not inside"


@every_notebook
@pytest.mark.parametrize(("value", "times"), [(lowest, 2), (highest, 1)])
def test_runs_with_every_field_at_its_end(file, value, times):
    """The quick end twice over in one kernel; what trains, once: it takes minutes."""
    result = run(file, value, 1 if file.stem[:2] in ("05", "06") else times)
    assert result.error is None


def test_the_first_notebook_saves_the_first_picture():
    own_run(NOTEBOOKS[0])
    picture = ROOT / "out" / "first_picture.png"
    assert picture.stat().st_mtime > STARTED, "the picture is of an earlier run"


# How they lie in the repository


def test_there_are_notebooks():
    assert NOTEBOOKS


@every_notebook
def test_holds_no_outputs_and_no_state_of_widgets(file):
    notebook = read(file)
    assert "widgets" not in notebook.metadata
    assert notebook.metadata["accelerator"] == "GPU"
    assert notebook.metadata["colab"]["gpuType"] == "T4"
    for cell in notebook.cells:
        assert set(cell.metadata) <= CELL_METADATA
        assert not cell.get("outputs") and cell.get("execution_count") is None


@every_notebook
def test_badge_opens_this_notebook(file):
    first = read(file).cells[0].source
    assert BADGE.findall(first) == [badge(f"notebooks/{file.name}")]


@every_notebook
def test_has_the_set_up_cell_once_and_first(file):
    code = [cell.source for cell in cells(file, "code")]
    assert code[0] == setup_cell()
    assert code.count(setup_cell()) == 1


@every_notebook
def test_text_is_brief(file):
    for cell in cells(file, "markdown"):
        prose = LINK.sub("link", IMAGE.sub("", BADGE.sub("", cell.source)))
        assert len(prose.split()) <= WORDS, cell.source


@every_notebook
def test_lines_of_code_fit(file):
    """Form fields aside: they have to stand on one line."""
    for cell in cells(file, "code"):
        for line in cell.source.splitlines():
            assert len(line) <= WIDTH or "# @param" in line, line


@every_notebook
def test_forms_offer_what_they_say(file):
    for cell in cells(file, "code"):
        for field in fields(cell.source):
            field.check()


@every_notebook
def test_asks_for_no_secret(file):
    """What is typed into a form is saved with the notebook."""
    for cell in cells(file, "code"):
        for field in fields(cell.source):
            assert not re.search("token|password|secret|key", field.name.lower())


def texts() -> list:
    pages = [pytest.param(p, p.read_text(), id=p.name) for p in PAGES if p.exists()]
    for file in NOTEBOOKS:
        text = "\n\n".join(cell.source for cell in cells(file, "markdown"))
        pages.append(pytest.param(file, text, id=file.name))
    return pages


@pytest.mark.parametrize(("file", "text"), texts())
def test_pictures_and_links_lead_somewhere(file, text):
    for picture in IMAGE.finditer(text):
        assert picture["alt"].strip(), f"{picture[0]} has no text for who cannot see it"
    targets = [
        match["target"] for match in [*IMAGE.finditer(text), *LINK.finditer(text)]
    ]
    for target in targets:
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (file.parent / path).exists(), target
    assert "<img" not in text, "write pictures as ![text](file)"


def test_readme_names_every_notebook():
    text = (ROOT / "README.md").read_text()
    for file in NOTEBOOKS:
        assert f"](notebooks/{file.name})" in text
