"""Several processes that share the work, where they were started together.

https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import distributed


def join_processes() -> None:
    """Joins the processes that were started together with this one, if there are any.

    ``torchrun`` and ``accelerate launch`` say so in the environment.
    """
    if "RANK" in os.environ and not distributed.is_initialized():
        kind = "nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(kind, timeout=timedelta(hours=2))


def seat() -> tuple[int, int]:
    """Which process this is, and of how many, as the one that started them says.

    For work that needs no joining: nobody is asked, so nobody can be waited for.
    """
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def take_own_card() -> None:
    """Lets this process see one graphics card only, its own, where there are several.

    To be called before anything is on a card. Where processes outnumber the cards, they
    share them.
    """
    count = torch.cuda.device_count()
    if count > 1 and "LOCAL_RANK" in os.environ:
        every = ",".join(map(str, range(count)))
        cards = os.environ.get("CUDA_VISIBLE_DEVICES", every).split(",")
        own = cards[int(os.environ["LOCAL_RANK"]) % count]
        os.environ["CUDA_VISIBLE_DEVICES"] = own


def rank() -> int:
    """The number of this process among those that share the work."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def processes() -> int:
    """How many processes share the work."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def as_the_first_says(flag: bool) -> bool:
    """What the first process says, in all of them."""
    if processes() > 1:
        said = torch.tensor(float(flag))
        if distributed.get_backend() == "nccl":
            said = said.cuda()
        distributed.broadcast(said, 0)
        flag = bool(said)
    return flag


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Gives every process the mean of all processes' gradients."""
    if processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= processes()
    parts = flat.split([g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
