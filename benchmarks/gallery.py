"""How many pictures a minute: ``python -m benchmarks.gallery``.

A gallery of the pocket model by a plain for loop, one call of plain diffusers after the
other, and by ``scripts/``: in one process and in two, one picture at a time and as many
as the memory holds. Starting up does not count: the diary says when each picture lay
there, and from the last process's first one to the end is measured. ``--ray`` asks
``scripts/make_gallery_on_ray.py`` as well, which wants ``pip install ray``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import torch
from diffusers import AutoPipelineForText2Image

from helpers import gallery
from helpers.catalogue import POCKET

ROOT = Path(__file__).parents[1]
PROMPTS = ["a castle, dystopian", "a rocket, futuristic"]


def plan(folder: Path, count: int, steps: int) -> list[gallery.Row]:
    """The manifest of every run."""
    settings = {"num_inference_steps": steps, "guidance_scale": 7.5}
    return gallery.plan(folder, PROMPTS, count, model="pocket", size=128, **settings)


def for_loop(rows: list[gallery.Row], folder: Path) -> float:
    """Pictures a second of a loop as anybody would write it."""
    pipe = AutoPipelineForText2Image.from_pretrained(POCKET)
    pipe.set_progress_bar_config(disable=True)
    gallery.draw(pipe, rows[:1])  # the first takes longer
    start = time.perf_counter()
    for row in rows:
        generator = torch.Generator().manual_seed(row["seed"])
        image = pipe(
            row["prompt"],
            generator=generator,
            num_inference_steps=row["num_inference_steps"],
            guidance_scale=row["guidance_scale"],
        ).images[0]
        image.save(folder / f"{row['index']}.png")
    return len(rows) / (time.perf_counter() - start)


def script(command: list[str], folder: Path, processes: int, batch: int) -> float:
    """Pictures a second of a script, once all its processes have made their first."""
    environment = dict(os.environ)
    if processes > 1:
        environment["OMP_NUM_THREADS"] = str(max(os.cpu_count() // processes, 1))
    subprocess.run(command, env=environment, capture_output=True, check=True)
    times: dict[int, list[float]] = {}
    for entry in gallery.read_diary(folder):
        times.setdefault(entry["pid"], []).append(entry["time"])
    assert len(times) == processes, "not all of them made one"
    begin = max(made[batch - 1] for made in times.values())  # saved with their batch
    every = [moment for made in times.values() for moment in made]
    return sum(moment > begin for moment in every) / (max(every) - begin)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=64, help="pictures of each run")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    by_hand = str(ROOT / "scripts" / "make_gallery.py")
    ways = {  # the command, without the folder; how many processes
        "1 process": ([sys.executable, by_hand], 1),
        "2 processes": ([*launch, "--nproc_per_node", "2", by_hand], 2),
    }
    if options.ray:
        on_ray = by_hand.replace(".py", "_on_ray.py")
        ways["Ray, 2 workers"] = ([sys.executable, on_ray], 2)
    print("| | pictures a second | ratio |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        rows = plan(Path(scratch) / "loop", options.count, options.steps)
        plain = for_loop(rows, Path(scratch) / "loop")
        print(f"| for loop, plain diffusers | {plain:.2f} | 1.00 |", flush=True)
        for (name, (command, processes)), batch in product(ways.items(), (1, 8)):
            folder = Path(scratch) / f"{name}, {batch} at once"
            plan(folder, options.count, options.steps)
            command = [*command, str(folder), "--batch", str(batch)]
            rate = script(command, folder, processes, batch)
            print(f"| {folder.name} | {rate:.2f} | {rate / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
