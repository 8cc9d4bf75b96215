"""Trains a LoRA on a folder of captioned pictures, on as many processes as are started.

    python scripts/train_lora.py out/12_blueprints out/my_lora
    torchrun --nproc-per-node 2 scripts/train_lora.py out/12_blueprints out/my_lora
    accelerate launch --num-processes 2 scripts/train_lora.py out/12_blueprints ...

Every picture, ``cat.png``, has its caption beside it, in ``cat.txt``. All processes
learn from the mean of their gradients; on graphics cards each takes one of its own.
Stopped, it goes on where it was when the same command is given again.
"""

import argparse
import os
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
from diffusers import DDPMScheduler

from helpers.captioned import open_captioned
from helpers.errors import Mistake
from helpers.latents import encode
from helpers.lora import add_lora, noise_loss, save_lora
from helpers.models import describe, load
from helpers.processes import join_processes, processes, rank
from helpers.training import Training


def train(options: argparse.Namespace) -> None:
    """Learns from the folder; the first process says how it goes, and saves."""
    pipe = load(options.model, dissect=True)
    model, unet = describe(pipe), pipe.unet
    pictures, captions = open_captioned(options.folder, model.size)
    latents = encode(pipe, pictures, flip=False)
    device = latents.mean.device
    with torch.no_grad():
        embeddings = pipe.encode_prompt(
            captions, device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )[0]  # (pictures, 77, width)

    parameters = add_lora(unet, "lora", options.rank, options.rank)
    training = Training(
        parameters,
        options.out / "training",
        steps=options.steps,
        learning_rate=options.speed * model.lora_rate,
        what=f"LoRA of rank {options.rank}",
        batch_size=options.batch_size,
        captions=captions,
        pictures=latents.digest,
        model=model.address,
        precision=unet.dtype,
    )
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    for _, generator in training:
        picks = torch.randint(len(latents), (options.batch_size,), generator=generator)
        clean = latents.draw(picks, generator)
        training.learn(noise_loss(unet, scheduler, clean, embeddings[picks], generator))
    print(f"{training.step} steps on {processes()} processes, {len(pictures)} pictures")
    if rank() == 0:
        print(f"Saved as {save_lora(unet, 'lora', options.out).name}")


def main() -> int:
    """Reads the command line; the first process speaks for all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="pictures, and their captions")
    parser.add_argument("out", type=Path, help="a folder for what is learned")
    parser.add_argument("--model", default="auto", help="as in the notebooks")
    parser.add_argument("--steps", type=int, default=400, help="%(default)s")
    parser.add_argument("--rank", type=int, default=8, help="%(default)s")
    parser.add_argument("--batch-size", type=int, default=4, help="in each process")
    parser.add_argument("--speed", type=float, default=1.0, help="of learning")
    options = parser.parse_args()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    join_processes()
    options.out.mkdir(parents=True, exist_ok=True)
    with redirect_stdout(open(os.devnull, "w")) if rank() else nullcontext():
        try:
            train(options)
        except Mistake as mistake:
            print(mistake, file=sys.stderr)
            return 1
    if processes() > 1:
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
