"""A thread launches on the device that its tensors are on, and a device is tried before its use."""

from __future__ import annotations

import os

import pytest
import torch

from cortex.engine.current_device import make_current, open_device
from cortex.engine.errors import DevicePoisoned, EngineFailed
from cortex.engine.loop import DeviceLoop
from cortex.engine.wishes import Wishes


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_a_gpu_becomes_the_threads_own_and_a_cpu_needs_no_word(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", told.append)

    make_current(torch.device(name))

    assert told == [torch.device(name)] * (name != "cpu")


def test_a_device_is_opened_once_its_numbers_are_the_drivers_tools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []

    def take(size: int, device: torch.device) -> torch.Tensor:
        done.append((size, device))
        return torch.zeros(size)

    def put(name: str, value: str) -> None:
        done.append((name, value))

    monkeypatch.setattr(os, "putenv", put)
    monkeypatch.setattr(torch.cuda, "init", lambda: done.append("init"))
    monkeypatch.setattr(torch.cuda, "set_device", done.append)
    monkeypatch.setattr(torch, "ones", take)
    device = torch.device("cuda:1")

    open_device(torch.device("cpu"))
    open_device(device)

    assert done == [("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), "init", device, (1, device)]


@pytest.mark.parametrize("refusing", ["init", "set_device"])
def test_a_device_that_cannot_be_opened_is_told_in_torchs_first_line(
    refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old.\nadvice")

    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, refusing, refuse)

    with pytest.raises(EngineFailed) as failed:
        open_device(torch.device("cuda:0"))

    told = "the GPU cannot be used: The NVIDIA driver on your system is too old"
    assert (failed.value.message, failed.value.hint) == (told, "to compute without it: --gpu cpu")


def test_a_card_that_torch_has_no_kernels_for_is_named_with_what_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def launch(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available for execution")

    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    card = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "set_device", str)
    monkeypatch.setattr(torch.cuda, "get_device_capability", {card: (6, 1)}.get)
    monkeypatch.setattr(torch.cuda, "get_device_name", {card: "Tesla P40"}.get)
    monkeypatch.setattr(torch, "ones", launch)

    with pytest.raises(EngineFailed, match=r"Tesla P40 \(compute capability 6\.1\)") as failed:
        open_device(card)

    assert "CUDA 12.6" in failed.value.hint


def test_a_device_thread_that_gets_no_device_says_what_its_process_must_end_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(_: torch.device) -> None:
        raise torch.AcceleratorError("CUDA error: device lost")

    monkeypatch.setattr("cortex.engine.loop.make_current", lost)

    with pytest.raises(DevicePoisoned, match="device lost"):
        DeviceLoop(torch.device("cpu"), None, Wishes(), lambda _: None).run()
