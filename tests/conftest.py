"""What all tests share: one thread for each of several workers, the longest first."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, here and in kernels
    os.environ["OMP_NUM_THREADS"] = "1"


def seconds(item) -> float:
    """About how long a test takes; nobody says so of the quick ones."""
    mark = item.get_closest_marker("seconds")
    return mark.args[0] if mark else 0.0


def pytest_collection_modifyitems(items) -> None:
    items.sort(key=seconds, reverse=True)
