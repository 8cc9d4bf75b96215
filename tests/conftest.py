"""What all tests share: one thread for each of several workers, the longest first."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, here and in kernels
    os.environ["OMP_NUM_THREADS"] = "1"

# A make in a test is no part of the one that runs it: not its options, and not the
# values on its command line, which it hands down as variables.
HANDED_DOWN = ["MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "TORCH", "PYTHON"]
for name in [*HANDED_DOWN, "REPO", "TAG"]:
    os.environ.pop(name, None)


@pytest.fixture
def offline(monkeypatch):
    """As HF_HUB_OFFLINE=1 does, so that no test downloads gigabytes."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def pipe():
    """The pocket model on the CPU, by the library alone; no test may change it."""
    from diffusers import AutoPipelineForText2Image

    from helpers.catalogue import POCKET

    pipe = AutoPipelineForText2Image.from_pretrained(POCKET)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def seconds(item) -> float:
    """About how long a test takes; nobody says so of the quick ones."""
    mark = item.get_closest_marker("seconds")
    return mark.args[0] if mark else 0.0


def pytest_collection_modifyitems(items) -> None:
    items.sort(key=seconds, reverse=True)
