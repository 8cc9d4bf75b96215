"""Makes the environment that the Makefile's commands run in, or mends it.

    python3 tools/install.py .venv "torch==2.13.0"

Whatever Python a machine has runs this, so it holds nothing that Python 3.6 cannot
read and imports only the standard library. It does nothing where all is installed,
makes an environment anew that is not whole, and lets one ``make`` install at a time.
"""

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
# Exits with 0 where an environment's Python is new enough and has its pip.
WHOLE = f"import sys, pip; sys.exit(sys.version_info < {OLDEST!r})"


class Environment:
    """A virtual environment, while no other process may change it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.installed = folder / "installed"  # holds the requirements that it has
        self.installing = folder / "installing"  # stays where pip was broken off
        self.lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another make is installing at the moment; waiting for it.")
            fcntl.flock(self.lock, fcntl.LOCK_EX)

    def call(self, *command: str) -> bool:
        """Runs a command, which holds the lock too: it may live longer than we do."""
        return not subprocess.call(command, pass_fds=[self.lock.fileno()])

    def is_whole(self) -> bool:
        """Whether packages can be installed into it, on top of what it has."""
        quiet = subprocess.DEVNULL
        ask = [str(self.python), "-c", WHOLE]
        try:
            return not (
                self.installing.exists()
                or subprocess.call(ask, stdout=quiet, stderr=quiet)
            )
        except OSError:  # a broken link, or made on another kind of machine
            return False

    def make(self) -> None:
        """Makes it anew. The lock stays, as others wait for it."""
        refuse_this_python()
        others = [file for file in self.folder.iterdir() if file.name != "lock"]
        if others:
            say(f"{self.folder} is not whole: making it anew.")
        for file in others:
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(str(file))
            else:
                file.unlink()
        python = os.path.realpath(sys.executable)  # ours may have been in there
        if not self.call(python, "-m", "venv", str(self.folder)):
            sys.exit(f"Python could not make {self.folder}; its message says why.")

    def install(self, *what: str) -> None:
        """Installs with pip. Broken off, it leaves ``installing`` behind: pip takes
        a package for whole of which it wrote only a part."""
        self.installing.touch()
        done = self.call(str(self.python), "-m", "pip", "install", "--quiet", *what)
        self.installing.unlink()
        if not done:
            sys.exit("pip could not install the course; its message says why.")


def say(sentence: str) -> None:
    print(sentence, flush=True)


def refuse_this_python() -> None:
    """Ends with one sentence where no environment comes of the Python we run in."""
    own = "{}.{}".format(*sys.version_info)
    if sys.version_info < OLDEST:
        sys.exit(
            f"This is Python {own}, and the course needs 3.11 or newer: name one that "
            "you have, as in `make run PYTHON=python3.12`, or get one from "
            "https://www.python.org/downloads/."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            f"This Python {own} cannot make environments: on Debian and Ubuntu, "
            f"`sudo apt install python{own}-venv`, then the same command again."
        )


def requirements(file: Path) -> str:
    """The text of a requirements file, with that of the files it names."""
    text = file.read_text(encoding="utf-8")
    named = [line[3:].strip() for line in text.splitlines() if line.startswith("-r ")]
    return text + "".join(requirements(file.parent / name) for name in named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("torch", nargs="?", default="", help="installed first")
    parser.add_argument(
        "--requirements", type=Path, default=ROOT / "requirements-local.txt"
    )
    options = parser.parse_args()
    environment = Environment(options.folder)
    whole, needed = environment.is_whole(), requirements(options.requirements)
    stamp = environment.installed
    if whole and stamp.exists() and stamp.read_text(encoding="utf-8") == needed:
        return
    if not whole:
        environment.make()
    say(f"Installing into {options.folder}; the first time this takes minutes.")
    if stamp.exists():
        stamp.unlink()
    if options.torch:
        environment.install(*shlex.split(options.torch))
    environment.install("-r", str(options.requirements))
    stamp.write_text(needed, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command again goes on.")
    except OSError as error:
        sys.exit(f"Nothing can be installed here: {error}.")
