"""Notebooks: each runs from end to end, and lies in the repository as it should."""

import ast
import itertools
import re

import pytest
from course import (
    FOLDER,
    NOTEBOOKS,
    ROOT,
    cells,
    default,
    highest,
    pictures,
    read,
    run,
    shown_text,
)
from lessons import CLAIMS

from helpers.fields import fields
from tools.badges import BADGE, badge, setup_cell
from tools.execute import IMAGE, render
from tools.notebooks import CELL_METADATA

PAGES = [ROOT / "README.md", ROOT / "colab_badges.md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
NUMBERED = re.compile(r"\d+[.)]\s")
WORDS, WIDTH = 120, 88
# Those that take long run as they are only; about how many seconds.
LONG = {"01": 60, "02": 80, "03": 130, "04": 80}
LONG |= {"05": 170, "06": 350, "08": 70, "09": 100}
LONG |= {"10": 120, "11": 100, "12": 130}
LONG |= {"13": 160, "14": 140, "15": 190, "16": 110}

every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


# Running them

SOLVE = """
from helpers.exercises.engine import Exercise
for name, exercise in dict(vars(checks)).items():
    if isinstance(exercise, Exercise):
        print(name, end=": ")
        exec(exercise.solution_text)
        exercise.check(globals()[name], *([pipe] if name == "my_draw" else []))
"""


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            file,
            id=file.stem,
            marks=pytest.mark.seconds(LONG.get(file.stem[:2], 80)),
        )
        for file in NOTEBOOKS
    ],
)
def test_runs(file, tmp_path):
    """With every field at its highest (unless it takes long), then as it is.

    In one kernel. As it is, its claims hold; then its solutions pass, with the names it
    has. At their lowest, fields are tried with the versions of Colab.
    """
    values = [default] if file.stem[:2] in LONG else [highest, default]
    result = run(file, tmp_path, *values, after=SOLVE)
    assert result.error is None
    *all_runs, solved = result.notebook.cells
    notebook = result.notebook
    notebook.cells = all_runs[-len(read(file).cells) :]  # as it is
    stills = pictures(notebook, "image/png")
    assert stills > 0
    text = shown_text(notebook)
    assert str(ROOT) not in text, "an output names a folder of this machine"
    assert "Warning" not in text, "a learner sees a warning"
    page = render(notebook, FOLDER, file.stem)
    assert page.count('src="data:image/') >= stills
    assert page.count('src="data:image/gif') == pictures(notebook, "image/gif")
    assert "<IPython.core.display.Image object>" not in page, "a film is not inside"
    assert str(ROOT) not in page
    assert not re.search(r'<img[^>]+src="(?!data:)', page), "a picture is not inside"
    if file == NOTEBOOKS[0]:
        assert (tmp_path / "first_picture.png").is_file()
    CLAIMS.get(file.stem, lambda out: None)(tmp_path)
    streams = [o for o in solved.outputs if o.get("name") == "stdout"]
    said = "".join(stream.text for stream in streams).splitlines()
    assert len(said) == 3 and all(line.endswith(": Correct.") for line in said), said


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
def test_no_sentence_turns_into_a_list(file):
    """A line that wraps before "1. So" becomes a list, and its number is gone."""
    for cell in cells(file, "markdown"):
        lines = cell.source.splitlines()
        for before, line in itertools.pairwise(lines):
            if NUMBERED.match(line) and not NUMBERED.match(before):
                assert not before.strip() or before.startswith(" "), line


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
def test_mistakes_have_a_kind_and_a_sentence(file):
    for cell in cells(file, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Mistake":
                assert len(node.args) == 2, ast.unparse(node)


@every_notebook
def test_loads_its_model_again_as_it_did_at_first(file):
    """Or another scheduler draws: with LCM's own, 05 was surprised by its picture."""
    ways = {
        tuple(ast.unparse(keyword) for keyword in node.keywords)
        for cell in cells(file, "code")
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load"
        if not isinstance(node.args[0], ast.Constant)
    }
    assert len(ways) <= 1, ways


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
