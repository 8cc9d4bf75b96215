"""Cores that other programs compute on are left to them.

Two notebooks that draw at the same time, each on all cores, wait for one another's
threads most of the time: ``benchmarks.company`` has the figures.
"""

from __future__ import annotations

import os
import time
from typing import Any

import psutil
import torch

LOOK_EVERY = 0.25  # seconds: what programs do changes no faster


class _Share:
    """Looks, from time to time, how many cores are free, and takes as many threads."""

    def __init__(self) -> None:
        self.most = torch.get_num_threads()
        self.seen = self._look()

    def __call__(self, *_: Any) -> None:
        if time.monotonic() - self.seen[0] < LOOK_EVERY:
            return
        before, self.seen = self.seen, self._look()
        elapsed, busy, own = (
            now - then for now, then in zip(self.seen, before, strict=True)
        )
        if elapsed > 8 * LOOK_EVERY:
            return  # that long ago says nothing of now
        others = round((busy - own) / elapsed)
        threads = max(1, min(self.most, os.cpu_count() - others))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @staticmethod
    def _look() -> tuple[float, float, float]:
        """Seconds: of the clock, of all cores at work, of this process at work."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        return time.monotonic(), sum(times) - idle, time.process_time()


def share_cores(network: torch.nn.Module) -> None:
    """Lets a network leave the cores that others use, each time before it computes.

    Another number of threads may round the last bit of a result differently. Where the
    environment sets the number (``OMP_NUM_THREADS``), it stays.

    Args:
        network: On a CPU, called often: the U-Net.
    """
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > 1:
        network.register_forward_pre_hook(_Share())
