"""Writes what depends on where the course lives: an address on GitHub, and a tag.

    python tools/badges.py            write, with the address of git's ``origin``
    python tools/badges.py --repo ada/hippos --tag spring-2027
    python tools/badges.py --check    only say what differs, and fail if anything does

That is: ``REPO`` and ``TAG`` in helpers/__init__.py, the badge and the set-up cell of
every notebook (which is brought to its committed form on the way: no outputs, no widget
state), colab_badges.md, and the badges and the ``git clone`` line of README.md.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
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


PLACEHOLDER = "OWNER/NAME"
NOTE = (
    "*These badges lead nowhere yet: nobody has said where the course lives. "
    "After `make badges` they open this copy.*"
)
NAME = r"[A-Za-z0-9-]+/[\w.-]+?"
GITHUB = re.compile(
    # https://, ssh:// and git@github.com: alike, with a user and a port or without
    r"(?:\w+://)?(?:[^@/\s]+@)?(?:www\.|ssh\.)?github\.com(?::\d+(?=/))?[:/]/*"
    rf"(?P<repo>{NAME})(?:\.git)?/*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Address:
    """Where a copy of the course lives.

    Attributes:
        repo: Its owner and name on GitHub, as in ``ada/hippos``.
        tag: What a notebook opened in Colab fetches: a tag or a branch.
    """

    repo: str = REPO
    tag: str = TAG


HERE = Address()


def repo_of(text: str) -> str | None:
    """``owner/name`` out of an address on GitHub; None where it is none."""
    match = GITHUB.fullmatch(text) or re.fullmatch(rf"(?P<repo>{NAME})", text)
    return match["repo"] if match else None


def origin(root: Path) -> str | None:
    """The repository on GitHub that a folder was cloned from; None where it is none."""
    if not (root / ".git").exists():  # a folder inside some other repository
        return None
    ask = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        told = subprocess.run(ask, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    url = told.stdout.strip()
    return repo_of(url) if GITHUB.fullmatch(url) else None


def badge(path: str, address: Address = HERE) -> str:
    """The Markdown of the badge that opens a notebook in Colab.

    Args:
        path: The notebook's path in the repository, with forward slashes.
        address: Where the repository is.
    """
    url = f"{COLAB}/{address.repo}/blob/{address.tag}/{path}"
    return f"[![Open in Colab]({IMAGE})]({url})"


def setup_cell(address: Address = HERE) -> str:
    """The source of the set-up cell."""
    template = (ROOT / "tools" / "setup_cell.py").read_text(encoding="utf-8").strip()
    return template.replace("@REPO@", address.repo).replace("@TAG@", address.tag)


def written(notebook: NotebookNode, path: str, address: Address = HERE) -> NotebookNode:
    """A copy of a notebook with its badge and set-up cell, ready to commit.

    Args:
        notebook: The notebook, with exactly one set-up cell.
        path: Its path in the repository.
        address: Where the repository is.

    Raises:
        ValueError: The notebook does not begin with text or lacks the set-up cell.
    """
    copy = tidy(notebook)
    first = copy.cells[0]
    if first.cell_type != "markdown":
        raise ValueError(f"{path}: the first cell has to be the title")
    first.source = f"{badge(path, address)}\n\n{BADGE.sub('', first.source).strip()}"
    cells = [cell for cell in copy.cells if cell.source.startswith(SETUP)]
    if len(cells) != 1:
        raise ValueError(f"{path}: {len(cells)} cells start with '{SETUP}', not one")
    cells[0].source = setup_cell(address)
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


def badges_page(notebooks: dict[str, NotebookNode], address: Address = HERE) -> str:
    """The text of colab_badges.md.

    Args:
        notebooks: The notebooks by their path in the repository.
        address: Where the repository is.
    """
    lines = [
        "# Open in Colab",
        "",
        "Written by `make badges`, from the notebooks.",
        "",
        *([NOTE, ""] if address.repo == PLACEHOLDER else []),
        "| notebook | open | what happens there |",
        "|---|---|---|",
    ]
    for path, notebook in notebooks.items():
        title, sentence = title_and_sentence(notebook)
        lines.append(f"| [{title}]({path}) | {badge(path, address)} | {sentence} |")
    return "\n".join(lines) + "\n"


def readdressed(readme: str, address: Address = HERE) -> str:
    """README.md with its badges and its ``git clone`` line pointing to an address."""

    def there(match: re.Match) -> str:
        path = match[0].partition("/blob/")[2].partition("/")[2].rstrip(")")
        return badge(path, address)

    text = BADGE.sub(there, readme.replace(f"\n\n{NOTE}", ""))
    if address.repo == PLACEHOLDER:
        text = BADGE.sub(lambda match: f"{match[0]}\n\n{NOTE}", text, count=1)
    return re.sub(
        r"(git clone )https://github\.com/[^\s/]+/[^\s/]+",
        rf"\1https://github.com/{address.repo}",
        text,
    )


def remembered(source: str, address: Address) -> str:
    """helpers/__init__.py with an address in it."""
    for name, value in (("REPO", address.repo), ("TAG", address.tag)):
        source = re.sub(rf'(?m)^{name} = "[^"]*"', f'{name} = "{value}"', source)
    return source


def expected(root: Path, address: Address = HERE) -> dict[Path, str]:
    """What each file that carries the address should hold.

    Args:
        root: The folder of the course.
        address: Where its repository is.

    Returns:
        The text by file.
    """
    texts, notebooks = {}, {}
    for file in sorted((root / "notebooks").glob("*.ipynb")):
        path = file.relative_to(root).as_posix()
        notebook = nbformat.read(file, as_version=4)
        notebooks[path] = written(notebook, path, address)
        texts[file] = nbformat.writes(notebooks[path]) + "\n"
    texts[root / "colab_badges.md"] = badges_page(notebooks, address)
    for name, rewrite in (
        ("README.md", readdressed),
        ("helpers/__init__.py", remembered),
    ):
        text = (root / name).read_text(encoding="utf-8")
        texts[root / name] = rewrite(text, address)
    return texts


def differing(root: Path, address: Address = HERE) -> list[Path]:
    """The files that are not as `make badges` would write them."""

    def current(file: Path) -> str | None:
        return file.read_text(encoding="utf-8") if file.exists() else None

    texts = expected(root, address)
    return [file for file, text in texts.items() if current(file) != text]


def asked_for(options: argparse.Namespace) -> Address:
    """The address that the command line means.

    Raises:
        ValueError: There is none yet, or it is not one on GitHub.
    """
    repo = repo_of(options.repo) if options.repo else None
    if options.repo and not repo:
        raise ValueError(f"{options.repo} is not owner/name of a repository on GitHub")
    if options.tag and not re.fullmatch(r"\w[\w.-]*", options.tag, re.ASCII):
        raise ValueError(f"a tag is letters, digits, . - and _, not {options.tag!r}")
    if not options.check and not repo:
        repo = origin(ROOT)
        if not repo and REPO == PLACEHOLDER:
            raise ValueError(
                "git's origin is no repository on GitHub: say where the course will "
                "live, as in `make badges REPO=ada/hippos`"
            )
    if repo and repo.lower() == REPO.lower():  # to GitHub they are the same
        repo = REPO
    return Address(repo or REPO, options.tag or TAG)


def main() -> int:
    """Writes the files, or with ``--check`` names those that differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="instead of git's origin")
    parser.add_argument("--tag", help="instead of the one before")
    options = parser.parse_args()
    try:
        address = asked_for(options)
    except ValueError as problem:
        parser.error(str(problem))
    texts = expected(ROOT, address)
    changed = differing(ROOT, address)
    for file in changed:
        name = file.relative_to(ROOT).as_posix()
        if options.check:
            print(f"{name} differs from what `make badges` writes for {address.repo}")
        else:
            file.write_text(texts[file], encoding="utf-8")
            print(f"wrote {name}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
