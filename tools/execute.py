"""Executes notebooks from a fresh kernel and renders them as pages.

    python tools/execute.py notebooks/01_pipeline_basics.ipynb
    python tools/execute.py notebooks/*.ipynb
    python tools/execute.py notebooks/01_pipeline_basics.ipynb --set my_steps=10

A page, ``out/<name>.html``, holds every output and every picture inside the one file;
what the notebook makes lies beside it.
"""

import argparse
import base64
import difflib
import io
import mimetypes
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from helpers.fields import Field, fields
from tools.notebooks import fill, typed

IMAGE = re.compile(r"!\[(?P<alt>[^\]]*)\]\((?P<target>[^)\s]+)\)")
WIDGET = "application/vnd.jupyter.widget-view+json"

# Runs after the last cell. On Linux `resource` would count the parent's memory as well.
PEAK = """\
import resource, sys
from pathlib import Path
_status = Path("/proc/self/status")
if _status.exists():
    _peak = int(_status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
else:
    _unit = 1 if sys.platform == "darwin" else 1024
    _peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _unit
print(_peak)
"""


@dataclass
class Run:
    """What executing a notebook gave.

    Attributes:
        notebook: A copy of it, with outputs.
        seconds: How long all its cells took, the kernel's start included.
        peak_bytes: The most memory its kernel held; 0 where it failed.
        error: The message of the cell that failed, or None.
    """

    notebook: NotebookNode
    seconds: float
    peak_bytes: int = 0
    error: str | None = None


def execute(
    notebook: NotebookNode,
    folder: Path,
    on_cell: Callable[[int, int], None] = lambda number, count: None,
    environment: dict[str, str] | None = None,
) -> Run:
    """Executes a notebook from the first cell to the last, or to the first error.

    Args:
        notebook: The notebook; it stays as it is.
        folder: Where its kernel works.
        on_cell: Called before each cell, with its number from 1 and their count.
        environment: The kernel's environment variables; None passes on our own.

    Returns:
        The notebook with outputs, time, memory, and the error if there was one.
    """
    copy = nbformat.from_dict(notebook)
    count = len(copy.cells)
    copy.cells = [*copy.cells, nbformat.v4.new_code_cell(PEAK)]
    client = NotebookClient(
        copy,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--log-level=40"],  # errors, no advice on encryption
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: on_cell(
            min(cell_index + 1, count), count
        ),
    )
    error = None
    start = time.perf_counter()
    try:
        client.execute(**({"env": environment} if environment else {}))
    except (CellExecutionError, DeadKernelError) as problem:
        error = str(problem)
    seconds = time.perf_counter() - start
    probe = copy.cells.pop()
    peak = 0 if error else int(probe.outputs[0].text)
    return Run(copy, seconds, peak, error)


def _still(notebook: NotebookNode) -> None:
    """Replaces live widgets, which a page cannot run, by the pictures they show."""
    saved = notebook.metadata.pop("widgets", {}).get(
        "application/vnd.jupyter.widget-state+json", {}
    )
    models = saved.get("state", {})

    def pictures(model_id: str) -> list[NotebookNode]:
        model = models.get(model_id, {})
        state = model.get("state", {})
        found = []
        if state.get("_model_name") == "ImageModel":
            for buffer in model.get("buffers", []):
                data = {f"image/{state.get('format', 'png')}": buffer["data"]}
                found.append(nbformat.v4.new_output("display_data", data))
        for child in state.get("children", []):
            found += pictures(child.removeprefix("IPY_MODEL_"))
        return found

    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET)
            outputs += pictures(view["model_id"]) if view else [output]
        if cell.cell_type == "code":
            cell.outputs = outputs


def _films(notebook: NotebookNode) -> None:
    """Puts GIFs into the page as HTML: the exporter knows still pictures only."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if film := output.get("data", {}).get("image/gif"):
                source = "data:image/gif;base64," + "".join(film.split())
                html = f'<img alt="a film made by this cell" src="{source}">'
                output.data = nbformat.from_dict({"text/html": html})


def _embed(cell: NotebookNode, folder: Path) -> None:
    """Puts the pictures that a text cell shows into it; badges become plain links."""

    def embedded(match: re.Match) -> str:
        if match["target"].startswith("http"):
            return match["alt"]
        file = folder / match["target"]
        if not file.is_file():
            return match[0]
        kind = mimetypes.guess_type(file.name)[0] or "image/png"
        data = base64.b64encode(file.read_bytes()).decode()
        cell.setdefault("attachments", {})[file.name] = {kind: data}
        return f"![{match['alt']}](attachment:{file.name})"

    cell.source = IMAGE.sub(embedded, cell.source)


def _settings_only(cell: NotebookNode) -> None:
    """Hides the code of a form cell, except for the values of its fields."""
    shown = [f"{field.name} = {field.default!r}" for field in fields(cell.source)]
    cell.source = "\n".join(shown)
    cell.metadata["transient"] = {"remove_source": not shown}


def render(notebook: NotebookNode, folder: Path, title: str) -> str:
    """An executed notebook as one page of HTML.

    Args:
        notebook: The notebook with its outputs; it stays as it is.
        folder: Where it lies, for the pictures that its text shows.
        title: What the browser's tab says.
    """
    copy = nbformat.from_dict(notebook)
    _still(copy)
    _films(copy)
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            _embed(cell, folder)
        elif cell.metadata.get("cellView") == "form":
            _settings_only(cell)
    exporter = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    page, _ = exporter.from_notebook_node(copy, {"metadata": {"name": title}})
    return page


def headline(notebook: NotebookNode) -> bytes | None:
    """The PNG picture under the cell that is tagged "headline", if there is one."""
    for cell in notebook.cells:
        if "headline" in cell.metadata.get("tags", []):
            for output in reversed(cell.get("outputs", [])):
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output["data"]["image/png"])
    return None


def _show_progress(name: str) -> Callable[[int, int], None]:
    """Says which cell is running, where somebody is watching."""

    def on_cell(number: int, count: int) -> None:
        if sys.stdout.isatty():
            print(f"\r{name}: cell {number} of {count} ", end="", flush=True)

    return on_cell


def with_values(
    notebooks: dict[Path, NotebookNode], settings: list[str]
) -> dict[Path, NotebookNode]:
    """Copies of notebooks with other values in their form fields.

    Args:
        notebooks: The notebooks by their file.
        settings: Such as ``"steps=10"``; each is a field of at least one of them.

    Raises:
        ValueError: No notebook has such a field, or it does not take such a value.
    """
    texts = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"write {setting}=VALUE, not {setting} alone")
        texts[name] = text
    names = {
        field.name
        for notebook in notebooks.values()
        for cell in notebook.cells
        if cell.cell_type == "code"
        for field in fields(cell.source)
    }
    for name in texts:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise ValueError(f"no notebook here has a field {name}{hint}")

    def value(field: Field) -> object:
        name = field.name
        return typed(field, texts[name]) if name in texts else field.default

    return {file: fill(notebook, value) for file, notebook in notebooks.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        dest="values",
        help="other values for form fields",
    )
    parser.add_argument(
        "--headlines",
        action="store_true",
        help="also write the picture that each notebook shows at its top",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="for all that is made"
    )
    return parser


def main() -> int:
    """Executes the notebooks on the command line, and prints a table."""
    parser = _parser()
    options = parser.parse_args()
    for file in options.notebooks:
        if not file.is_file():
            parser.error(f"there is no notebook {file}")
    notebooks = {file: nbformat.read(file, as_version=4) for file in options.notebooks}
    try:
        notebooks = with_values(notebooks, options.values)
    except ValueError as problem:
        parser.error(str(problem))
    options.out.mkdir(parents=True, exist_ok=True)

    rows, failed = [], False
    for file, notebook in notebooks.items():
        made_in = os.environ | {"COURSE_OUT": str(options.out.resolve())}
        run = execute(notebook, file.parent, _show_progress(file.stem), made_in)
        page = options.out / f"{file.stem}.html"
        page.write_text(render(run.notebook, file.parent, file.stem), encoding="utf-8")
        memory = f"{run.peak_bytes / 1e9:.1f} GB"
        if options.headlines and (picture := headline(run.notebook)):
            small = Image.open(io.BytesIO(picture)).quantize(128)
            (file.parent / "images").mkdir(exist_ok=True)
            small.save(file.parent / "images" / f"{file.stem}.png", optimize=True)
        if run.error:
            failed, memory = True, "failed"
            print(f"\n{file.name} stopped here:\n\n{run.error}")
        rows.append(f"{file.stem:<28} {run.seconds:>8.0f} {memory:>12}  {page}")
    if sys.stdout.isatty():
        print("\r", end="")
    print(f"{'notebook':<28} {'seconds':>8} {'peak memory':>12}  page to open")
    print("\n".join(rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
