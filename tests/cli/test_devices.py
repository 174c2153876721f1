"""What `--gpu` means, on machines with and without NVIDIA devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.cli.devices import Device, choose_device, count_gpus
from cortex.cli.errors import UsageProblem


@pytest.mark.parametrize(
    ("wish", "num_gpus", "device"),
    [
        ("all", 0, Device("cpu", "no NVIDIA device is seen")),
        ("all", 1, Device("cuda:0")),
        ("all", 2, Device("cuda:0", "1 more stay idle")),
        ("all", 8, Device("cuda:0", "7 more stay idle")),
        ("cpu", 8, Device("cpu")),
        ("3", 8, Device("cuda:3")),
    ],
)
def test_a_wish_becomes_a_device(wish: str, num_gpus: int, device: Device) -> None:
    assert choose_device(wish, num_gpus) == device


@pytest.mark.parametrize(
    ("wish", "num_gpus", "message"),
    [
        ("3", 2, "gpu 3 asked for, but this machine has 0,1."),
        ("0", 0, "gpu 0 asked for, but this machine has none."),
        ("0,5", 2, "gpu 5 asked for, but this machine has 0,1."),
        ("0,1", 2, "--gpu 0,1: a peer computes on one device so far."),
        ("none", 2, "--gpu takes all, cpu or a number, not 'none'."),
        ("-1", 2, "--gpu takes all, cpu or a number, not '-1'."),
        ("", 2, "--gpu takes all, cpu or a number, not ''."),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(wish: str, num_gpus: int, message: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        choose_device(wish, num_gpus)
    assert caught.value.message == message


def test_gpus_are_counted_as_the_driver_lists_them(tmp_path: Path) -> None:
    assert count_gpus(tmp_path / "no driver") == 0
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / address).mkdir()
    assert count_gpus(tmp_path) == 2
