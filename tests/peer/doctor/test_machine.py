"""What a machine brings, judged from values."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.peer.devices.gpus import Gpu
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
MACHINE = Machine("3.12.1", "2.11.0+cu128", False, 1, (CARD,), 16, 64 * GIB, 60 * GIB)


def found(machine: Machine, check: str) -> Finding:
    return next(finding for finding in judge_machine(machine) if finding.check == check)


def test_a_machine_in_order_has_nothing_to_mend() -> None:
    findings = judge_machine(MACHINE)

    assert {finding.level for finding in findings} == {"ok"}
    assert not any(finding.fix for finding in findings)
    assert found(MACHINE, "software").text == "python 3.12.1, torch 2.11.0+cu128, driver 570.124"
    assert found(MACHINE, "device").text == "gpu 0 H100: 78.1/79.6 GiB free"


@pytest.mark.parametrize(
    ("changes", "check", "level", "words"),
    [
        ({"torch": None}, "software", "warn", "without torch"),
        ({"torch_is_for_cpus": True}, "software", "warn", "stays idle"),
        ({"torch": "2.12.0+cu130"}, "software", "FAIL", "580 or newer, this is 570.124"),
        ({"gpus": None}, "device", "FAIL", "nvidia-smi does not answer"),
        ({"free_memory_bytes": GIB}, "memory", "warn", "1.0/64.0 GiB"),
        ({"num_gpus": 0, "gpus": ()}, "device", "ok", "16 CPU cores"),
    ],
)
def test_what_is_wrong_is_named_with_its_value(
    changes: dict[str, object], check: str, level: str, words: str
) -> None:
    finding = found(replace(MACHINE, **changes), check)

    assert finding.level == level
    assert words in finding.text
    assert bool(finding.fix) == (level != "ok")


async def test_this_machine_is_looked_at_without_torch_being_loaded() -> None:
    machine = await look_at_machine(0, torch_is_for_cpus=True)

    assert machine.num_cores == os.cpu_count()
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
