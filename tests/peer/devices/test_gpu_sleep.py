"""Whether NVIDIA GPUs are asleep, by a folder as the kernel has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.peer.devices.gpu_sleep import are_asleep

VGA, COMPUTE, SOUND = "0x030000", "0x030200", "0x040300"
NVIDIA, INTEL = "0x10de", "0x8086"


def lay(folder: Path, *devices: tuple[str, str, str]) -> Path:
    for number, (vendor, kind, status) in enumerate(devices):
        power = folder / f"0000:0{number}:00.0" / "power"
        power.mkdir(parents=True)
        (power.parent / "vendor").write_text(vendor + "\n")
        (power.parent / "class").write_text(kind + "\n")
        (power / "runtime_status").write_text(status + "\n")
    return folder


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ([(NVIDIA, VGA, "suspended")], True),
        ([(NVIDIA, COMPUTE, "suspended"), (INTEL, VGA, "active"), (NVIDIA, SOUND, "active")], True),
        ([(NVIDIA, VGA, "suspended"), (NVIDIA, COMPUTE, "active")], False),
        ([(NVIDIA, VGA, "suspending")], False),
        ([(INTEL, VGA, "suspended"), (NVIDIA, SOUND, "suspended")], False),
        ([], False),
    ],
    ids=["a laptop", "beside others", "one is awake", "not yet", "none of them", "nothing there"],
)
def test_gpus_are_asleep_when_all_of_them_are(
    devices: list[tuple[str, str, str]], expected: bool, tmp_path: Path
):
    assert are_asleep(lay(tmp_path, *devices)) == expected


def test_where_the_kernel_does_not_tell_they_are_awake(tmp_path: Path):
    assert not are_asleep(tmp_path / "none")
    (lay(tmp_path, (NVIDIA, VGA, "suspended")) / "0000:00:00.0/power/runtime_status").unlink()
    assert not are_asleep(tmp_path)
