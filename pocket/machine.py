"""Where the pocket model trains, and in which numbers."""

import math
import time
from dataclasses import replace

import torch

from helpers.device import Device, find_device


def find_training_device() -> Device:
    """The fastest device, and bfloat16 where a matrix product is faster in it."""
    device = find_device()
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return replace(device, dtype=torch.bfloat16 if fast else torch.float32)

    def seconds(dtype: torch.dtype) -> float:
        a, best = torch.ones(1024, 1024, dtype=dtype, device=device.type), math.inf
        for _ in range(10):  # the best of ten, as something else may be running
            start = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - start)
        return best

    fast = seconds(torch.bfloat16) < 0.7 * seconds(torch.float32)
    return replace(device, dtype=torch.bfloat16 if fast else torch.float32)


def autocast(device: Device) -> torch.autocast:
    """Matrix products in the device's numbers, everything else in float32."""
    return torch.autocast(
        device.type, device.dtype, enabled=device.dtype != torch.float32
    )
