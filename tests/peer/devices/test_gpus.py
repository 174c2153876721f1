"""What the driver's tool says of GPUs, what it does not, and what that means for budgets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.fake import FakeService
from cortex.engine.messages import Alive
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import Card, PeerConfig
from cortex.peer.devices import gpu_looks, gpus, yielding
from cortex.peer.devices.device_memory import (
    budget_bytes,
    foreign_gpu_bytes,
    foreign_shared_bytes,
    gpu_of,
    shown_gpu,
)
from cortex.peer.devices.gpus import Gpu, ask_for_gpus, ask_for_holders, read_gpus, read_holders
from cortex.peer.devices.hardware import look_at_hardware, read_hardware
from cortex.peer.node import Node
from tests.peer.in_memory import MemoryChildren

MIB, GIB = 1 << 20, 1 << 30
CARD = Gpu(0, "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, "570.124", "[N/A]", 0.92, 61.0, 412.31)
LINE = "0, NVIDIA H100 80GB HBM3, 81920, 80896, 570.124, [N/A], 92, 61, 412.31"
UNREAD = "[N/A], [N/A], [N/A]"


async def test_the_tool_is_asked_for_devices_and_for_who_has_their_memory(
    driver_tool: Callable[[str], None],
):
    driver_tool(f'case "$1" in *gpu=*) echo "{LINE}";; *) echo "41, 512"; echo "41, 8"; esac')
    assert await ask_for_gpus() == (CARD,)
    assert await ask_for_holders() == {41: 520 * MIB}


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        f'echo "{LINE}"; exit 15',
        "echo No devices were found",
        "exec yes 0,",
        ":",
        "kill $$",
    ],
)
async def test_a_tool_that_fails_or_says_anything_gives_no_answer(
    driver_tool: Callable[[str], None], script: str
):
    driver_tool(script)
    assert await ask_for_gpus() is None
    assert not await ask_for_holders()


async def test_a_tool_that_hangs_is_ended(
    driver_tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(gpus, "ANSWER_S", 0.2)
    driver_tool(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    assert await ask_for_gpus() is None
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


class Tool:
    """A process that says what it was given, or nothing and cannot be killed."""

    def __init__(self, said: bytes | None) -> None:
        self.stdout = asyncio.StreamReader()
        self.returncode: int | None = None
        if said is not None:
            self.stdout.feed_data(said)
            self.end()

    def end(self) -> None:
        self.stdout.feed_eof()
        self.returncode = 0

    def kill(self) -> None: ...

    async def wait(self) -> int | None:
        if self.returncode is None:
            await self.stdout.read()
        return self.returncode


async def test_while_a_tool_cannot_be_killed_no_other_is_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpus, "_KILL_S", 0.0)
    monkeypatch.setattr(gpus, "_stuck", [])
    stuck = Tool(None)
    tools = [stuck, Tool(LINE.encode())]
    started = list[Tool]()

    async def start(*_: object, **__: object) -> Tool:
        started.append(tools[len(started)])
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    assert await gpus.hear("anything", limit_s=0.01) == "too slow"
    assert await gpus.hear("anything else") == "too slow", "it may end, and has not"
    assert started == [stuck]
    stuck.end()
    assert await ask_for_gpus() == (CARD,)


async def test_nothing_of_a_tool_without_end_stays_open_however_slowly_it_dies(
    driver_tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    kill = asyncio.subprocess.Process.kill

    def kill_later(process: asyncio.subprocess.Process) -> None:
        asyncio.get_running_loop().call_later(0.05, kill, process)

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", kill_later)
    driver_tool("exec yes 0,")
    assert await ask_for_gpus() is None
    open_before = os.listdir("/proc/self/fd")
    assert await ask_for_gpus() is None
    assert os.listdir("/proc/self/fd") == open_before


async def test_a_tool_that_is_not_there_gives_no_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "_ELSEWHERE", ())
    assert await asyncio.wait_for(ask_for_gpus(), 5) is None


async def test_a_tool_that_is_not_on_the_path_is_found_where_systems_keep_it(
    driver_tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    driver_tool(f'echo "{LINE}"')
    monkeypatch.setattr(gpus, "_ELSEWHERE", (str(tmp_path / "none"), str(tmp_path / "bin")))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await ask_for_gpus() == (CARD,)


def test_the_lists_are_read_and_errors_are_none() -> None:
    lines = [LINE, f"1, H100, 81559, 12, 570.124, GPU-5, {UNREAD}"]
    assert [gpu.free_bytes for gpu in read_gpus(lines) or ()] == [79 * GIB, 12 * MIB]
    assert read_gpus(["NVIDIA-SMI has failed because it couldn't communicate"]) is None
    assert read_gpus([]) is None
    assert read_holders(["7, [N/A]", "[Not Found], 3", "8, 2"]) == {8: 2 * MIB}


@pytest.mark.parametrize(
    "row",
    [
        f"1, NVIDIA GB10, [N/A], [N/A], 580.95, GPU-5, {UNREAD}",
        f"1, H100, [Unknown Error], , 5, GPU-5, {UNREAD}",
        f"1, H100, 1, 9, 5, GPU-5, {UNREAD}",
    ],
)
def test_a_gpu_that_does_not_tell_its_memory_does_not_hide_the_others(row: str):
    shown = read_gpus(["Unable to determine the device handle", LINE, row])
    assert shown is not None and [gpu.index for gpu in shown] == [0, 1]
    assert (shown[0], shown[1].memory_bytes) == (CARD, 0)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("7, 35.5, 60", (0.07, 35.5, 60.0)),
        ("103, 0, 0.00", (1.0, 0.0, 0.0)),
        ("[N/A], 58, [Not Supported]", (None, 58.0, None)),
        ("[Unknown Error], , nan", (None, None, None)),
        ("-1, inf, 1e999", (None, None, None)),
    ],
)
def test_a_reading_that_is_not_told_hides_neither_the_memory_nor_the_others(
    told: str, read: tuple[float | None, ...]
):
    (gpu,) = read_gpus([f"0, H100, 81920, 80896, 5, GPU-5, {told}"]) or [CARD]
    assert (gpu.memory_bytes, gpu.free_bytes) == (80 * GIB, 79 * GIB)
    assert (gpu.utilisation, gpu.temperature_c, gpu.power_w) == read


def test_a_card_is_shown_though_its_memory_is_not_told_or_not_all_of_it_ours(
    make_config: Callable[..., PeerConfig],
):
    cut = make_config(devices=("cuda:0",), cards=(Card(0, "MIG-4", "H100"),))
    untold = Gpu(0, "GB10", 0, 0, "580", utilisation=0.5)
    for config, gpu in ((cut, CARD), (make_config(), untold)):
        assert gpu_of(config, "cuda:0", (gpu,)) is None
        assert shown_gpu(config, "cuda:0", (gpu,)) == gpu
    assert shown_gpu(make_config(), "cpu", (CARD,)) is None


def test_a_card_keeps_its_memory_where_another_comes_before_it(
    make_config: Callable[..., PeerConfig],
):
    ours = Card(0, "GPU-ours", "RTX")
    config = make_config(devices=("cuda:0",), cards=(ours,))
    row = "{}, RTX, 24576, 24000, 580, GPU-{}, [N/A], [N/A], [N/A]"
    other, moved = row.format(0, "its"), row.format(1, "ours")
    shown = Gpu(1, "RTX", 24 * GIB, 24000 * MIB, "580", "GPU-ours")
    assert gpu_of(config, "cuda:0", read_gpus([other, moved]) or ()) == shown
    assert shown_gpu(config, "cuda:0", read_gpus([other, moved]) or ()) == shown
    assert gpu_of(config, "cuda:0", read_gpus([other]) or ()) is None
    assert gpu_of(config, "cuda:0", (CARD,)) == CARD  # a tool that tells no UUID


TELLS_MEMORY = Alive(0, 0, 0, device_bytes=20 * GIB, free_at_start_bytes=10 * GIB)


def engines_tell_memory(monkeypatch: pytest.MonkeyPatch, remembered_bytes: int = 0) -> None:
    def alive(_: FakeService) -> Alive:
        return msgspec.structs.replace(TELLS_MEMORY, remembered_bytes=remembered_bytes)

    monkeypatch.setattr(FakeService, "alive", alive)


def test_what_nobody_tells_of_a_gpus_memory_its_engine_tells(
    make_config: Callable[..., PeerConfig],
):
    config, alive = make_config(), TELLS_MEMORY
    untold = Gpu(0, "GB10", 0, 0, "580")
    assert gpu_of(config, "cuda:0", (untold,)) is None
    assert budget_bytes(config, "cuda:0", None) == 0
    assert budget_bytes(config, "cuda:0", None, alive) == 9 * GIB
    assert budget_bytes(config, "cuda:0", CARD, alive) == int(0.9 * 19 * GIB)
    assert budget_bytes(make_config(memory_bytes=GIB), "cuda:0", None, alive) == GIB


def test_models_have_the_machines_memory_but_for_what_is_remembered_where_a_gpu_shares_it(
    make_config: Callable[..., PeerConfig],
):
    alive = Alive(
        0, 0, 0, device_bytes=101 * GIB, free_at_start_bytes=8 * GIB, remembered_bytes=15 * GIB
    )
    assert budget_bytes(make_config(), "cuda:0", None, alive) == 75 * GIB
    assert budget_bytes(make_config(memory_bytes=40 * GIB), "cuda:0", None, alive) == 25 * GIB


@pytest.mark.parametrize(
    ("available", "private", "foreign"), [(101, 1, 0), (91, 11, 0), (86, 16, 0), (51, 1, 42.625)]
)
def test_what_is_remembered_in_shared_memory_is_ours_and_what_else_is_missing_is_not(
    available: int, private: int, foreign: float
):
    alive = Alive(0, 0, 0, remembered_bytes=15 * GIB)
    found = foreign_shared_bytes(75 * GIB, 0, private * GIB, available * GIB, alive)
    assert found == int(foreign * GIB)


async def test_a_gpu_that_shares_the_machines_memory_is_seen_beside_other_programs(
    make_config: Callable[..., PeerConfig],
    driver_tool: Callable[[str], None],
    memory_children: type[MemoryChildren],
    monkeypatch: pytest.MonkeyPatch,
):
    engines_tell_memory(monkeypatch, remembered_bytes=GIB)
    driver_tool("echo '0, NVIDIA GB10, [N/A], [N/A], 580.95, GPU-5'")
    async with Node(make_config(devices=("cuda:0",)), memory_children().spawn) as node:
        devices = node._rack.devices  # pyright: ignore[reportPrivateUsage]
        budget = devices.devices[0].budget_bytes
        assert devices.share_memory
        assert devices.look_at_memory(GIB, (0,))
        assert devices.devices[0].foreign_bytes > budget - GIB
        assert devices.look_at_memory(64 * GIB, (0,))
        assert devices.devices[0].foreign_bytes == 0


async def test_a_peer_has_asked_its_engines_for_what_the_tool_does_not_tell_when_it_serves(
    make_config: Callable[..., PeerConfig],
    driver_tool: Callable[[str], None],
    memory_children: type[MemoryChildren],
    monkeypatch: pytest.MonkeyPatch,
):
    engines_tell_memory(monkeypatch)
    driver_tool(f"echo '{LINE}'; echo '1, NVIDIA GB10, [N/A], [N/A], 580.95, GPU-5, {UNREAD}'")
    slice_of_a_card = Card(0, "MIG-4", "H100")
    for card, budgets in ((None, [int(0.9 * 79 * GIB), 9 * GIB]), (slice_of_a_card, [9 * GIB] * 2)):
        cards = () if card is None else (card,)
        config = make_config(devices=("cuda:0", "cuda:1"), cards=cards)
        async with Node(config, memory_children().spawn) as node:
            assert [device.budget_bytes for device in node.placement.devices] == budgets
            devices = node._rack.devices  # pyright: ignore[reportPrivateUsage]
            assert not devices.share_memory


async def test_an_engine_that_does_not_start_keeps_no_other_from_telling_of_its_gpu(
    make_config: Callable[..., PeerConfig],
    driver_tool: Callable[[str], None],
    memory_children: type[MemoryChildren],
    monkeypatch: pytest.MonkeyPatch,
):
    engines_tell_memory(monkeypatch)
    driver_tool("exit 1")
    children, commands = memory_children(), list[Sequence[str]]()

    async def spawn(command: Sequence[str]) -> ChildProcess:
        commands.append(command)
        if len(commands) == 1:
            raise FileNotFoundError(2, "no such device")
        return await children.spawn(command)

    monkeypatch.setattr(yielding, "_LOOK_S", 0.01)
    monkeypatch.setattr(gpu_looks, "_GPU_LOOK_S", 600)
    async with Node(make_config(devices=("cuda:0", "cuda:1")), spawn) as node:
        changed = asyncio.Event()
        node.watch(changed.set)
        assert [device.budget_bytes for device in node.placement.devices] == [0, 9 * GIB]
        node.wake()  # and now it starts
        async with asyncio.timeout(20):
            while node.placement.devices[0].budget_bytes == 0:
                changed.clear()
                await changed.wait()


def test_a_fake_device_has_the_memory_of_the_gpu_of_its_number(
    make_config: Callable[..., PeerConfig],
):
    config = make_config()
    assert gpu_of(config, "fake:0", (CARD,)) == gpu_of(config, "cuda:0", (CARD,)) == CARD
    assert gpu_of(config, "fake:1", (CARD,)) is gpu_of(config, "cpu", (CARD,)) is None
    assert budget_bytes(make_config(), "cuda:0", CARD) == int(0.9 * 79 * GIB)
    assert budget_bytes(make_config(memory_bytes=GIB), "cuda:0", CARD) == GIB


GIBS = st.integers(0, 160 * GIB)


@given(memory=st.integers(2 * GIB, 160 * GIB), reserved=GIBS, empty=GIBS, others=GIBS, most=GIBS)
def test_no_more_is_promised_than_an_engine_finds_free(
    memory: int, reserved: int, empty: int, others: int, most: int
):
    """An engine lets a new model have nine tenths of what is free beside those that are there."""
    budget = min(int(0.9 * (memory - GIB)), most)
    reserved, held = min(reserved, budget), min(empty, GIB) + min(reserved, budget)
    free = max(0, memory - held - others)
    foreign = foreign_gpu_bytes(budget, reserved, held, free)
    promised = budget - reserved - foreign
    assert promised <= int(0.9 * free) or promised <= 0
    assert others or not foreign


def test_what_our_own_engine_has_is_not_foreign() -> None:
    budget = int(0.9 * 79 * GIB)
    # It has reserved 30 GiB and touched 10 of them; nobody else is there.
    assert foreign_gpu_bytes(budget, 30 * GIB, 10 * GIB, 70 * GIB) == 0
    # The driver does not tell what it has; somebody else has 20 GiB.
    found = foreign_gpu_bytes(budget, 30 * GIB, None, 29 * GIB)
    assert 14 * GIB < found <= 16 * GIB


def test_the_fleet_is_told_what_a_gpu_has_or_what_the_operator_gives_of_it(
    make_config: Callable[..., PeerConfig],
):
    def told(memory_bytes: int | None, *shown: Gpu) -> list[int]:
        config = make_config(devices=("cuda:0", "fake:0"), memory_bytes=memory_bytes)
        return [each.memory_bytes for each in read_hardware(config, shown).devices]

    assert told(None, CARD) == [80 * GIB, 80 * GIB]
    assert told(GIB, CARD) == [GIB, GIB]
    assert told(None)[0] == 0


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
async def test_the_fleet_is_told_what_models_may_have_where_no_gpu_tells_its_memory(
    make_config: Callable[..., PeerConfig], driver_tool: Callable[[str], None], device: str
):
    driver_tool("exit 1")
    config = make_config(devices=(device,), memory_bytes=8 * GIB)
    hardware = await look_at_hardware(config, [7 * GIB])
    assert [each.memory_bytes for each in hardware.devices] == [7 * GIB]
