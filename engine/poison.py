"""Which errors of a device last: after one of them every further call on the device fails too.

An illegal access or a failed assertion in a kernel spoils the driver's context for as long as the
process lives. Running out of memory does not, nor does work that could not be recorded as a graph:
they are no such errors.
"""

from __future__ import annotations

import torch

from .errors import DevicePoisoned

# The driver's words for what passes. Capture, captured, capturing: what ends a recording alone. And
# memory that the driver takes by itself, for kernels or for a graph, may be missing.
_PASSING = ("captur", "out of memory")


def poison_of(error: BaseException) -> DevicePoisoned | None:
    """What the process must end with because of this error; None where it may go on."""
    if isinstance(error, DevicePoisoned):
        return error
    if isinstance(error, torch.AcceleratorError):
        # The driver's first line names what happened to the device; advice follows it.
        reason = str(error).partition("\n")[0]
        if any(words in reason for words in _PASSING):
            return None
        return DevicePoisoned(
            f"the device failed for good: {reason}", "a new engine process takes over"
        )
    return None


def raise_poison(error: BaseException) -> None:
    """Where it lasts: what is tried after it would fail for no reason of its own."""
    if (poison := poison_of(error)) is not None:
        raise poison from None
