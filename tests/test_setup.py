"""`make`, from a clone to an environment: half-made ones, old Pythons, two at once.

A requirements file that asks for nothing makes it a matter of seconds, without PyPI.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALL = ROOT / "tools" / "install.py"
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clone in a folder with a space and an é, with its environment made."""
    clone = tmp_path_factory.mktemp("a") / "Mes études" / "the course"
    (clone / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copy(INSTALL, clone / "tools")
    (clone / "requirements.txt").write_text("pip\n", encoding="utf-8")
    (clone / "requirements-local.txt").write_text("-r requirements.txt\n")
    done = make(clone)
    assert done.returncode == 0, done.stderr
    return clone


def make(clone: Path, *arguments: str, **environment: str):
    """Runs `make install` in a clone."""
    return subprocess.run(
        ["make", "install", f"PYTHON={sys.executable}", *arguments],
        cwd=clone,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def nothing(folder: Path) -> list[str]:
    """So that a mistake here does not install the whole course."""
    (folder / "nothing.txt").touch()
    return ["--requirements", str(folder / "nothing.txt")]


def has_pip(clone: Path) -> bool:
    python = clone / ".venv" / "bin" / "python"
    return not subprocess.call([python, "-m", "pip", "--version"], stdout=-3, stderr=-3)


def sentence(done) -> str:
    """The one line that a `make` which failed said, apart from make's own."""
    assert done.returncode, "it did not fail"
    said = (done.stdout + done.stderr).splitlines()
    lines = [line for line in said if not line.startswith("make")]
    assert len(lines) == 1, lines
    return lines[0]


def break_link(venv: Path) -> None:
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to("/gone/python3")


def make_foreign(venv: Path) -> None:
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").write_text("for another machine\n")
    (venv / "bin" / "python").chmod(0o755)


def make_old(venv: Path) -> None:
    """Its Python says that it is too old."""
    python = venv / "bin" / "python"
    python.unlink()
    code = "import sys; sys.version_info = (3, 9)\n$2"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && set -- -c "{code}"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)


def break_off(venv: Path) -> None:
    """As Ctrl-C leaves it while pip writes packages."""
    (venv / "installing").touch()
    (venv / "half-a-package").touch()


@pytest.mark.seconds(8)
@pytest.mark.parametrize("damage", [break_link, make_foreign, make_old, break_off])
def test_an_environment_that_is_not_whole_is_made_anew(made, damage):
    damage(made / ".venv")
    done = make(made)
    assert done.returncode == 0, done.stderr
    assert has_pip(made) and not (made / ".venv" / "half-a-package").exists()


@pytest.mark.seconds(8)
def test_an_environment_without_pip_gets_it(made):
    """What a Python without ensurepip leaves behind."""
    shutil.rmtree(made / ".venv")
    command = [sys.executable, "-m", "venv", "--without-pip", ".venv"]
    subprocess.run(command, cwd=made, check=True)
    assert make(made).returncode == 0 and has_pip(made)


@pytest.mark.seconds(6)
def test_installs_once_and_again_when_requirements_change(made):
    own = made / ".venv" / "something-of-mine"
    own.touch()
    assert make(made).stdout == "", "the second time does something"
    (made / "requirements.txt").write_text("pip\n# changed\n")
    assert "nstall" in make(made).stdout
    assert make(made).stdout == ""
    assert own.exists(), "a whole environment was made anew"


@pytest.mark.seconds(6)
def test_what_pip_cannot_install_is_tried_again(made):
    """And an environment that somebody made by hand is not thrown away for it."""
    own = made / ".venv" / "something-of-mine"
    own.touch()
    good = (made / "requirements.txt").read_text()
    (made / "requirements.txt").write_text("./no-such-hippo\n")
    assert make(made).returncode and make(made).returncode
    (made / "requirements.txt").write_text(good)
    assert make(made).returncode == 0 and own.exists()


def test_a_python_that_is_too_old_is_told_first(tmp_path):
    old = tmp_path / "python"
    old.write_text(
        "import sys, runpy; sys.version_info = (3, 9, 18); sys.argv.pop(0)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, old, INSTALL, tmp_path / "venv", *nothing(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PYTHON=" in sentence(done)
    assert not (tmp_path / "venv" / "bin").exists()


def test_the_oldest_python_can_read_the_refusal():
    ast.parse(INSTALL.read_text(), feature_version=(3, 6))


def test_a_python_without_ensurepip_is_told_first(tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')")
    done = subprocess.run(
        [sys.executable, INSTALL, tmp_path / "venv", *nothing(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "apt install python3." in sentence(done)
    assert not (tmp_path / "venv" / "bin").exists()


def test_no_python_of_that_name(made):
    assert "PYTHON=" in sentence(make(made, "PYTHON=python4.99"))


def test_an_environment_where_nothing_can_be_written(tmp_path):
    (tmp_path / "venv").write_text("a file of mine")
    done = subprocess.run(
        [sys.executable, INSTALL, tmp_path / "venv", *nothing(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert sentence(done)
    assert (tmp_path / "venv").read_text() == "a file of mine"


@pytest.fixture
def slow(made):
    """The clone, where pip takes long: a package whose build says so, and waits."""
    package = made / "slow"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    )
    (package / "b.py").write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(made / 'began')!r}).touch()\ntime.sleep(3)\n"
        "raise SystemExit(1)\n"
    )
    good = (made / "requirements.txt").read_text()
    (made / "requirements.txt").write_text("./slow\n")
    yield made
    (made / "requirements.txt").write_text(good)
    shutil.rmtree(package)
    (made / "began").unlink(missing_ok=True)


def start(clone: Path) -> subprocess.Popen:
    """A `make` like one in a terminal: Ctrl-C reaches all that it started."""
    process = subprocess.Popen(
        ["make", "install", f"PYTHON={sys.executable}"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not (clone / "began").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (clone / "began").exists(), "pip did not begin"
    return process


@pytest.mark.seconds(12)
def test_ctrl_c_while_installing_costs_nothing(slow):
    process = start(slow)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode and "Traceback" not in said
    assert not (slow / ".venv" / "installed").exists()
    (slow / "requirements.txt").write_text("pip\n")
    assert make(slow).returncode == 0 and has_pip(slow)


@pytest.mark.seconds(12)
def test_a_second_make_waits_for_the_first(slow):
    first = start(slow)
    (slow / "requirements.txt").write_text("pip\n")
    second = make(slow)
    assert first.poll() is not None, "both install at once"
    first.communicate()
    assert second.returncode == 0
    assert "wait" in second.stdout.splitlines()[0]
