"""What an error is to whoever asked, and what the log says of it."""

from __future__ import annotations

import pytest
import torch

from cortex.engine.failing import described

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of"
    " which 1.06 GiB is free. See documentation for Memory Management"
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError(FULL), "CUDA out of memory. Tried to allocate 2.00 GiB."),
        (torch.AcceleratorError("CUDA error: out of memory\nadvice"), "CUDA error: out of memory."),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`.",
        ),
    ],
)
def test_memory_that_does_not_reach_is_no_bug_and_may_be_there_later(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    info = described("load failed", error)

    assert (info.code, info.shortage) == ("insufficient_vram", None)
    assert info.message == f"the device's memory does not reach: {told}"
    assert "--memory" in info.hint
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def torchs_own() -> Exception:
    """More than any machine can address."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8, device="cpu")
    return caught.value


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torchs_own(), f"you tried to allocate {1 << 62} bytes."),
        (MemoryError("a client's words"), "Python was refused some."),
    ],
)
def test_a_machines_memory_that_does_not_reach_is_no_bug_either(
    error: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    info = described("request failed", error)

    assert (info.code, info.shortage) == ("insufficient_vram", None)
    assert info.message == f"the machine's memory does not reach: {told}"
    assert "--memory" in info.hint
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_only_a_devices_words_are_believed() -> None:
    info = described("request failed", RuntimeError("the client's prompt: out of memory"))

    assert (info.code, "prompt" in info.message) == ("internal_error", False)
