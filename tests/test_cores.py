"""Cores that others use are left to them; the figures are in benchmarks.company."""

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from helpers import cores

Times = namedtuple("Times", ["user", "idle"])


@pytest.fixture
def machine(monkeypatch):
    """Two cores, of which others use so many as ``machine.others`` says."""
    now = SimpleNamespace(time=0.0, busy=0.0, own=0.0, threads=2, others=0.0)

    def look():
        return Times(now.busy, 2 * now.time - now.busy)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("psutil.cpu_times", look)
    monkeypatch.setattr("time.monotonic", lambda: now.time)
    monkeypatch.setattr("time.process_time", lambda: now.own)
    monkeypatch.setattr(torch, "get_num_threads", lambda: now.threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(now, "threads", n))
    return now


def compute(machine, network, others: float, seconds: float = 1.0) -> int:
    """Lets time pass while we compute and others do; returns the threads taken."""
    own = min(machine.threads, 2 - others)
    machine.time += seconds
    machine.own += own * seconds
    machine.busy += (own + others) * seconds
    network(torch.zeros(1))
    return machine.threads


def test_threads_follow_what_others_leave(machine):
    network = torch.nn.Identity()
    cores.share_cores(network)
    assert compute(machine, network, others=0) == 2
    assert compute(machine, network, others=0.9) == 1
    assert compute(machine, network, others=1) == 1
    assert compute(machine, network, others=2) == 1, "one is always taken"
    assert compute(machine, network, others=0.1) == 2


def test_it_looks_seldom_and_forgets_what_was_long_ago(machine):
    network = torch.nn.Identity()
    cores.share_cores(network)
    assert compute(machine, network, others=1, seconds=0.1) == 2, "too soon to tell"
    assert compute(machine, network, others=1, seconds=60) == 2, "too long ago"
    assert compute(machine, network, others=1, seconds=0.3) == 1


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_number_that_was_set_stays(machine, monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    network = torch.nn.Identity()
    cores.share_cores(network)
    assert compute(machine, network, others=2) == 2
