"""A gallery on every graphics card, or on every core: what is missing of it gets made.

    python scripts/make_gallery.py out/cities --prompt "a castle, overgrown" --count 200
    torchrun --nproc_per_node 2 scripts/make_gallery.py out/cities
    accelerate launch scripts/make_gallery.py out/cities

The first command writes the list of what shall be there, and begins. Stopped or killed,
it goes on with the folder's name alone, in as many processes as are started together.
On a CPU start them with ``torchrun``: ``accelerate launch --cpu`` starts a single one
(https://github.com/huggingface/accelerate/issues/2741).
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers import gallery
from helpers.errors import in_plain_words
from helpers.processes import seat, take_own_card


def options(text: str, ray: bool = False) -> argparse.Namespace:
    """What was typed; ``ray`` adds what only the script for Ray takes."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the gallery")
    add = parser.add_argument_group("of a new gallery").add_argument
    add("--prompt", action="append", help="again and again: they take turns")
    add("--count", type=int, default=200, help="pictures (200)")
    add("--first-seed", type=int, default=0, help="of the first picture (0)")
    add("--model", help="a name of the catalogue, an address or a folder (auto)")
    add("--steps", type=int, help="as suits the model")
    add("--guidance", type=float, help="as suits the model")
    add = parser.add_argument_group("of this sitting").add_argument
    add("--batch", type=int, help="pictures at once (1: equal in every pixel)")
    if ray:
        add("--workers", type=int, default=2, help="that draw at the same time (2)")
        add("--address", help="of a cluster, or auto; without it, this machine alone")
    return parser.parse_args()


def rows_of(asked: argparse.Namespace) -> list[gallery.Row]:
    """The manifest's rows; it is written where prompts are given.

    Raises:
        Mistake: There is no such gallery or model, or the folder has another one.
    """
    if not asked.prompt:
        return gallery.read_manifest(asked.folder)
    from helpers.device import find_device
    from helpers.models import choose

    model, _ = choose(asked.model or "auto", find_device())
    return gallery.plan(
        asked.folder,
        asked.prompt,
        asked.count,
        first_seed=asked.first_seed,
        model=model.address,
        size=model.size,
        num_inference_steps=model.steps if asked.steps is None else asked.steps,
        guidance_scale=model.guidance_scale
        if asked.guidance is None
        else asked.guidance,
    )


def work(asked: argparse.Namespace) -> None:
    """This process's share of what is not there yet."""
    take_own_card()
    process, processes = seat()
    rows = rows_of(asked)
    share = gallery.to_do(asked.folder, rows, process, processes)
    print(
        f"Process {process} of {processes}: {len(share)} pictures to make.", flush=True
    )
    if share:
        from helpers.memory import count_that_fits
        from helpers.models import load
        from helpers.settings import check_settings

        pipe = load(share[0]["model"])
        pipe.set_progress_bar_config(disable=True)
        check_settings(pipe, num_inference_steps=share[0]["num_inference_steps"])
        neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        most = count_that_fits(pipe, share[0]["size"], asked.batch or 1, neighbours)
        made = gallery.make(pipe, asked.folder, share, batch_size=most, process=process)
        for _ in made:
            pass
    gallery.sweep(asked.folder)
    print(f"Process {process} is done.", flush=True)


def main() -> int:
    """Works, and says in a sentence what cannot be done."""
    try:
        work(options(__doc__))
    except (Exception, KeyboardInterrupt) as error:
        if (said := in_plain_words(error)) is None:
            raise
        if seat()[0] == 0:
            print(said, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
