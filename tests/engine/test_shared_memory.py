"""A GPU that has its machine's memory for its own: what is free of it, and what is kept beside."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cortex.engine import gauge, loop
from cortex.engine.decoding import cuda_graphs
from cortex.engine.decoding.cuda_graphs import CudaCapture
from cortex.engine.gauge import gpu_memory
from cortex.engine.loop import DeviceLoop
from cortex.engine.wishes import Wishes

GIB = 1 << 30
DEVICE = torch.device("cuda:0")


def machine(monkeypatch: pytest.MonkeyPatch, *, is_integrated: int) -> None:
    """Whose driver takes pages of files for taken: 8 GiB are free by its word, 100 by Linux's."""
    told = SimpleNamespace(is_integrated=is_integrated)
    monkeypatch.setattr(torch.cuda, "mem_get_info", {DEVICE: (8 * GIB, 120 * GIB)}.get)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {DEVICE: told}.get)
    monkeypatch.setattr(gauge, "available_memory_bytes", lambda: 100 * GIB)
    monkeypatch.setattr(loop, "available_memory_bytes", lambda: 100 * GIB)


def room_bytes(memory_bytes: int | None = None) -> tuple[int, int]:
    """For models and for what was read before."""
    opened = DeviceLoop(DEVICE, memory_bytes, Wishes(), lambda _: None)
    return opened._free_bytes(), opened.remembered_bytes  # pyright: ignore[reportPrivateUsage]


def test_what_the_system_would_give_is_free_of_a_gpu_that_has_the_machines_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, is_integrated=1)
    assert gpu_memory(DEVICE) == (100 * GIB, 120 * GIB)
    machine(monkeypatch, is_integrated=0)
    assert gpu_memory(DEVICE) == (8 * GIB, 120 * GIB)
    assert gpu_memory(torch.device("cpu")) == (0, 0)


def test_what_a_load_pushed_to_swap_is_its_own_still(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmRSS:\t 900 kB\nRssAnon:\t 700 kB\nRssFile:\t 200 kB\nVmSwap:\t 60 kB\n")
    assert gauge.private_bytes(status) == 760 * 1024
    assert gauge.private_bytes(tmp_path / "none") == 0


def test_where_no_file_can_be_opened_a_gpu_has_free_what_its_driver_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def available_bytes() -> int:
        raise OSError(24, "too many open files")

    machine(monkeypatch, is_integrated=1)
    monkeypatch.setattr(gauge, "available_memory_bytes", available_bytes)
    assert gpu_memory(DEVICE) == (8 * GIB, 120 * GIB)


def test_steps_look_once_a_second_whether_there_is_room_for_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def memory(_: torch.device) -> tuple[int, int]:
        return free_bytes.pop(0), 120 * GIB

    def record() -> None:
        raise RuntimeError("no memory left")

    free_bytes, now_s = [GIB, 0, GIB, 0], 0.0
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", tuple[int, int])
    monkeypatch.setattr(cuda_graphs, "_recording_stream", str)
    monkeypatch.setattr(cuda_graphs, "gpu_memory", memory)
    capture = CudaCapture(DEVICE, lambda: now_s)
    assert [capture.has_room for _ in range(3)] == [True] * 3
    now_s = 1.0
    assert not capture.has_room
    now_s = 1.9
    assert not capture.has_room
    now_s = 2.0
    assert capture.has_room
    monkeypatch.setattr(torch.cuda, "CUDAGraph", record)
    with pytest.raises(RuntimeError):
        capture(record)
    assert not capture.has_room


def test_models_and_what_was_read_before_share_such_a_gpus_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, is_integrated=1)
    assert room_bytes() == (int(0.9 * 85 * GIB), 15 * GIB)
    assert room_bytes(memory_bytes=8 * GIB) == (6 * GIB, 2 * GIB)
    machine(monkeypatch, is_integrated=0)
    assert room_bytes() == (int(0.9 * 8 * GIB), 0)
