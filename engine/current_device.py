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
    seconds, and tells whether the driver serves, and whether torch has kernels for it.

    Raises EngineFailed with what torch says of one that does not.
    """
    if device.type != "cuda":
        return
    # Devices count as the driver's tool counts them, and as the peer means them.
    os.putenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        torch.cuda.init()
        make_current(device)
        torch.ones(1, device=device).item()  # by a kernel of torch's
    except Exception as error:
        # Its number is torch's, for this process alone: whoever started it knows which GPU it is.
        # Of torch's first line all is said: advice for programmers follows.
        reason = str(error).partition("\n")[0]
        if "no kernel image" in reason:
            raise _has_no_kernels(device) from None
        raise EngineFailed(
            f"the GPU cannot be used: {reason.removesuffix('.')}",
            "to compute without it: --gpu cpu",
        ) from None


def _has_no_kernels(device: torch.device) -> EngineFailed:
    """Such an error is no harm to a device: its process could go on, with nothing to compute by."""
    major, minor = torch.cuda.get_device_capability(device)
    name = torch.cuda.get_device_name(device)
    return EngineFailed(
        f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, has no kernels for"
        f" {name} (compute capability {major}.{minor})",
        "install a torch that was built for it (that for CUDA 12.6 has kernels for most), or leave"
        " it out: --gpu 0,1 names those to compute with, --gpu cpu none",
    )
