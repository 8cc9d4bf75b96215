"""The course as it runs in Colab: its versions of everything, its kernel, its secrets.

A virtual environment holds Colab's versions (the published list of August 2026) before
this one's packages, which supply torch. ``google.colab`` is a stand-in with the names,
classes and errors of the real one: https://github.com/googlecolab/colabtools.
"""

import os
import site
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course import NOTEBOOKS, ROOT, git_answers_with, lowest, shown_text
from filelock import FileLock
from hub_reasons import REASONS, reasons
from hub_server import SENTENCES, check, listen

from helpers import REPO, TAG
from tools.badges import setup_cell
from tools.notebooks import fill

VERSIONS = {
    "accelerate": "1.14.0",
    "diffusers": "0.39.0",
    "huggingface_hub": "1.27.0",
    "ipykernel": "6.17.1",
    "ipython": "7.34.0",
    "ipywidgets": "7.7.1",
    "matplotlib": "3.10.0",
    "numpy": "2.1.3",
    "peft": "0.20.0",
    "pillow": "11.3.0",
    "safetensors": "0.8.0",
    "torchao": "0.10.0",
    "transformers": "5.15.0",
}
THEIRS = [
    "tokenizers<=0.23",
    "backcall",
    "decorator",
    "ipython-genutils",
    "pickleshare",
]  # what they need
THEIRS += ["prompt_toolkit<3.1", "widgetsnbextension~=3.6", "jupyterlab-widgets<3"]

GOOGLE_COLAB = {
    "__init__": "from google.colab import errors, output, userdata\n",
    "errors": "class Error(Exception):\n    pass\n",
    "output": "def enable_custom_widget_manager():\n    pass\n",
    "_shell": """\
from ipykernel.zmqshell import ZMQInteractiveShell
class Shell(ZMQInteractiveShell):
    pass
""",
    "_kernel": """\
from ipykernel.ipkernel import IPythonKernel
from google.colab._shell import Shell
class Kernel(IPythonKernel):
    def _shell_class_default(self):
        return Shell
""",
    "userdata": """\
import os
from google.colab import errors
class NotebookAccessError(Exception):
    pass
class SecretNotFoundError(errors.Error):
    pass
class TimeoutException(errors.Error):
    pass
def get(key):
    raise {
        "NotebookAccessError": NotebookAccessError,
        "SecretNotFoundError": SecretNotFoundError,
        "TimeoutException": TimeoutException,
        "Error": errors.Error,
    }[os.environ.get("SECRET", "SecretNotFoundError")](key)
""",
}


@pytest.fixture(scope="session")
def colab(tmp_path_factory):
    """The Python of an environment like Colab's, and the variables of its kernels.

    All workers share it, so the set-up cell, which changes it, has run there.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one environment for all workers
        folder = folder.parent
    with FileLock(folder / "colab.lock"):
        if not (folder / "colab" / "whole").exists():
            made = make_environment(folder / "colab")
            execute(made, cells(setup_cell()), folder / "colab")
            (folder / "colab" / "whole").touch()
    return folder / "colab" / "venv" / "bin" / "python", variables_of(folder / "colab")


def variables_of(folder: Path) -> dict[str, str]:
    variables = {"IPYTHONDIR": str(folder / "ipython"), "HF_HUB_OFFLINE": "1"}
    return {k: v for k, v in os.environ.items() if k != "COURSE"} | variables


def make_environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """Makes it, or skips the test where pip cannot have Colab's versions."""
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
    subprocess.run(make, check=True)
    python = folder / "venv" / "bin" / "python"
    ask = "import site; print(site.getsitepackages()[0])"
    own = subprocess.check_output([python, "-c", ask], text=True).strip()
    for name, source in GOOGLE_COLAB.items():
        file = folder / "google" / "colab" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    lines = [*site.getsitepackages(), str(folder), "import google.colab"]
    (Path(own) / "colab.pth").write_text("\n".join(lines))
    pins = [f"{name}=={version}" for name, version in VERSIONS.items()]
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--ignore-installed"]
    done = subprocess.run([*install, *pins, *THEIRS], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot fetch Colab's versions: {done.stderr.strip()[-200:]}")
    profile = folder / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(
        'get_config().IPKernelApp.kernel_class = "google.colab._kernel.Kernel"\n'
    )
    return python, variables_of(folder)


def execute(colab, notebook, folder: Path, cwd: Path = ROOT, **variables: str):
    """Runs a notebook by the environment's own Python; returns it with its outputs."""
    python, environment = colab
    file = folder / "notebook.ipynb"
    nbformat.write(notebook, file)
    code = (
        "import sys, nbformat; from pathlib import Path\n"
        "from tools.execute import execute\n"
        "file, cwd = map(Path, sys.argv[1:])\n"
        "run = execute(nbformat.read(file, 4), cwd)\n"
        "nbformat.write(run.notebook, file); sys.exit(run.error)"
    )
    done = subprocess.run(
        [python, "-c", code, file, cwd],
        env=environment
        | {"PYTHONPATH": str(ROOT), "COURSE_OUT": str(folder)}
        | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(file, as_version=4)


def cells(*sources: str):
    return nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])


LOOK = """\
import sys
from importlib import metadata
print({name: metadata.version(name) for name in %r})
print(type(get_ipython()), "google.colab" in sys.modules)
"""


@pytest.mark.seconds(60)
def test_set_up_changes_nothing_that_colab_has_loaded(tmp_path):
    """In an empty folder: it clones the course, and raises torchao, and only that."""
    hub = tmp_path / "hub" / REPO
    git = ["git", "clone", "-q", "--bare", str(ROOT), str(hub)]
    subprocess.run(git, check=True, capture_output=True)
    tag = ["git", "-C", str(hub), "tag", "-f", TAG]
    subprocess.run(tag, check=True, capture_output=True)
    empty = tmp_path / "content"
    empty.mkdir()
    colab = make_environment(tmp_path / "colab")
    look = LOOK % [*VERSIONS, "torch"]
    from_pocket = "from helpers.models import load\npipe = load('auto')"
    notebook = cells(look, setup_cell(), look, setup_cell(), from_pocket)
    ran = execute(
        colab, notebook, tmp_path, empty, **git_answers_with(tmp_path / "hub")
    )
    before, first, after, second, last = (
        "".join(o.get("text", "") for o in cell.outputs) for cell in ran.cells
    )
    assert "google.colab._shell.Shell" in before and "True" in before
    assert f"Course: fetched into the folder {REPO.split('/')[1]}" in first
    assert "torchao>=0.16" in first
    had, has = (eval(text.splitlines()[0]) for text in (before, after))
    assert {name: had[name] for name in VERSIONS} == VERSIONS
    assert {name for name in had if had[name] != has[name]} == {"torchao"}
    assert "Installing: nothing, it is all here" in second
    assert "Model: pocket" in last and "T4 GPU gives one" in last


@pytest.mark.seconds(10)
@pytest.mark.parametrize(
    "error", ["SecretNotFoundError", "NotebookAccessError", "TimeoutException", "Error"]
)
def test_no_secret_is_no_obstacle(colab, tmp_path, error):
    notebook = cells(
        "from huggingface_hub import get_token\n"
        "from huggingface_hub.utils import is_google_colab\n"
        "from helpers.models import load\n"
        "print(is_google_colab(), get_token())\n"
        "pipe = load('pocket')"
    )
    ran = execute(colab, notebook, tmp_path, SECRET=error)
    assert "True None" in shown_text(ran) and "Model: pocket" in shown_text(ran)


@pytest.mark.seconds(60)
def test_the_hub_and_its_faults(colab, tmp_path):
    execute(colab, cells(setup_cell()), tmp_path)
    python, environment = colab
    said, *_ = listen(python, tmp_path, **environment, HASTE="")
    for fault in SENTENCES.keys() - {"429", "stall"}:
        check(said[fault], SENTENCES[fault])
    assert said["made before"] is True
    assert said["few steps"] == "lcm-lora" and said["auto"] == "pocket"
    assert said["half"] == "fault/both" and said["cached"] == "somebody/pocket"
    assert said["half unet"] == "fault/half-unet" and said["moody"] == "somebody/pocket"
    assert said["real id"] == said["real id cached"] == "stable-diffusion-v1-5"
    assert said["busy"] == "stable-diffusion-v1-5" and said["own"] == "own"
    assert said["pickle allowed"] == said["pickle cached"] == "fault/trusted"


@pytest.mark.seconds(15)
def test_it_says_why_the_hub_is_not_reached(colab, tmp_path):
    python, environment = colab
    said = reasons(python, tmp_path, **environment)
    for case, (_, words) in REASONS.items():
        assert words in said[case].splitlines()[-1], case


# Those that take a minute or two even with all sliders at their lowest; and 13 and 14,
# whose networks are plain torch.
LEFT_OUT = ("02", "03", "08", "09", "10", "13", "14")


@pytest.mark.seconds(25)
@pytest.mark.parametrize(
    "file",
    [file for file in NOTEBOOKS if not file.name.startswith(LEFT_OUT)],
    ids=lambda file: file.stem,
)
def test_runs_with_the_versions_of_colab(colab, tmp_path, file):
    notebook = fill(nbformat.read(file, as_version=4), lowest)
    ran = execute(colab, notebook, tmp_path, file.parent)
    assert "Warning" not in shown_text(ran)
