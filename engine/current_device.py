"""Which device a thread launches on, and whether a device can be launched on at all."""

from __future__ import annotations

import os

import torch

from .errors import EngineFailed


def make_current(device: torch.device) -> None:
    """For this thread: Triton launches on the current device, wherever its tensors are."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def open_device(device: torch.device) -> None:
    """For a process, before anything else is done with its device: its first use of one takes
    seconds, and tells whether the driver serves.

    Raises EngineFailed with what torch says of one that does not.
    """
    if device.type != "cuda":
        return
    # Devices count as the driver's tool counts them, and as the peer means them.
    os.putenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        torch.cuda.init()
        make_current(device)
        torch.empty(1, device=device)
    except Exception as error:
        # Its number is torch's, for this process alone: whoever started it knows which GPU it is.
        # Of torch's first line all is said: advice for programmers follows.
        reason = str(error).partition("\n")[0]
        raise EngineFailed(
            f"the GPU cannot be used: {reason.removesuffix('.')}",
            "to compute without it: --gpu cpu",
        ) from None
