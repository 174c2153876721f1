"""A thread launches on the device that its tensors are on."""

from __future__ import annotations

import pytest
import torch

from cortex.engine.current_device import make_current


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_a_gpu_becomes_the_threads_own_and_a_cpu_needs_no_word(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", told.append)

    make_current(torch.device(name))

    assert told == [torch.device(name)] * (name != "cpu")
