"""How fast the course trains: ``python -m benchmarks.training ../diffusers``.

The loops of notebooks 05 and 06 against the example scripts of a checkout of diffusers,
on the pocket model: same pictures, batch, layers, rank, precision and machine. Each is
run for a few steps and for many, in turns; the difference counts, so that starting up
does not. Then a fresh pipeline loads what each has learned, and the classifier of
``pocket.evaluate`` says in how many pictures the new subject is.

The scripts need ``pip install torchvision tensorboard`` besides what the course needs.
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import torch
from diffusers import DiffusionPipeline
from peft import get_peft_model_state_dict

from pocket.architecture import MODEL_DIR
from pocket.evaluate import load_pipeline, recognised
from tools.notebooks import fill

ROOT = Path(__file__).parents[1]
FEW = 10


def run_cells(name: str, last: str, out: Path, **values: Any) -> dict[str, Any]:
    """The names that a notebook has defined after its cell with ``last`` in it.

    Args:
        name: Of the notebook's file.
        last: Part of the last cell that is run.
        out: Where it puts its files.
        **values: Of form fields.
    """
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    notebook = fill(notebook, lambda field: values.get(field.name, field.default))
    os.environ |= {"COURSE": str(ROOT), "COURSE_OUT": str(out)}
    names: dict[str, Any] = {}
    for cell in (c.source for c in notebook.cells if c.cell_type == "code"):
        exec(compile(cell, name, "exec"), names)
        if last in cell:
            return names
    raise LookupError(f"{name} has no cell with {last!r}.")


@dataclass
class Contest:
    """One method, trained by the notebook and by the script.

    Attributes:
        ours: Trains so many steps, in a folder; returns the seconds.
        theirs: The same.
        steps: How many the notebook takes.
        subject: What the classifier looks for.
        worn: What else it looks for.
        words: What the prompts call it.
        load_ours: Puts what was learned, in a folder, into a pipeline.
        load_theirs: The same.
        savings: What a step saves: the name, and the work it does without.
    """

    ours: Callable[[int, Path], float]
    theirs: Callable[[int, Path], float]
    steps: int
    subject: str
    worn: str | None
    words: str
    load_ours: Callable[[DiffusionPipeline, Path], None]
    load_theirs: Callable[[DiffusionPipeline, Path], None]
    savings: dict[str, Callable[[], object]]


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, which keeps its output to itself."""
    start = time.perf_counter()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        work()
    return time.perf_counter() - start


def script(path: Path, out: Path, **options: object) -> float:
    """Runs one of diffusers' scripts; returns its seconds.

    Raises:
        SystemExit: It failed; says why, in its own words.
    """
    options |= {"pretrained_model_name_or_path": MODEL_DIR, "output_dir": out}
    options |= {"resolution": 128, "seed": 0, "lr_warmup_steps": 0}
    options |= {"checkpointing_steps": 10**6, "lr_scheduler": "constant"}
    command = [sys.executable, path.name]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{path.name} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def textual_inversion(diffusers: Path, scratch: Path) -> Contest:
    """Notebook 05 and ``textual_inversion.py``."""
    names = run_cells("05_textual_inversion", "captions = [ways]", scratch)
    word, begin_as, batch = "<tiny>", "teddy", names["batch_size"]
    pictures, lasts = ROOT / names["folder"], names["steps"]

    def ours(steps: int, out: Path) -> float:
        names.update(steps=steps, OUT=out)
        spent = seconds(
            lambda: names["teach"](word, begin_as, names["latents"], names["captions"])
        )
        (row,) = names["rows"].values()
        torch.save(row.detach(), out / "row.pt")
        return spent

    def theirs(steps: int, out: Path) -> float:
        return script(
            diffusers / "examples" / "textual_inversion" / "textual_inversion.py",
            out,
            train_data_dir=pictures,
            placeholder_token=word,
            initializer_token=begin_as,
            train_batch_size=batch,
            learning_rate=names["learning_rate"],
            max_train_steps=steps,
        )

    def load_row(pipe: DiffusionPipeline, out: Path) -> None:
        pipe.load_textual_inversion({word: torch.load(out / "row.pt")})

    def load_file(pipe: DiffusionPipeline, out: Path) -> None:
        pipe.load_textual_inversion(str(out / "learned_embeds.safetensors"))

    table = torch.nn.Parameter(names["table"].weight.detach().clone())
    kept, adam = table.detach().clone(), torch.optim.AdamW([table])

    @torch.no_grad()
    def whole_table() -> None:
        table.grad = torch.ones_like(table)
        adam.step()
        table[:-1] = kept[:-1]

    some = names["pictures"] * batch
    return Contest(
        ours,
        theirs,
        lasts,
        "teddy",
        "hat",
        word,
        load_row,
        load_file,
        {
            "latents encoded once": lambda: names["encode"](
                names["pipe"], some[:batch], flip=False
            ),
            "one row, not the table": whole_table,
        },
    )


def dreambooth(diffusers: Path, scratch: Path) -> Contest:
    """Notebook 06 and ``train_dreambooth_lora.py``."""
    names = run_cells("06_dreambooth", "def teach(", scratch)
    names["layers"] = names["layers"][:4]  # attention, all that the script can do
    batch, kind, subject = names["batch_size"], names["kind"], names["subject"]
    pictures, kinds = ROOT / names["folder"], scratch / "kinds"
    lasts = names["steps"]
    kinds.mkdir()
    for number, picture in enumerate(names["kinds"]):
        picture.save(kinds / f"{number}.png")
    turn = iter(range(1000))

    def ours(steps: int, out: Path) -> float:
        name = f"turn{next(turn)}"
        names.update(steps=steps, OUT=out)
        spent = seconds(lambda: names["teach"](name, prior_weight=1.0))
        thin = get_peft_model_state_dict(names["unet"], adapter_name=name)
        type(names["pipe"]).save_lora_weights(out, unet_lora_layers=thin)
        return spent

    def theirs(steps: int, out: Path) -> float:
        return script(
            diffusers / "examples" / "dreambooth" / "train_dreambooth_lora.py",
            out,
            instance_data_dir=pictures,
            class_data_dir=kinds,
            with_prior_preservation=True,
            num_class_images=len(names["kinds"]),
            instance_prompt=f"a photo of a {subject}",
            class_prompt=f"a photo of a {kind}",
            train_batch_size=batch,
            learning_rate=names["learning_rate"],
            rank=names["rank"],
            max_train_steps=steps,
        )

    def load_lora(pipe: DiffusionPipeline, out: Path) -> None:
        pipe.unet.load_lora_adapter(out, prefix="unet", use_safetensors=True)

    some = names["pictures"][:batch] + names["kinds"][:batch]
    prompts = [f"a photo of a {subject}"] * batch + names["kind_prompts"][:batch]
    return Contest(
        ours,
        theirs,
        lasts,
        "moai",
        None,
        subject,
        load_lora,
        load_lora,
        {
            "latents encoded once": lambda: names["encode"](
                names["pipe"], some, flip=False
            ),
            "prompts encoded once": lambda: names["embed"](prompts),
        },
    )


def hold(contest: Contest, steps: int | None, rounds: int, scratch: Path) -> None:
    """Measures one method and prints its table."""
    steps = (steps or contest.steps) - FEW
    each: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(rounds):
        for who in sorted(each, reverse=bool(number % 2)):
            took = []
            for count in (FEW, FEW + steps):
                out = scratch / f"{who}-{number}-{count}"
                out.mkdir(parents=True)
                took.append(getattr(contest, who)(count, out))
            each[who].append((took[1] - took[0]) / steps)
    ours, theirs = (statistics.median(each[who]) for who in ("ours", "theirs"))
    print(f"| {'':<34} | steps/s | over the script |")
    print("|---|---|---|")
    rows = {"the script": theirs, "the notebook": ours}
    for saving, work in contest.savings.items():
        work()
        spent = statistics.median(seconds(work) for _ in range(9))
        rows[f"the notebook without: {saving}"] = ours + spent
    for row, spent in rows.items():
        print(f"| {row:<34} | {1 / spent:.2f} | {theirs / spent:.2f} |")
    for who, load in (("ours", contest.load_ours), ("theirs", contest.load_theirs)):
        pipe = load_pipeline()
        load(pipe, scratch / f"{who}-0-{FEW + steps}")
        found = recognised(pipe, contest.subject, contest.words, contest.worn)
        print(f"recognised after {FEW + steps} steps, {who}: {100 * found:.0f} %")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("diffusers", type=Path, help="a checkout of diffusers")
    parser.add_argument("--steps", type=int, help="as in the notebooks")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not (options.diffusers / "examples").is_dir():
        parser.error(f"{options.diffusers} has no folder examples")
    for method in (textual_inversion, dreambooth):
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            print(f"\n{method.__name__}, {torch.get_num_threads()} threads\n")
            contest = method(options.diffusers.resolve(), scratch)
            hold(contest, options.steps, options.rounds, scratch)


if __name__ == "__main__":
    main()
