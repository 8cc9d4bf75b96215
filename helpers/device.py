"""Which machine is this? Memory is counted in GB of 10^9 bytes, here and everywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import torch

GB = 10**9  # bytes, as disks and downloads are counted


@dataclass(frozen=True)
class Device:
    """The part of a machine that does the computing.

    Attributes:
        type: ``"cuda"``, ``"mps"``, ``"xpu"`` or ``"cpu"``, as torch calls it.
        name: What people call it, such as ``"Tesla T4"``.
        memory_gb: All its memory in GB; what it shares with a CPU counts.
        dtype: The numbers in which it draws pictures fast and safely.
    """

    type: str
    name: str
    memory_gb: float
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.name}, {self.memory_gb:.1f} GB"


def find_device() -> Device:
    """Finds the fastest device here: an NVIDIA or AMD card, Apple, Intel, the CPU.

    The dtype is float16 on cards, since a T4 has no bfloat16. It is float32 on a
    CPU, where the short types are slower, and on Apple's chips, where float16 has
    given black pictures (https://github.com/huggingface/diffusers/issues/11229).
    """
    ram_gb = psutil.virtual_memory().total / GB
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        return Device("cuda", card.name, card.total_memory / GB, torch.float16)
    if torch.xpu.is_available():
        card = torch.xpu.get_device_properties(0)
        return Device("xpu", card.name, card.total_memory / GB, torch.float16)
    if torch.backends.mps.is_available():
        return Device("mps", "Apple GPU", ram_gb, torch.float32)
    return Device("cpu", f"CPU with {os.cpu_count()} cores", ram_gb, torch.float32)
