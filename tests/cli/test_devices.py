"""What `--gpu` means, on machines with and without NVIDIA devices."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex.cli.devices import (
    Devices,
    check_memory,
    choose_devices,
    fake_devices,
    find_gpus,
    torch_cuda,
)
from cortex.cli.errors import NotThereYet, UsageProblem
from cortex.peer.config import Card

GIB = 1024**3
CARDS = tuple(Card(number, f"GPU-{number}", "H100") for number in range(8))


@pytest.mark.parametrize(
    ("wish", "num_gpus", "devices"),
    [
        ("all", 0, Devices(("cpu",), "no NVIDIA device is seen")),
        ("all", 1, Devices(("cuda:0",), cards=CARDS[:1])),
        ("all", 2, Devices(("cuda:0", "cuda:1"), cards=CARDS[:2])),
        ("cpu", 8, Devices(("cpu",))),
        ("3", 8, Devices(("cuda:3",), cards=(CARDS[3],))),
        ("5,3,5", 8, Devices(("cuda:5", "cuda:3"), cards=(CARDS[5], CARDS[3]))),
    ],
)
def test_a_wish_becomes_devices(wish: str, num_gpus: int, devices: Devices) -> None:
    assert choose_devices(wish, CARDS[:num_gpus]) == devices


def test_a_card_keeps_its_number_where_others_are_hidden() -> None:
    assert choose_devices("all", CARDS[3:4]).names == ("cuda:3",)
    with pytest.raises(NotThereYet, match="gpu 0 asked for, but this machine has 3") as caught:
        choose_devices("0", CARDS[3:4])
    assert "CUDA_VISIBLE_DEVICES" in caught.value.hint


@pytest.mark.parametrize(
    ("wish", "num_gpus", "message"),
    [
        ("3", 2, "gpu 3 asked for, but this machine has 0,1."),
        ("0", 0, "gpu 0 asked for, but this machine has none."),
        ("0,5", 2, "gpu 5 asked for, but this machine has 0,1."),
    ],
)
def test_a_gpu_that_is_not_there_may_come_later(wish: str, num_gpus: int, message: str) -> None:
    with pytest.raises(NotThereYet) as caught:
        choose_devices(wish, CARDS[:num_gpus])
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("wish", "num_gpus", "message"),
    [
        ("none", 2, "--gpu takes all, none, cpu or numbers such as 0,1, not 'none'."),
        ("-1", 2, "--gpu takes all, none, cpu or numbers such as 0,1, not '-1'."),
        ("", 2, "--gpu takes all, none, cpu or numbers such as 0,1, not ''."),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(wish: str, num_gpus: int, message: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        choose_devices(wish, CARDS[:num_gpus])
    assert caught.value.message == message


def test_a_torch_without_cuda_computes_on_the_cpu_and_says_so() -> None:
    device = choose_devices("all", CARDS[:1], "")
    assert device.names == ("cpu",)
    assert "built without CUDA" in device.note


def test_a_gpu_that_was_asked_for_and_that_torch_cannot_use_is_refused() -> None:
    with pytest.raises(UsageProblem) as caught:
        choose_devices("0", CARDS[:1], "")
    assert caught.value.message == "gpu 0 asked for, but the torch here was built without CUDA."
    assert "--gpu cpu" in caught.value.hint


def test_a_driver_that_is_too_old_for_torch_is_told_where_a_gpu_computes() -> None:
    note = "CUDA 13.0 needs a driver of 580 or newer, this is 570.124"
    for wish in ("all", "0"):
        assert choose_devices(wish, CARDS[:1], "13.0", "570.124").note == note
        assert not choose_devices(wish, CARDS[:1], "12.8", "570.124").note
        assert not choose_devices(wish, CARDS[:1], "13.0", "580.65.06").note
        assert not choose_devices(wish, CARDS[:1], None, "").note


def test_a_card_that_torch_has_nothing_for_stays_idle_beside_others_and_alone() -> None:
    weak, fit = Card(0, "GPU-0", "Tesla P40", "6.1"), Card(1, "GPU-1", "RTX 3060", "8.6")
    note = "gpu 0 Tesla P40 has compute capability 6.1, and CUDA 13.0 needs 7.5: idle until"
    for cards, names in (((weak, fit), ("cuda:1",)), ((weak,), ("cpu",))):
        chosen = choose_devices("all", cards, "13.0")
        assert chosen.names == names
        assert chosen.note.startswith(note)
    assert choose_devices("all", (weak, fit), "12.6").names == ("cuda:0", "cuda:1")
    with pytest.raises(UsageProblem, match=r"gpu 0 Tesla P40 has compute capability 6\.1"):
        choose_devices("1,0", (weak, fit), "13.0")


def test_where_no_device_is_seen_it_is_said_why_that_may_be() -> None:
    assert choose_devices("all", (), why_unseen="in WSL").note.endswith("is seen; in WSL")


@pytest.mark.parametrize(
    ("written", "cuda"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip = None\n", ""),
        ("cuda = None\n", ""),
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "13.0"),
        ("a torch that writes down something else", None),
        (None, None),
    ],
)
def test_what_torch_was_built_for_is_read_without_loading_it(
    written: str | None, cuda: str | None, tmp_path: Path
) -> None:
    if written is not None:
        (tmp_path / "version.py").write_text(written, encoding="utf-8")
    assert torch_cuda(tmp_path) == cuda


def test_gpus_that_the_environment_hides_are_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\nfor n in 0 1; do echo "GPU $n: H100 (UUID: GPU-$n)"; done\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [card.device for card in find_gpus()] == ["cuda:0", "cuda:1"]
    assert not find_gpus("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert find_gpus() == [CARDS[1]]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not find_gpus()


@pytest.mark.parametrize(
    ("wish", "names"), [("all", ("cpu",)), ("cpu", ("cpu",)), ("0,1", ("fake:0", "fake:1"))]
)
def test_an_engine_that_computes_nothing_has_as_many_devices_as_are_asked_for(
    wish: str, names: tuple[str, ...]
) -> None:
    assert fake_devices(wish).names == names


def test_more_memory_than_the_machine_has_is_refused_with_both_numbers() -> None:
    check_memory(None, 8 * GIB)
    check_memory(8 * GIB, 8 * GIB)
    with pytest.raises(UsageProblem, match=r"--memory 9\.0 GiB is more than the 8\.0 GiB"):
        check_memory(9 * GIB, 8 * GIB)
