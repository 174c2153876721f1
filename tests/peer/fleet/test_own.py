"""What a peer tells of itself: from a node with the fake engine, and from values made up here."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.costs import ModelCosts
from cortex.engine.fake import FakeConfig
from cortex.engine.histogram import Histogram
from cortex.engine.memory import MAX_SEQUENCES
from cortex.engine.messages import Alive, Loaded, ModelStatus
from cortex.engine.stream import Event, Finished, Piece, Stage
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import Card, Locations, PeerConfig
from cortex.peer.devices import gpu_looks
from cortex.peer.devices.gpus import Gpu
from cortex.peer.fleet.membership import GossipCounters, OwnState
from cortex.peer.fleet.own import Reporter
from cortex.peer.fleet.own_state import own_state
from cortex.peer.fleet.rates import RateMeter, Rates, summed
from cortex.peer.fleet.telling import verdict
from cortex.peer.fleet.view import FleetView
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.messages import LoadAnswer
from cortex.peer.gossip.sections import LOADING, READY, UNLOADING, Claim
from cortex.peer.models.weights import Weighed, WeightsBook
from cortex.peer.node import Node
from cortex.peer.observing.health import ChildHealth, NodeHealth, Placed, Placement
from cortex.peer.placement.books import DeviceBooks, Resident, Size
from cortex.peer.types import ModelInfo

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30


class Ear:
    """A Membership that hears what is told, and wakes who waits for it."""

    def __init__(self) -> None:
        self.told: list[OwnState] = []
        self.view = FleetView("fleet", NodeId(bytes(8)))
        self.counters = GossipCounters()
        self._news = asyncio.Event()

    def tell(self, state: OwnState) -> None:
        self.told.append(state)
        self._news.set()

    async def until(self, is_so: Callable[[OwnState], bool]) -> OwnState:
        while True:
            for state in self.told:
                if is_so(state):
                    return state
            self._news.clear()
            await self._news.wait()

    def watch(self, on_view: Callable[[FleetView], None]) -> Callable[[], None]:
        return lambda: None

    async def ask_loads(
        self, nodes: Sequence[NodeId], model: ModelId, limit_s: float
    ) -> Mapping[NodeId, LoadAnswer]:
        raise NotImplementedError

    def doubt(self, node: NodeId) -> None:
        raise NotImplementedError


@asynccontextmanager
async def reported(config: PeerConfig, **options: Any) -> AsyncGenerator[tuple[Node, Ear]]:
    async with asyncio.timeout(DEADLINE_S), Node(config, **options) as node:
        ear = Ear()
        clock = asyncio.get_running_loop().time
        reporter = Reporter(node, ear, clock)
        telling = asyncio.create_task(reporter.run())
        try:
            yield node, ear
        finally:
            telling.cancel()
            await asyncio.wait({telling})


def ask(model: str = "fake", max_tokens: int = 4) -> ChatRequest:
    message = Message("user", (TextPart("hello"),))
    return ChatRequest(model, (message,), seed=1, now_s=0, max_tokens=max_tokens)


async def until(events: AsyncGenerator[Event], kind: type[Event]) -> None:
    async for event in events:
        if isinstance(event, kind):
            return


async def test_models_are_offered_when_their_weights_have_a_name(make_config: MakeConfig):
    async with reported(make_config()) as (node, ear):
        state = await ear.until(lambda state: bool(state.stored))
        assert ear.told[0].stored == (), "the peer is there before anything has been read"
        (stored,) = state.stored
        assert (stored.id, stored.capabilities) == ("fake", ("text", "vision"))
        assert stored.model == node.stored[0].weights
        assert stored.size_bytes > 0
        assert len(state.load.free_mib) == 1 and state.load.free_mib[0] > 0


async def test_request_for_a_cold_model_is_told_from_its_claim_to_its_end(
    make_config: MakeConfig, memory_children: Any
):
    slow = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with reported(make_config(), spawn=slow.spawn) as (node, ear):
        stored = (await ear.until(lambda state: bool(state.stored))).stored[0]
        async with aclosing(node.chat(ask(max_tokens=200))) as events:
            await until(events, Piece)
            ready = await ear.until(lambda state: any(p.state == READY for p in state.placed))
            (placed,) = ready.placed
            assert (placed.model, placed.name, placed.computes_in) == (
                stored.model,
                "fake",
                "hashes",
            )
            assert placed.num_slots == MAX_SEQUENCES
            busy = await ear.until(
                lambda state: any(load.num_inflight for load in state.load.models)
            )
            assert busy.load.num_inflight == 1
            assert busy.load.models[0].num_slots_free == placed.num_slots - 1
        ear.told.clear()
        await ear.until(lambda state: state.load.num_inflight == 0)


async def test_model_that_is_copied_in_is_offered_without_anybodys_asking(
    make_config: MakeConfig, make_models: Callable[..., Path], monkeypatch: Any
):
    monkeypatch.setattr("cortex.peer.fleet.own._DISKS_S", 0.05)
    root = make_models("one")
    async with reported(make_config(models_dirs=(root,))) as (_, ear):
        await ear.until(lambda state: len(state.stored) == 2)
        shutil.copytree(root / "one", root / "two")
        state = await ear.until(lambda state: len(state.stored) == 3)
        assert len({stored.model for stored in state.stored}) == 1, "the same bytes, one name"


async def test_a_fault_in_looking_at_the_disks_ends_no_telling(
    make_config: MakeConfig, monkeypatch: Any, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("cortex.peer.fleet.own._DISKS_S", 0.05)
    whole, faults = WeightsBook.weigh, [RuntimeError("a bug")]

    def weigh(book: WeightsBook, *rest: Any) -> Weighed | None:
        if faults:
            raise faults.pop()
        return whole(book, *rest)

    monkeypatch.setattr(WeightsBook, "weigh", weigh)
    async with reported(make_config()) as (_, ear):
        await ear.until(lambda state: bool(state.stored))
    assert "disks not looked at" in caplog.text


async def test_a_fault_that_stays_is_logged_once_and_keeps_nothing_else_from_being_done(
    make_config: MakeConfig, monkeypatch: Any, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("cortex.peer.fleet.own._DISKS_S", 0.01)
    saves, enough = list[Node](), asyncio.Event()

    async def survey(_: Node) -> None:
        raise RuntimeError("a bug" if len(saves) < 3 else "another")

    async def save(node: Node) -> None:
        saves.append(node)
        if len(saves) == 6:
            enough.set()

    monkeypatch.setattr(Node, "survey", survey)
    monkeypatch.setattr(Node, "save", save)
    async with reported(make_config()):
        await enough.wait()
    assert caplog.text.count("disks not looked at") == 2


async def test_how_long_requests_are_here_is_told_of_all_and_of_their_model(
    make_config: MakeConfig, memory_children: Any
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with reported(make_config(), spawn=children.spawn) as (node, ear):
        async with aclosing(node.chat(ask())) as events:
            await until(events, Finished)
        state = await ear.until(lambda state: bool(state.stays_ms))
        assert state.stays_ms == {ModelId(node.stored[0].weights): state.stay_ms}
        assert state.stay_ms >= 3 * 20


async def test_draining_is_told(make_config: MakeConfig):
    async with reported(make_config()) as (node, ear):
        await ear.until(lambda state: not state.load.is_draining)
        node.begin_drain()
        await ear.until(lambda state: state.load.is_draining)


async def test_nothing_is_said_twice(make_config: MakeConfig):
    async with reported(make_config()) as (node, ear):
        await ear.until(lambda state: bool(state.stored))
        for _ in range(4):
            node.end_drain()  # which says that something may have changed
            await asyncio.sleep(0.1)
        assert all(a != b for a, b in zip(ear.told, ear.told[1:], strict=False))


A, B = (
    ModelInfo(name, None, ("text",), 4096, 0, weights=name.encode() * 8, size_bytes=1 << 21)
    for name in "ab"
)
SIZE = Size(4096, 8, 3 << 20)
PLACED = Placed(A, 0, "ready", SIZE)
IDLE = Placement()
CONFIG = PeerConfig(Locations(Path("data"), Path("state")), max_live_requests=8)


def health(live_requests: int, alive: Alive | None = None) -> NodeHealth:
    child = ChildHealth("up", 1, alive, 0, None)
    return NodeHealth((child, child), child, live_requests, is_draining=False)


def told(placement: Placement, live_requests: int, alive: Alive | None = None) -> OwnState:
    return own_state(CONFIG, (A, B), placement, health(live_requests, alive), Rates())


def test_model_that_requests_wait_for_is_claimed_before_its_load_begins():
    loading = replace(PLACED, state="loading", stage=Stage("loading", 3, 4, "bytes"))
    state = told(replace(IDLE, placed=(loading,), wanted=(A, B, B)), live_requests=3)
    assert state.claims == (
        Claim(ModelId(A.weights), 75),
        Claim(ModelId(B.weights), 0),
    )
    assert [placed.state for placed in state.placed] == [LOADING]
    assert (state.load.num_inflight, state.load.num_queued) == (0, 3)


def test_model_that_goes_and_is_wanted_again_is_claimed():
    leaving = replace(PLACED, state="unloading")
    state = told(replace(IDLE, placed=(leaving,), wanted=(A,)), live_requests=1)
    assert state.claims == (Claim(ModelId(A.weights), 0),)
    assert [placed.state for placed in state.placed] == [UNLOADING]


def test_every_model_is_told_with_its_place_and_every_device_with_what_it_has_left():
    second = replace(PLACED, model=B, device=1, is_pinned=True, priority=3)
    gib = 1 << 30
    devices = (
        DeviceBooks(0, "cuda:0", 4 * gib, residents=(resident(A, gib),)),
        DeviceBooks(1, "cuda:1", 4 * gib, foreign_bytes=5 * gib),
    )
    state = told(Placement(devices, (PLACED, second)), 0)
    shown = [(p.name, p.device, p.reserved_mib, p.is_pinned, p.priority) for p in state.placed]
    assert shown == [("a", 0, 3, False, 0), ("b", 1, 3, True, 3)]
    assert state.load.free_mib == (3 * 1024, 0)
    assert state.load.busy_percents == (), "no driver has said anything"


def test_what_a_model_costs_is_told_but_not_how_it_would_be_computed():
    costs = ModelCosts(1, 2, 3, 4, precision="float32")
    state = own_state(CONFIG, (A,), IDLE, health(0), Rates(), lambda _: costs)
    assert [stored.costs for stored in state.stored] == [replace(costs, precision="")]


def test_how_busy_a_gpu_is_is_told_as_a_whole_percent():
    devices = (DeviceBooks(0, "cuda:1", 1 << 30), DeviceBooks(1, "cuda:3", 1 << 30))
    idle, busy = Gpu(0, "A10", 0, 0, "", "GPU-a"), Gpu(1, "A10", 0, 0, "", "GPU-b", 0.918)
    told = partial(own_state, placement=Placement(devices), health=health(0), rates=Rates())
    assert told(CONFIG, (), gpus=(idle, busy)).load.busy_percents == (92, None)
    # One before it was plugged in since the peer began: it is known by its UUID.
    ours = replace(CONFIG, cards=(Card(1, "GPU-c", "A10"), Card(3, "GPU-b", "A10")))
    assert told(ours, (), gpus=(idle, busy)).load.busy_percents == (None, 92)


def test_the_speed_of_each_model_is_told_with_it():
    rates = Rates(speed_steps={"a": 7})
    state = own_state(CONFIG, (A,), replace(IDLE, placed=(PLACED,)), health(0), rates)
    assert [load.speed_step for load in state.load.models] == [7]


def test_a_device_that_stands_still_has_no_place_free():
    placement = replace(IDLE, placed=(replace(PLACED, num_granted=1),))
    for is_still, word in ((False, "accept"), (True, "queue")):
        engine = replace(health(1).engines[0], is_still=is_still)
        state = own_state(CONFIG, (A,), placement, replace(health(1), engines=(engine,)), Rates())
        assert verdict(state, ModelId(A.weights))[0] == word


@pytest.mark.parametrize("memory", ["81920, 80896", "[N/A], [N/A]"])
async def test_how_busy_a_gpu_is_is_told_for_as_long_as_the_driver_tells(
    make_config: MakeConfig,
    driver_tool: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    memory: str,
):
    for rest in ("_GPU_LOOK_S", "_SELDOM_LOOK_S"):
        monkeypatch.setattr(gpu_looks, rest, 0.05)
    said = f"echo '0, H100, {memory}, 570.124, GPU-5, %d, 61, 412.31'"
    driver_tool(said % 92)
    async with reported(make_config(devices=("fake:0",))) as (_, ear):
        await ear.until(lambda state: state.load.busy_percents == (92,))
        driver_tool(said % 41)
        await ear.until(lambda state: state.load.busy_percents == (41,))
        driver_tool("exit 9")
        await ear.until(lambda state: ear.told[-1] is state and state.load.busy_percents == ())


def resident(model: ModelInfo, num_bytes: int) -> Resident:
    return Resident(ModelId(model.weights), model.id, "ready", num_bytes)


def test_what_is_in_the_engine_keeps_the_name_it_was_loaded_under():
    changed = replace(A, weights=b"c" * 8)
    state = told(replace(IDLE, placed=(replace(PLACED, model=changed),)), 0)
    assert state.placed[0].model == changed.weights


def test_more_than_run_in_one_batch_wait_in_the_engine_and_are_told_as_waiting():
    loaded = Loaded("1", "a", 1, 1.0, num_slots=2)
    placement = replace(IDLE, placed=(replace(PLACED, loaded=loaded, num_granted=3),))
    status = ModelStatus("a", Histogram().spread, 0, 2, 1, num_pages=8, num_used_pages=4)
    state = told(placement, 3, Alive(1, 1, 0, (status,)))
    (load,) = state.load.models
    assert (load.num_inflight, load.num_queued, load.num_slots_free) == (2, 1, 0)
    assert (state.load.num_inflight, state.load.num_queued, state.slots) == (2, 1, 8)
    assert state.load.kv_percent == 50


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 20), st.lists(st.sampled_from((A, B))))
def test_requests_are_counted_once_and_no_number_is_below_zero(
    live: int, granted: int, waiting: int, wanted: list[ModelInfo]
):
    status = ModelStatus("a", Histogram().spread, num_waiting=waiting)
    placed = (replace(PLACED, num_granted=granted), replace(PLACED, model=B, device=1))
    placement = replace(IDLE, placed=placed, wanted=tuple(wanted))
    state = told(placement, live, Alive(1, 0, 0, (status,)))
    assert state.load.num_inflight + state.load.num_queued == live
    assert min(state.load.num_inflight, state.load.num_queued) >= 0
    assert all(
        min(load.num_inflight, load.num_queued, load.num_slots_free) >= 0
        for load in state.load.models
    )


def test_rates_are_within_what_the_wire_takes():
    state = own_state(CONFIG, (), IDLE, health(0), Rates(2**40, 2**40))
    assert (state.load.first_token_ms, state.load.decode_tokens_per_s) == (2**32 - 1, 2**32 - 1)


def test_a_peer_that_decodes_nothing_any_more_soon_says_so():
    meter, first, gaps = RateMeter(), Histogram(), Histogram()
    first.add(0.25)
    gaps.add(0.5)

    def speeds(num_looks: int) -> list[int]:
        told = (summed([first.spread]), summed([gaps.spread]), 0)
        return [meter.read(*told).decode_tokens_per_s for _ in range(num_looks)]

    assert speeds(5) == [2, 2, 2, 0, 0], "slow answers have seconds from token to token"
    gaps.add(0.1)
    assert speeds(1) == [10]
    assert meter.read(summed([first.spread]), summed([gaps.spread]), 0).first_token_ms == 250


def test_first_token_that_waited_for_a_load_is_not_taken_for_the_peers_speed():
    meter, first, gaps = RateMeter(), Histogram(), summed([])
    first.add(15.0)
    assert meter.read(summed([first.spread]), gaps, num_loads=1) == Rates()
    first.add(0.5)
    assert meter.read(summed([first.spread]), gaps, num_loads=1) == Rates(first_token_ms=500)
