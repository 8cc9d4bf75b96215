"""The same gallery on as many machines as a Ray cluster has: ``pip install ray`` first.

    python scripts/make_gallery_on_ray.py out/cities --prompt "a castle, overgrown"
    python scripts/make_gallery_on_ray.py out/cities --workers 2
    python scripts/make_gallery_on_ray.py /shared/cities --address auto --workers 16

The list, the folder and the way of going on are those of ``make_gallery.py``; Ray hands
the pictures out, replaces workers that die, and gives each a graphics card of its own
where there are any. On several machines the folder has to be one that all of them see,
and the course has to lie in the same place on each.
"""

import sys
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from helpers import gallery
from helpers.errors import Mistake, in_plain_words
from scripts.make_gallery import options, rows_of


class Painter:
    """One worker: loads the model once, then makes what it is handed."""

    def __init__(self, folder: Path, model: str, number: int) -> None:
        """Loads the gallery's model."""
        from helpers.models import load

        self.folder, self.number = folder, number
        self.pipe = load(model)
        self.pipe.set_progress_bar_config(disable=True)

    def paint(self, rows: list[gallery.Row]) -> int:
        """Makes the pictures of some rows, all at once; says how many were missing."""
        made = gallery.make(
            self.pipe, self.folder, rows, batch_size=len(rows), process=self.number
        )
        return len(list(made))


def hand_out(folder: Path, missing: list[gallery.Row], asked: Namespace) -> int:
    """Starts the workers and hands them the pictures, some at a time.

    A worker that dies is started again, and gets the pictures again that it had.

    Returns:
        How many pictures were made.
    """
    import ray
    from ray.util import ActorPool

    ray.init(
        address=asked.address,
        num_cpus=None if asked.address else asked.workers,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        include_dashboard=None if asked.address else False,
    )
    ways = {"num_cpus": 1, "num_gpus": int(torch.cuda.is_available())}
    worker = ray.remote(max_restarts=3, max_task_retries=3, **ways)(Painter)
    model, some = missing[0]["model"], asked.batch or 1
    pool = ActorPool(
        [worker.remote(folder, model, number) for number in range(asked.workers)]
    )
    parts = [missing[i : i + some] for i in range(0, len(missing), some)]
    return sum(pool.map_unordered(lambda one, part: one.paint.remote(part), parts))


def work() -> None:
    """Hands out what is not there yet."""
    asked = options(__doc__, ray=True)
    if find_spec("ray") is None:
        raise Mistake("no ray", "Ray is not installed: pip install ray.")
    rows = rows_of(asked)
    folder = asked.folder.resolve()  # workers start elsewhere
    missing = gallery.to_do(folder, rows)
    print(f"{len(missing)} pictures to make.", flush=True)
    if missing:
        print(f"{hand_out(folder, missing, asked)} pictures made.", flush=True)
    gallery.sweep(folder)


def main() -> int:
    """Works, and says in a sentence what cannot be done."""
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        if (said := in_plain_words(error)) is None:
            raise
        print(said, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
