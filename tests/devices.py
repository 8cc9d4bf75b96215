"""Machines to choose for; a test needs none of them."""

import torch

from helpers.device import Device

T4 = Device("cuda", "Tesla T4", 15.8, torch.float16)
SMALL_CARD = Device("cuda", "a small card", 3.4, torch.float16)
TINY_CARD = Device("cuda", "a tiny card", 1.3, torch.float16)
MAC = Device("mps", "Apple GPU", 8.6, torch.float32)
CPU = Device("cpu", "CPU with 2 cores", 4.3, torch.float32)
