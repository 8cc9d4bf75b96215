"""Two notebooks at once: ``python -m benchmarks.company``.

Seconds of a picture, of eight at once and of a training step of four, alone and while a
second notebook draws: with a pipeline as plain diffusers loads it, and with ours, which
leaves the cores that others use (``helpers.cores``).
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from torch.nn import functional as F

from helpers.catalogue import POCKET
from helpers.models import load

ROOT = Path(__file__).parents[1]
PROMPT = "a fox in the city"


def load_how(how: str) -> DiffusionPipeline:
    """The pocket model: "plain", by the library alone, or "ours", by ``load``."""
    if how == "ours":
        with contextlib.redirect_stdout(io.StringIO()):
            pipe = load("pocket")
    else:
        pipe = AutoPipelineForText2Image.from_pretrained(POCKET)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: DiffusionPipeline, count: int) -> None:
    """So many pictures at once, 25 steps."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    pipe([PROMPT] * count, generator=generators, num_inference_steps=25)


def train(pipe: DiffusionPipeline) -> None:
    """Forward and backward of four pictures, through to the prompt."""
    prompt = torch.randn(4, 77, 128, requires_grad=True)
    latents, noise = torch.randn(2, 4, 4, 16, 16)
    F.mse_loss(pipe.unet(latents, 500, prompt).sample, noise).backward()


JOBS: dict[str, Callable[[DiffusionPipeline], None]] = {
    "a picture": lambda pipe: draw(pipe, 1),
    "eight at once": lambda pipe: draw(pipe, 8),
    "a training step of four": train,
}


def work(how: str, job: str, seconds: float) -> None:
    """What one process does: says that it is ready, waits for a line, then measures."""
    pipe = load_how(how)
    JOBS[job](pipe)
    print("ready", flush=True)
    sys.stdin.readline()
    end, took = time.monotonic() + seconds, []
    while time.monotonic() < end:
        start = time.monotonic()
        JOBS[job](pipe)
        took.append(time.monotonic() - start)
    print(statistics.median(took), flush=True)


def measure(how: str, job: str, company: bool, seconds: float) -> float:
    """Median seconds of a job, alone or while another process draws pictures."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    processes = []
    for mine in [job, "a picture"][: 1 + company]:
        command = [sys.executable, "-m", "benchmarks.company", "--how", how]
        command += ["--job", mine, "--seconds", str(seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        pipes |= {"stderr": subprocess.DEVNULL, "cwd": ROOT, "env": environment}
        processes.append(subprocess.Popen(command, **pipes))
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    medians = [float(process.communicate()[0]) for process in processes]
    return medians[0]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    parser.add_argument("--how", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        return work(options.how, options.job, options.seconds)
    print("| seconds (median) | alone | in company |")
    print("|---|---|---|")
    for job in JOBS:
        for how in ("plain", "ours"):
            alone, beside = (
                measure(how, job, company, options.seconds) for company in (False, True)
            )
            print(f"| {job}, {how} | {alone:.3f} | {beside:.3f} |", flush=True)


if __name__ == "__main__":
    main()
