"""What is wrong here? ``python -m helpers``, or ``examine()`` in a cell.

Prints a dozen lines to paste into a question: no path, no name, no token is in them.
"""

from __future__ import annotations

import platform
import shutil
import sys
import traceback
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
import torch
from packaging.requirements import Requirement

from helpers import errors
from helpers.catalogue import CATALOGUE, POCKET
from helpers.device import GB, find_device
from helpers.hub import cache_disk, is_cached
from helpers.hub_words import hub_problem, token_problem

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
DOWNLOAD = max(model.download_gb for model in CATALOGUE.values())


def examine() -> None:
    """Prints what the course runs on, and what to do about what is not well."""
    for well, line in _lines():
        print("ok " if well else "!! ", line)


def _lines() -> Iterator[tuple[bool, str]]:
    """Whether all is well, what there is, and the fix where there is one."""
    where = "Colab" if "google.colab" in sys.modules else platform.system()
    yield True, f"{where}, Python {platform.python_version()}, {platform.machine()}"
    yield _device()
    ram = psutil.virtual_memory()
    yield _enough("memory", ram.available / GB, ram.total / GB, 2, "restart kernels")
    yield from _packages()
    room, fix = cache_disk(), "delete models that you do not need"
    yield _enough("disk", room.free / GB, room.total / GB, DOWNLOAD, fix)
    yield (hub := _hub())
    yield _token(hub[0])
    ours = [m for m in CATALOGUE.values() if m.name != "pocket" and not m.lora]
    cached = [model.name for model in ours if is_cached(model)]
    yield True, f"downloaded models: {', '.join(cached) or 'none'}"
    whole = (POCKET / "unet" / "diffusion_pytorch_model.safetensors").is_file()
    fix = "" if whole else ": clone the course again"
    yield whole, f"pocket model: {'here' if whole else 'missing'}{fix}"
    if errors.last is not None:
        yield False, f"last error: {_origin(errors.last)}"


def _origin(error: BaseException) -> str:
    """What kind of error it was, and the line of code, but nobody's folders."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} in {where}"


def _device() -> tuple[bool, str]:
    device = find_device()
    kind = str(device.dtype).removeprefix("torch.")
    if device.type != "cpu":
        return True, f"draws on {device}, in {kind}"
    line = f"draws on {device}, in {kind}: the pocket model is made for that"
    if "google.colab" in sys.modules:
        return False, f"{line}; for a T4: Runtime > Change runtime type > T4 GPU"
    if shutil.which("nvidia-smi"):
        return False, f"{line}; there is an NVIDIA driver: install torch with CUDA"
    return True, line


def _enough(
    what: str, free: float, total: float, needed: float, fix: str
) -> tuple[bool, str]:
    line = f"{what}: {free:.1f} of {total:.1f} GB free"
    if free >= needed:
        return True, line
    return False, f"{line}, {needed:.0f} are needed: {fix}"


def _packages() -> Iterator[tuple[bool, str]]:
    lines = REQUIREMENTS.read_text().splitlines()
    needs = [Requirement(line) for line in lines if line and not line.startswith("#")]
    have, wrong = [], []
    for need in needs:
        try:
            version = metadata.version(need.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{need} is missing: pip install “{need}”")
            continue
        have.append(f"{need.name} {version}")
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version}: pip install “{need}”")
    yield True, ", ".join(have)
    yield from ((False, line) for line in wrong)
    if metadata.version("torch").split("+")[0] != torch.__version__.split("+")[0]:
        yield False, f"torch {torch.__version__} is loaded: restart the kernel"


def _hub() -> tuple[bool, str]:
    if problem := hub_problem():
        return False, f"hub: not reached ({problem}); the pocket model works without"
    return True, "hub: answers"


def _token(online: bool) -> tuple[bool, str]:
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    fix = "hf auth logout, or take HF_TOKEN away"
    if get_token() is None:
        return True, "token: none, and none is needed"
    if problem := token_problem():
        return False, f"token: there is one, and it {problem}: {fix}"
    if online:
        try:
            HfApi().whoami()
        except HfHubHTTPError as error:
            if error.response.status_code == 401:
                line = f"token: there is one, and the hub does not accept it: {fix}"
                return False, line
        except Exception:  # noqa: BLE001, S110 - each hub version names them anew
            pass
        else:
            return True, "token: there is one, and the hub accepts it"
    return True, "token: there is one; the hub did not say whether it is good"
