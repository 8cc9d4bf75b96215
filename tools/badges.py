"""Writes what depends on where the course lives, from ``helpers.REPO`` and ``TAG``.

    python tools/badges.py            write
    python tools/badges.py --check    only say what differs, and fail if anything does

That is: the badge and the set-up cell of every notebook (which is brought to its
committed form on the way: no outputs, no widget state), colab_badges.md, and the badges
and the ``git clone`` line of README.md.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers import REPO, TAG
from tools.notebooks import tidy

IMAGE = "https://colab.research.google.com/assets/colab-badge.svg"
COLAB = "https://colab.research.google.com/github"
BADGE = re.compile(rf"\[!\[[^\]]*\]\({re.escape(IMAGE)}\)\]\([^)]*\)")
SETUP = "# @title Set up"


def badge(path: str) -> str:
    """The Markdown of the badge that opens a notebook in Colab.

    Args:
        path: The notebook's path in the repository, with forward slashes.
    """
    return f"[![Open in Colab]({IMAGE})]({COLAB}/{REPO}/blob/{TAG}/{path})"


def setup_cell() -> str:
    """The source of the set-up cell, for this repository and tag."""
    template = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8").strip()
    return template.replace("@REPO@", REPO).replace("@TAG@", TAG)


def written(notebook: NotebookNode, path: str) -> NotebookNode:
    """A copy of a notebook with its badge and set-up cell, ready to commit.

    Args:
        notebook: The notebook, with exactly one set-up cell.
        path: Its path in the repository.

    Raises:
        ValueError: The notebook does not begin with text or lacks the set-up cell.
    """
    copy = tidy(notebook)
    first = copy.cells[0]
    if first.cell_type != "markdown":
        raise ValueError(f"{path}: the first cell has to be the title")
    first.source = f"{badge(path)}\n\n{BADGE.sub('', first.source).strip()}"
    cells = [cell for cell in copy.cells if cell.source.startswith(SETUP)]
    if len(cells) != 1:
        raise ValueError(f"{path}: {len(cells)} cells start with '{SETUP}', not one")
    cells[0].source = setup_cell()
    cells[0].metadata = nbformat.from_dict(
        {"cellView": "form", "jupyter": {"source_hidden": True}}
    )
    return copy


def title_and_sentence(notebook: NotebookNode) -> tuple[str, str]:
    """The heading of a notebook's first cell, and the first sentence under it."""
    text = BADGE.sub("", notebook.cells[0].source)
    title, _, rest = text.partition("# ")[2].partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    return title.strip(), re.match(r".*?[.!?](?=\s|$)|.*", paragraph)[0]


def badges_page(notebooks: dict[str, NotebookNode]) -> str:
    """The text of colab_badges.md.

    Args:
        notebooks: The notebooks by their path in the repository.
    """
    lines = [
        "# Open in Colab",
        "",
        "Written by `make badges`, from the notebooks.",
        "",
        "| notebook | open | what happens there |",
        "|---|---|---|",
    ]
    for path, notebook in notebooks.items():
        title, sentence = title_and_sentence(notebook)
        lines.append(f"| [{title}]({path}) | {badge(path)} | {sentence} |")
    return "\n".join(lines) + "\n"


def readdressed(readme: str) -> str:
    """README.md with its badges and its ``git clone`` line pointing here."""

    def here(match: re.Match) -> str:
        path = match[0].partition("/blob/")[2].partition("/")[2].rstrip(")")
        return badge(path)

    text = BADGE.sub(here, readme)
    return re.sub(
        r"(git clone )https://github\.com/[^\s/]+/[^\s/]+",
        rf"\1https://github.com/{REPO}",
        text,
    )


def expected(root: Path) -> dict[Path, str]:
    """What each file that carries the address should hold.

    Args:
        root: The folder of the course.

    Returns:
        The text by file.
    """
    texts, notebooks = {}, {}
    for file in sorted((root / "notebooks").glob("*.ipynb")):
        path = file.relative_to(root).as_posix()
        notebooks[path] = written(nbformat.read(file, as_version=4), path)
        texts[file] = nbformat.writes(notebooks[path]) + "\n"
    texts[root / "colab_badges.md"] = badges_page(notebooks)
    readme = root / "README.md"
    texts[readme] = readdressed(readme.read_text(encoding="utf-8"))
    return texts


def differing(root: Path) -> list[Path]:
    """The files that are not as `make badges` would write them."""

    def current(file: Path) -> str | None:
        return file.read_text(encoding="utf-8") if file.exists() else None

    return [file for file, text in expected(root).items() if current(file) != text]


def main() -> int:
    """Writes the files, or with ``--check`` names those that differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    texts = expected(ROOT)
    for file in (changed := differing(ROOT)):
        name = file.relative_to(ROOT).as_posix()
        if check:
            print(f"{name} differs from what `make badges` writes")
        else:
            file.write_text(texts[file], encoding="utf-8")
            print(f"wrote {name}")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
