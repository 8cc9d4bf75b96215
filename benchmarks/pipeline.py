"""What a picture costs: ``python -m benchmarks.pipeline`` (or ``make bench``).

A 25-step picture with guidance, through our ``load`` and through plain diffusers on the
same weights, taken in turns in one process; then where the time goes, how much of the
machine's own matrix product it reaches, and the peak memory.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from diffusers import AutoPipelineForText2Image, DiffusionPipeline
from torch.utils.flop_counter import FlopCounterMode

from helpers.models import load

MODEL = Path(__file__).parents[1] / "pocket" / "model"
PROMPT = "a photograph of an astronaut riding a horse"


def picture(pipe: DiffusionPipeline) -> None:
    """Make one picture: 25 steps, guidance 7.5, seed 0."""
    pipe(
        PROMPT,
        num_inference_steps=25,
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(0),
    )


def seconds(work: Callable[[], None]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def shares(pipe: DiffusionPipeline) -> tuple[dict[str, float], float]:
    """Seconds inside each part during one picture, and the whole."""
    spent = {"unet": 0.0, "vae": 0.0, "text_encoder": 0.0}
    with ExitStack() as undo:
        for name in spent:
            part = pipe.vae.decoder if name == "vae" else getattr(pipe, name)

            def before(*_: object, name: str = name) -> None:
                spent[name] -= time.perf_counter()

            def after(*_: object, name: str = name) -> None:
                spent[name] += time.perf_counter()

            undo.callback(part.register_forward_pre_hook(before).remove)
            undo.callback(part.register_forward_hook(after).remove)
        whole = seconds(lambda: picture(pipe))
    return spent, whole


def matrix_product_rate(size: int = 2048, times: int = 5) -> float:
    """The machine's own float32 GFLOP/s, from a square matrix product."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    spent = seconds(lambda: [a @ b for _ in range(times)] and None)
    return 2 * size**3 * times / spent / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    plain = AutoPipelineForText2Image.from_pretrained(MODEL)
    plain.set_progress_bar_config(disable=True)
    ours = load("pocket")
    ours.set_progress_bar_config(disable=True)
    picture(plain), picture(ours)
    ratios, times = [], []
    for i in range(rounds):
        pair = (ours, plain) if i % 2 else (plain, ours)
        took = {id(p): seconds(lambda p=p: picture(p)) for p in pair}
        times.append(took[id(ours)])
        ratios.append(took[id(ours)] / took[id(plain)])
    print(f"{rounds} pairs, {torch.get_num_threads()} threads, {ours.device}")
    print(f"a 25-step picture: {statistics.median(times):.2f} s (median)")
    print(
        f"ours / plain diffusers: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )
    spent, whole = shares(ours)
    spent["everything else"] = whole - sum(spent.values())
    for name, value in spent.items():
        print(f"  {name}: {100 * value / whole:.1f} % of {whole:.2f} s")
    with FlopCounterMode(display=False) as counter:
        picture(ours)
    rate = counter.get_total_flops() / statistics.median(times) / 1e9
    own = matrix_product_rate()
    print(f"{counter.get_total_flops() / 1e9:.0f} GFLOP a picture")
    print(
        f"{rate:.0f} GFLOP/s, {100 * rate / own:.0f} % of a matrix product's {own:.0f}"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the process: {peak:.0f} MiB, both pipelines loaded")


if __name__ == "__main__":
    main()
