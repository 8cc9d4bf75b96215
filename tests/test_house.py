"""The house: who may import whom, and how large a room may be."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
TESTS = sorted((ROOT / "tests").glob("*.py"))

every_helper = pytest.mark.parametrize(
    "file", HELPERS, ids=lambda file: str(file.relative_to(ROOT))
)


def imported(file: Path) -> set[str]:
    """All modules that a file imports, for types and inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return names


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def test_no_two_helpers_import_each_other():
    modules = {module(file): file for file in HELPERS}
    graph = {name: imported(file) & modules.keys() for name, file in modules.items()}
    assert len(graph["helpers.models"]) > 5, "the imports are not found"
    TopologicalSorter(graph).prepare()  # raises CycleError


@every_helper
def test_a_helper_knows_nothing_of_pocket_tools_or_tests(file):
    first = {name.partition(".")[0] for name in imported(file)}
    assert not first & {"pocket", "tools", "tests", "benchmarks", "notebooks"}


@every_helper
def test_rooms_are_small(file):
    text = file.read_text()
    assert len(text.splitlines()) <= 320
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name


def test_notebooks_find_every_helper_in_the_list():
    """What ``helpers/__init__.py`` says is there is there, and nothing else is."""
    said = (ROOT / "helpers" / "__init__.py").read_text().split('"""')[1]
    listed = {line.split()[0] for line in said.splitlines() if line.startswith("    ")}
    parts = {file.relative_to(ROOT / "helpers").parts[0] for file in HELPERS}
    assert listed == {part.removesuffix(".py") for part in parts} - {
        "__init__",
        "__main__",
    }


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_tests_import_no_tests_and_no_benchmarks(file):
    names = imported(file)
    assert not [n for n in names if n.partition(".")[0].startswith("test_")]
    assert not [n for n in names if n.partition(".")[0] == "benchmarks"]


def test_one_engine_saves_and_resumes():
    """And one file writes it; ``torch.save`` stands beside it for encoded pictures."""
    places = [ROOT / "helpers", ROOT / "pocket"]
    found = [
        file.relative_to(ROOT).as_posix()
        for place in places
        for file in sorted(place.rglob("*.py"))
        if "load_state_dict(state" in file.read_text()
        or "torch.save(" in file.read_text()
    ]
    engine = ["helpers/checkpoints.py", "helpers/training.py"]
    assert found == [*engine, "pocket/train.py"]
    assert (ROOT / "pocket" / "train.py").read_text().count("torch.save(") == 1
