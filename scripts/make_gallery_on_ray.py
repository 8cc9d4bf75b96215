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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from helpers import gallery
from helpers.errors import Mistake, in_plain_words
from scripts.make_gallery import options, rows_of


class Painter:
    """One worker: loads the model once, then makes what it is handed."""

    def __init__(self, folder: Path, rows: list[gallery.Row]) -> None:
        """Loads the model of the gallery's rows."""
        from helpers.models import load

        self.folder, self.rows = folder, rows
        self.pipe = load(rows[0]["model"])
        self.pipe.set_progress_bar_config(disable=True)

    def __call__(self, batch: dict) -> dict:
        """Makes the pictures of some indices; those that are there stay."""
        rows = [self.rows[index] for index in batch["index"]]
        made = gallery.make(self.pipe, self.folder, rows, batch_size=len(rows))
        return {"made": [row["index"] for row in made]}


def work() -> None:
    """Hands out what is not there yet."""
    asked = options(__doc__, ray=True)
    try:
        import ray
    except ImportError:
        raise Mistake("no ray", "Ray is not installed: pip install ray.") from None
    rows = rows_of(asked)
    folder = asked.folder.resolve()  # workers start elsewhere
    missing = gallery.to_do(folder, rows)
    print(f"{len(missing)} pictures to make.", flush=True)
    if missing:
        paths = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        ray.init(address=asked.address, runtime_env=paths)
        batch = asked.batch or 1
        tasks = ray.data.from_items([{"index": row["index"]} for row in missing])
        made = tasks.repartition(-(-len(missing) // batch)).map_batches(
            Painter,
            fn_constructor_args=(folder, rows),
            batch_size=batch,
            compute=ray.data.ActorPoolStrategy(size=asked.workers),
            num_gpus=1 if torch.cuda.is_available() else None,
        )
        print(f"{made.count()} pictures made.", flush=True)
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
