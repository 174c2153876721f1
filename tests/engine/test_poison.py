"""Which errors end an engine process, and which only a request."""

from __future__ import annotations

import torch

from cortex.engine.errors import DevicePoisoned, InvalidRequest
from cortex.engine.poison import poison_of


def test_device_error_that_lasts_is_poison_and_says_the_drivers_first_line() -> None:
    poison = poison_of(torch.AcceleratorError("CUDA error: assert triggered\nadvice"))
    assert poison is not None
    assert poison.message == "the device failed for good: CUDA error: assert triggered"


def test_poison_stays_what_it_is() -> None:
    poison = DevicePoisoned("simulated")
    assert poison_of(poison) is poison


def test_errors_that_pass_are_no_poison() -> None:
    passing = (
        torch.OutOfMemoryError("full"), RuntimeError("shapes"), InvalidRequest("wrong"),
        torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing"),
        torch.AcceleratorError(
            "CUDA error: operation failed due to a previous error during capture\nadvice"
        ),
        torch.AcceleratorError("CUDA error: out of memory\nadvice"),
    )  # fmt: skip
    assert [poison_of(error) for error in passing] == [None] * len(passing)
