"""Which device a thread launches on."""

from __future__ import annotations

import torch


def make_current(device: torch.device) -> None:
    """For this thread: Triton launches on the current device, wherever its tensors are."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
