"""What a machine brings, judged from values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.engine.cores import usable_cores
from cortex.peer.config import Card
from cortex.peer.devices import gpus
from cortex.peer.devices.gpus import Gpu
from cortex.peer.doctor import machine as doctor_machine
from cortex.peer.doctor.findings import Finding
from cortex.peer.doctor.machine import (
    Machine,
    Place,
    judge_machine,
    judge_place,
    look_at_machine,
    look_at_place,
)

GIB = 1024**3
CARD = Gpu(0, "H100", 81559 << 20, 80000 << 20, "570.124")
OURS = (Card(0, "GPU-1", "Tesla P40", "6.1"),)
UNTOLD = Gpu(1, "GB10", 0, 0, "580.95")
MACHINE = Machine("3.12.1", "2.11.0", "12.8", 1, (CARD,), 16, 64 * GIB, 60 * GIB)


def found(machine: Machine, check: str) -> Finding:
    return next(finding for finding in judge_machine(machine) if finding.check == check)


def test_a_machine_in_order_has_nothing_to_mend() -> None:
    findings = judge_machine(MACHINE)

    assert {finding.level for finding in findings} == {"ok"}
    assert not any(finding.fix for finding in findings)
    assert found(MACHINE, "software").text == "python 3.12.1, torch 2.11.0, driver 570.124"
    assert found(MACHINE, "device").text == "gpu 0 H100: 78.1/79.6 GiB free"


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"torch": None}, "software", "warn", "without torch"),
        ({"torch_cuda": ""}, "software", "warn", "stays idle"),
        ({"torch_cuda": "13.0"}, "software", "FAIL", "580 or newer, this is 570.124"),
        (
            {"missing": ("C compiler", "Python.h"), "install": "sudo dnf"},
            "software",
            "warn",
            "no C compiler and no Python.h",
        ),
        ({"gpus": "too slow"}, "device", "FAIL", "1 NVIDIA device, and nvidia-smi takes longer"),
        ({"gpus": "failed"}, "device", "FAIL", "nvidia-smi fails"),
        ({"gpus": "no tool"}, "device", "warn", "no nvidia-smi"),
        ({"gpus": (UNTOLD,)}, "device", "warn", "gpu 1 GB10: nvidia-smi tells no memory"),
        ({"free_memory_bytes": GIB}, "memory", "warn", "1.0/64.0 GiB"),
        ({"num_gpus": 0, "gpus": ()}, "device", "ok", "16 CPU cores"),
        ({"num_gpus": 0, "why_unseen": "in WSL"}, "device", "ok", "CPU cores compute; in WSL"),
        ({"weak": {0: "gpu 0 P40 has 6.1"}}, "device", "warn", "gpu 0 P40 has 6.1: it stays idle"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(
    changes: dict[str, object], check: str, level: str, words: str
) -> None:
    finding = found(replace(MACHINE, **changes), check)

    assert finding.level == level
    assert words in finding.text
    assert bool(finding.fix) == (level != "ok")


def test_gpus_that_can_be_read_are_shown_beside_one_that_cannot() -> None:
    findings = judge_machine(replace(MACHINE, num_gpus=2, gpus=(UNTOLD, CARD)))
    told = [(each.level, each.text) for each in findings if each.check == "device"]
    assert told == [
        ("warn", "gpu 1 GB10: nvidia-smi tells no memory of it"),
        ("ok", "gpu 0 H100: 78.1/79.6 GiB free"),
    ]


async def test_a_tool_that_is_slow_is_told_from_one_that_is_not_there_or_fails(
    driver_tool: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "ANSWER_S", 0.2)
    driver_tool("exec sleep 600")
    assert (await look_at_machine(OURS, "")).gpus == "too slow"
    monkeypatch.setattr(gpus, "ANSWER_S", 10)
    driver_tool("echo no; exit 9")
    assert (await look_at_machine(OURS, "")).gpus == "failed"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "_ELSEWHERE", ())
    assert (await look_at_machine(OURS, "")).gpus == "no tool"


async def test_what_kernels_are_compiled_with_is_looked_for_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    def include_folder(_: str) -> str:
        return str(tmp_path)

    monkeypatch.setattr("sysconfig.get_path", include_folder)
    assert (await look_at_machine(OURS, "")).missing == ("C compiler", "Python.h")
    assert (await look_at_machine((), "")).missing == ()
    (tmp_path / "gcc").touch(mode=0o755)
    (tmp_path / "Python.h").touch()
    assert (await look_at_machine(OURS, "")).missing == ()
    (tmp_path / "gcc").rename(tmp_path / "x86_64-conda-linux-gnu-cc")
    assert (await look_at_machine(OURS, "", "x86_64-conda-linux-gnu-cc")).missing == ()
    assert (await look_at_machine(OURS, "", "gcc")).missing == ("C compiler",)


async def test_a_card_that_this_torch_has_nothing_for_is_seen() -> None:
    assert [*(await look_at_machine(OURS, "13.0")).weak] == [0]
    assert not (await look_at_machine(OURS, "12.6")).weak


@pytest.mark.parametrize("error", [OSError(24, "too many open files"), KeyError("MemAvailable")])
async def test_a_machine_whose_memory_cannot_be_read_is_told_of_without_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def available_bytes() -> int:
        raise error

    monkeypatch.setattr(doctor_machine, "available_memory_bytes", available_bytes)
    assert (await look_at_machine((), "")).free_memory_bytes is None


async def test_this_machine_is_looked_at_without_torch_being_loaded() -> None:
    machine = await look_at_machine((), "")

    assert machine.num_cores == usable_cores()
    assert not any(finding.level == "FAIL" for finding in judge_machine(machine))


@pytest.mark.parametrize(
    ("free_bytes", "is_writable", "level"),
    [(50 * GIB, True, "ok"), (GIB, True, "warn"), (GIB // 8, True, "FAIL"), (GIB, False, "FAIL")],
)
def test_a_disk_is_judged_by_its_room_and_its_owner(
    free_bytes: int, is_writable: bool, level: str
) -> None:
    finding = judge_place(Place("models", Path("/m"), free_bytes, is_writable, 20 * GIB))

    assert finding.level == level
    assert "/m" in finding.text


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    place = look_at_place("state", tmp_path / "not" / "yet", 1)

    assert place.is_writable
    assert place.free_bytes > 0
