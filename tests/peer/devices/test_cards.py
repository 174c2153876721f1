"""Which cards are ours: what the driver lists, in all the ways that machines hide some of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cortex.peer.children.commands import engine_spec
from cortex.peer.config import Card, PeerConfig
from cortex.peer.devices import cards
from cortex.peer.devices.cards import (
    differ_in_bfloat16,
    find_cards,
    read_cards,
    too_weak,
    visible_cards,
    why_unseen,
)
from cortex.peer.devices.hardware import read_hardware

LISTED = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11aa)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22bb)
  MIG 3g.20gb     Device  0: (UUID: MIG-33cc)
  MIG 2g.10gb     Device  1: (UUID: MIG-44dd)
GPU 2: NVIDIA RTX 6000 (Ada) (UUID: GPU-11ee)
"""
H100 = Card(0, "GPU-11aa", "NVIDIA H100 80GB HBM3")
SLICES = [Card(1, id, "NVIDIA A100-SXM4-40GB") for id in ("MIG-33cc", "MIG-44dd")]
RTX = Card(2, "GPU-11ee", "NVIDIA RTX 6000 (Ada)")


def test_a_card_that_is_cut_is_there_as_its_slices() -> None:
    assert read_cards(LISTED.splitlines(), {}) == [H100, *SLICES, RTX]
    assert read_cards(["No devices found."], {}) == []


def test_a_device_whose_id_cuda_does_not_take_goes_by_its_number() -> None:
    orin = "GPU 0: Orin (nvgpu) (UUID: 54ac6ed7-8c3d-5d1c-a3f0-000000000000)"
    assert read_cards([orin], {}) == [Card(0, "0", "Orin (nvgpu)")]


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        ("0", [H100]),
        ("2, 0", [RTX, H100]),
        ("GPU-11a", [H100]),
        ("MIG-44dd", [SLICES[1]]),
        ("1", [SLICES[0]]),
        ("2,7,0", [RTX]),
        ("-1,0", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_what_is_visible_is_read_as_cuda_reads_it(visible: str, found: Sequence[Card]) -> None:
    assert [*visible_cards(visible, [H100, *SLICES, RTX])] == found


async def test_of_each_card_there_is_one_device(driver_tool: Callable[[str], None]) -> None:
    driver_tool(f"test $1 = --list-gpus && cat <<'END'\n{LISTED}END")
    assert await find_cards(None) == [H100, SLICES[0], RTX]
    assert await find_cards("MIG-44dd,0") == [SLICES[1], H100]


async def test_what_a_card_can_compute_is_asked_for(driver_tool: Callable[[str], None]) -> None:
    listed, told = 'echo "GPU 0: Tesla P40 (UUID: GPU-7)"', "echo GPU-7, 6.1"
    driver_tool(f"test $1 = --list-gpus && {listed} || {told}")
    assert await find_cards(None) == [Card(0, "GPU-7", "Tesla P40", "6.1")]
    driver_tool(f"test $1 = --list-gpus && {listed} || exit 2")  # an older tool has no such field
    assert await find_cards(None) == [Card(0, "GPU-7", "Tesla P40")]


async def test_cards_that_are_listed_do_not_wait_long_for_what_they_can_compute(
    driver_tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "ANSWER_S", 0.1)
    driver_tool('test $1 = --list-gpus || exec sleep 600; echo "GPU 0: Tesla P40 (UUID: GPU-7)"')
    async with asyncio.timeout(15):
        assert await find_cards(None) == [Card(0, "GPU-7", "Tesla P40")]


@pytest.mark.parametrize(
    ("capability", "cuda", "is_weak"),
    [
        ("6.1", "13.0", True), ("7.0", "13.0", True), ("7.5", "13.0", False),
        ("12.0", "13.0", False), ("6.1", "12.6", False), ("3.7", "12.6", True),
        ("6.1", None, False), ("", "13.0", False), ("[N/A]", "13.0", False),
    ],
)  # fmt: skip
def test_a_card_is_too_weak_for_a_cuda_that_compiles_nothing_for_it(
    capability: str, cuda: str | None, is_weak: bool
) -> None:
    assert bool(too_weak(Card(0, "GPU-7", "Tesla", capability), cuda)) == is_weak


@pytest.mark.parametrize(
    ("capabilities", "words"),
    [
        (("7.5", "8.6"), "gpu 0 would compute in float32"),
        (("12.0", "7.5", "7.5"), "gpu 1,2 would compute in float32"),
        (("7.5", "7.5"), ""), (("8.0", "12.0"), ""), (("7.5", ""), ""), ((), ""),
    ],
)  # fmt: skip
def test_cards_with_and_without_bfloat16_are_told_of(
    capabilities: Sequence[str], words: str
) -> None:
    told = differ_in_bfloat16(
        Card(at, f"GPU-{at}", "RTX", can) for at, can in enumerate(capabilities)
    )
    assert words in told and bool(words) == bool(told)


def test_wsl_is_told_by_its_node(tmp_path: Path) -> None:
    assert not why_unseen(tmp_path)
    (tmp_path / "dxg").touch()
    assert "installed in Windows" in why_unseen(tmp_path)


@pytest.mark.parametrize("script", ["exit 9", ":"], ids=["it fails", "it has nothing to say"])
async def test_where_the_tool_is_silent_the_module_lists_what_has_a_node_here(
    driver_tool: Callable[[str], None], tmp_path: Path, script: str
) -> None:
    driver_tool(script)
    assert await find_cards(None, tmp_path / "none", tmp_path) == []
    for minor, bus in enumerate(("0000:01:00.0", "0000:41:00.0", "0000:81:00.0")):
        folder = tmp_path / "driver" / "gpus" / bus
        folder.mkdir(parents=True)
        id = "GPU-????" if minor == 2 else f"GPU-{minor}"
        told = f"Model: \t\t NVIDIA L4\nGPU UUID: \t {id}\nDevice Minor: \t {minor}\n"
        (folder / "information").write_text(told, encoding="utf-8")
    for minor in (1, 2):
        (tmp_path / f"nvidia{minor}").touch()
    found = await find_cards(None, tmp_path / "driver", tmp_path)
    assert found == [Card(0, "GPU-1", "NVIDIA L4"), Card(1, "1", "NVIDIA L4")]


def test_an_engine_sees_its_card_alone_and_people_see_its_name(
    make_config: Callable[..., PeerConfig],
) -> None:
    config = make_config(engine="torch", devices=("cuda:2", "cpu"), cards=(RTX,))
    command = engine_spec(config, "cuda:2").command
    assert command[:3] == (
        "env",
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES=GPU-11ee",
    )
    assert command[command.index("--device") + 1] == "cuda:0"
    assert engine_spec(config, "cpu").command[0] == config.python
    assert read_hardware(config).devices[0].name == "NVIDIA RTX 6000 (Ada)"
