"""The book of a peer's devices under everything that can happen to it, in any order: wishes and
their ends, loads that end well or badly, engines that die, pins, unloads, and time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortex.engine.errors import CortexError, EngineFailed, LoadCancelled, ModelInvalid
from cortex.engine.messages import Loaded
from cortex.engine.stream import Stage
from cortex.peer.children.engine_side import EngineUse
from cortex.peer.children.slot import ChildEnd
from cortex.peer.config import EvictionConfig, Locations, PeerConfig
from cortex.peer.devices.places import Extent, Place, Ticket
from cortex.peer.devices.residency import Residency
from cortex.peer.gossip.ids import ModelId
from cortex.peer.placement.books import DeviceBooks, Need, Size
from cortex.peer.placement.habits import Habits
from cortex.peer.placement.leaving import LeaveReason
from cortex.peer.types import ModelInfo

BUDGETS = (100, 120)
SIZES = {"a": (60, 40), "b": (50,), "c": (60,), "d": (110, 90)}
CONFIG = PeerConfig(
    Locations(Path("data"), Path("state")),
    eviction=EvictionConfig(min_residency_s=10.0, idle_ttl_s=300.0, defrag_after_cycles=2),
)
DEATH = ChildEnd(EngineFailed("the engine process ended"), may_return=True)


class HandEngines:
    """What is on the devices by the engines' own books. Everything ends when the test says so."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.devices = [DeviceBooks(n, f"device {n}", budget) for n, budget in enumerate(BUDGETS)]
        self.on_device: list[dict[str, int]] = [{} for _ in BUDGETS]
        # Loads and unloads under way, each with its device.
        self.moves: list[tuple[int, asyncio.Future[None]]] = []
        # Where a load is not wanted any more; one at a time is under way on a device.
        self.cancelled: set[int] = set()
        self.on_renewal: Callable[[int], None] = lambda device: None
        self.away, self.leaving = {0, 1}, set[int]()

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        sizes = tuple(Size(8, 1, num_bytes) for num_bytes in SIZES[model.id])
        return Need(ModelId(model.weights), model.id, sizes)

    def reload_s(self, model: ModelInfo) -> float | None:
        return 2.0

    async def learn(self, model: ModelInfo) -> None:
        raise NotImplementedError

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded:
        held = self.on_device[place.device]
        assert place.model.id not in held and place.device not in self.leaving
        self.away.discard(place.device)
        held[place.model.id] = place.size.num_bytes
        try:
            await self._move(place.device)
        except CortexError:
            if self.on_device[place.device] is held:
                del held[place.model.id]
            raise
        finally:
            self.cancelled.discard(place.device)
        return Loaded("job", place.model.id, 1, 2.0)

    def cancel_load(self, place: Place) -> None:
        """One that has not begun, because others are to go first, is not known here."""
        assert place.state == "unloading"
        if place.model.id in self.on_device[place.device]:
            self.cancelled.add(place.device)

    async def unload(self, place: Place) -> None:
        held = self.on_device[place.device]
        await self._move(place.device)
        del held[place.model.id]

    def is_worn(self, device: int, reserved_bytes: int) -> bool:
        return False

    async def renew(self, device: int) -> None:
        assert all(where != device for where, _ in self.moves), "it is idle"
        self.on_device[device] = {}
        self.on_renewal(device)
        with contextlib.suppress(EngineFailed):  # one that is to end anyway may well die
            await self._move(device)

    def use(self, device: int) -> EngineUse:
        if device in self.away | self.leaving:
            return "away"
        return "busy" if any(where == device for where, _ in self.moves) else "idle"

    async def rest(self, device: int) -> bool:
        assert self.use(device) == "idle" and not self.on_device[device]
        self.leaving.add(device)
        with contextlib.suppress(EngineFailed):
            await self._move(device)
        self.leaving.discard(device)
        self.away.add(device)
        return True

    async def _move(self, device: int) -> None:
        move = (device, self._loop.create_future())
        self.moves.append(move)
        try:
            await move[1]
        finally:
            self.moves.remove(move)

    def die(self, device: int) -> None:
        self.on_device[device] = {}
        for where, move in self.moves:
            if where == device and not move.done():
                move.set_exception(EngineFailed("the engine process ended"))


class Client:
    """A wish, and what became of it."""

    def __init__(self, model_id: str, asked_s: float) -> None:
        self.model_id, self.asked_s = model_id, asked_s
        self.is_over = False
        self.num_grants, self.num_failures = 0, 0
        model = ModelInfo(model_id, None, ("text",), 8, 0, model_id.encode() * 8)
        self.ticket = Ticket(model, lambda _: None, self._granted, self._failed)

    def _granted(self, place: Place) -> None:
        assert not self.is_over and place.state == "ready"
        self.num_grants += 1

    def _failed(self, error: CortexError) -> None:
        assert not self.is_over
        self.is_over = True
        self.num_failures += 1


class Devices(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now_s, self.due_s = 0.0, None
        self.engines = HandEngines(self.loop)
        self.clients: list[Client] = []
        self.unloads: list[asyncio.Task[bool]] = []
        tasks: Any = self.loop  # it makes tasks as a group does, and the test ends them all
        self.residency = Residency(
            self.engines,
            Habits(CONFIG),
            tasks,
            max_replays=2,
            on_leave=self._check_leaving,
            wake_after=self._wake_after,
            clock=lambda: self.now_s,
        )
        # A process that is ended on purpose is told as ended, like any other.
        self.engines.on_renewal = lambda device: self.residency.lose(device, DEATH)

    def _check_leaving(self, place: Place, reason: LeaveReason, wanted: str) -> None:
        assert not place.holders, "work in flight"
        assert reason == "asked" or place.model.id not in self.residency.pinned

    def _wake_after(self, seconds: float | None) -> None:
        self.due_s: float | None = None if seconds is None else self.now_s + seconds

    def _settle(self) -> None:
        async def turns() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @property
    def open(self) -> list[Client]:
        return [client for client in self.clients if not client.is_over]

    @rule(model=st.sampled_from(sorted(SIZES)))
    def ask(self, model: str) -> None:
        client = Client(model, self.now_s)
        self.clients.append(client)
        self.residency.ask(client.ticket)
        self._settle()

    @rule(model=st.sampled_from(sorted(SIZES)))
    def ask_and_leave_at_once(self, model: str) -> None:
        self.ask(model)
        self.leave(len(self.open) - 1)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 30))
    def leave(self, which: int) -> None:
        """It has its answer, or its client has gone."""
        if self.open:
            client = self.open[which % len(self.open)]
            client.is_over = True
            self.residency.give_back(client.ticket)
            self._settle()

    @precondition(lambda self: self.engines.moves)
    @rule(which=st.integers(0, 5))
    def end_move(self, which: int) -> None:
        """A load that is not wanted any more may end well all the same, where that was too late."""
        moves = self.engines.moves
        moves[which % len(moves)][1].set_result(None)
        self._settle()

    @precondition(lambda self: self.engines.cancelled)
    @rule()
    def end_cancelled_load(self) -> None:
        for device, move in list(self.engines.moves):
            if device in self.engines.cancelled and not move.done():
                self.engines.cancelled.discard(device)
                move.set_exception(LoadCancelled("cancelled"))
        self._settle()

    @precondition(lambda self: self.engines.moves)
    @rule(which=st.integers(0, 5))
    def fail_load(self, which: int) -> None:
        device, move = self.engines.moves[which % len(self.engines.moves)]
        states = {place.state for place in self.residency.places.on(device)}
        if "loading" in states and "unloading" not in states:
            move.set_exception(ModelInvalid("bad"))
            self._settle()

    @rule(device=st.sampled_from((0, 1)))
    def die(self, device: int) -> None:
        self.engines.die(device)
        self.residency.lose(device, DEATH)
        self._settle()

    @rule(model=st.sampled_from(sorted(SIZES)), is_pinned=st.booleans())
    def pin(self, model: str, is_pinned: bool) -> None:
        self.residency.pin(model, is_pinned=is_pinned)
        self._settle()

    @rule(model=st.sampled_from(sorted(SIZES)))
    def unload(self, model: str) -> None:
        self.unloads.append(self.loop.create_task(self.residency.unload(model)))
        self._settle()

    @precondition(lambda self: self.unloads)
    @rule(which=st.integers(0, 5))
    def think_better_of_an_unload(self, which: int) -> None:
        self.unloads.pop(which % len(self.unloads)).cancel()
        self._settle()

    @rule(model=st.sampled_from(sorted(SIZES)))
    def summon_and_leave_at_once(self, model: str) -> None:
        made = Client(model, self.now_s).ticket.model
        self.residency.keep(made, Extent())
        order = self.loop.create_task(self.residency.summon(made, lambda _: None))
        self._settle()
        order.cancel()
        self._settle()

    @rule(seconds=st.sampled_from((0.1, 2.0, 10.0, 60.0, 400.0)))
    def wait(self, seconds: float) -> None:
        until_s, num_looks = self.now_s + seconds, 0
        while self.due_s is not None and self.due_s <= until_s:
            num_looks += 1
            assert num_looks < 100, "it looks again and again"
            self.now_s = max(self.due_s, self.now_s)
            self.residency.look()
            self._settle()
        self.now_s = until_s

    @invariant()
    def no_byte_is_counted_twice(self) -> None:
        for device, books in zip(self.engines.devices, self.residency.books, strict=True):
            assert books.reserved_bytes <= device.budget_bytes
            held = self.engines.on_device[device.index]
            assert sum(held.values()) <= device.budget_bytes

    @invariant()
    def every_wish_waits_or_is_served_and_never_both(self) -> None:
        queue = list(self.residency._queue)  # pyright: ignore[reportPrivateUsage]
        held = [ticket for place in self.residency.places for ticket in place.holders]
        open_ones = [client.ticket for client in self.open]
        assert sorted(map(id, queue + held)) == sorted(map(id, open_ones))

    @invariant()
    def nobody_who_could_be_served_is_kept_waiting_without_a_reason(self) -> None:
        """Where nothing moves and nobody is served, nobody waits either, or time is to pass."""
        if self.engines.moves or any(place.holders for place in self.residency.places):
            return
        assert not self.open or self.due_s is not None

    def teardown(self) -> None:
        """However things are, everybody's turn comes, in a time that has a bound."""
        began_s = self.now_s
        for _ in range(400):
            if not self.open and not self.engines.moves:
                break
            for client in list(self.open):
                if client.num_grants and any(
                    client.ticket in place.holders for place in self.residency.places
                ):
                    self.leave(self.open.index(client))
            while self.engines.moves:
                self.end_move(0)
            self.wait(1.0)
        assert not self.open and not self.engines.moves
        # Nobody waits longer than for each of the others to wait its time.
        assert self.now_s - began_s <= 15.0 * len(SIZES)
        self.loop.close()


TestDevices = Devices.TestCase
TestDevices.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
