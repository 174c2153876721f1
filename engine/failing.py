"""What went wrong, as it is told to whoever asked."""

from __future__ import annotations

import logging

import torch

from .child import log_unexpected
from .errors import CortexError, ErrorInfo, InsufficientVram, machine_is_short, to_info
from .poison import raise_poison

_SHORT = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
# torch has no error of its own for a CPU: a line of its code, in brackets, and then these words.
_CPU_SHORT = "DefaultCPUAllocator: can't allocate memory: "

logger = logging.getLogger(__name__)


def described(event: str, error: Exception) -> ErrorInfo:
    """The error for its consumer; where it is a bug, its place for the log, never its text.

    Raises DevicePoisoned, for whoever drives the loop, where nothing more can be computed here.
    """
    if (shortage := shortage_of(error)) is not None:
        logger.warning("%s: %s", event, shortage.message)
        return to_info(shortage)
    if not isinstance(error, CortexError):
        log_unexpected(logger, event, error)
    raise_poison(error)
    return to_info(error)


def shortage_of(error: Exception) -> InsufficientVram | None:
    """What an error of torch means that says that the device's memory did not reach: others may
    free some. None for any other.
    """
    reason = str(error).partition("\n")[0]
    if isinstance(error, MemoryError):
        return machine_is_short("Python was refused some")
    is_cpus = isinstance(error, RuntimeError) and reason.startswith("[enforce fail at ")
    if is_cpus and _CPU_SHORT in reason:
        return machine_is_short(reason.partition(_CPU_SHORT)[2].partition(". ")[0])
    # The driver and a library that ask for memory by themselves say it in words of their own.
    is_drivers = isinstance(error, RuntimeError) and reason.startswith("CUDA error: ")
    if not isinstance(error, torch.OutOfMemoryError) and not (
        is_drivers and any(words in reason for words in _SHORT)
    ):
        return None
    # Then torch tells who holds how much, and its own settings.
    told = ". ".join(reason.split(". ")[:2]).removesuffix(".")
    return InsufficientVram(
        f"the device's memory does not reach: {told}.",
        "leave more of it free: a smaller --memory, or close what else uses the device",
    )
