"""Which machine is this? The one that torch would use."""

import psutil
import torch

from helpers.device import GB, find_device


def test_the_device_is_the_one_torch_would_use():
    device = find_device()
    torch.ones(1, dtype=device.dtype, device=device.type)
    assert (device.type == "cuda") == torch.cuda.is_available()
    if device.type == "cpu":
        assert device.dtype == torch.float32
        assert device.memory_gb == psutil.virtual_memory().total / GB
