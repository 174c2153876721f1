"""What `--gpu` means, on machines with and without NVIDIA devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex.cli.devices import Device, choose_device, count_gpus, torch_is_for_cpus
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


def test_a_torch_without_cuda_computes_on_the_cpu_and_says_so() -> None:
    device = choose_device("all", 1, torch_is_for_cpus=True)
    assert device.name == "cpu"
    assert "built without CUDA" in device.note


def test_a_gpu_that_was_asked_for_and_that_torch_cannot_use_is_refused() -> None:
    with pytest.raises(UsageProblem) as caught:
        choose_device("0", 1, torch_is_for_cpus=True)
    assert caught.value.message == "gpu 0 asked for, but the torch here was built without CUDA."
    assert "--gpu cpu" in caught.value.hint


@pytest.mark.parametrize(
    ("written", "is_for_cpus"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None\n", True),
        ("cuda = None\n", True),
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", False),
        ("a torch that writes down something else", False),
        (None, False),
    ],
)
def test_what_torch_was_built_for_is_read_without_loading_it(
    written: str | None, is_for_cpus: bool, tmp_path: Path
) -> None:
    if written is not None:
        (tmp_path / "version.py").write_text(written, encoding="utf-8")
    assert torch_is_for_cpus(tmp_path) == is_for_cpus


def test_gpus_are_counted_as_the_driver_lists_them(tmp_path: Path) -> None:
    assert count_gpus(tmp_path / "no driver") == 0
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / address).mkdir()
    assert count_gpus(tmp_path) == 2
