"""Who gets the engine when, with loads that the test ends by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import CortexError, EngineFailed, InsufficientVram, ModelInvalid
from cortex.engine.messages import Loaded
from cortex.engine.types import Stage
from cortex.peer.children import ChildEnd
from cortex.peer.config import EvictionConfig, Locations, ModelConfig, PeerConfig
from cortex.peer.errors import AttemptsExhausted
from cortex.peer.gossip.ids import ModelId
from cortex.peer.placement.books import DeviceBooks, Need, Size
from cortex.peer.placement.habits import Habits
from cortex.peer.places import Extent, Place, Ticket
from cortex.peer.residency import Residency
from cortex.peer.types import ModelInfo


class HandLoader:
    """Devices whose loads last until the test says so; `log` is what was asked, in order.

    A model takes what `sizes` says of it, else all of the first device. Nothing is known of the
    `strange` until it has been learned.
    """

    def __init__(self, *budgets: int, **sizes: int) -> None:
        self.log: list[str] = []
        self.loads: list[asyncio.Future[None]] = []
        self.on_stage: Callable[[Stage], None] = lambda _: None
        self.devices = [
            DeviceBooks(index, f"device {index}", budget)
            for index, budget in enumerate(budgets or (100,))
        ]
        self.sizes = sizes
        self.load_s = 0.0
        self.strange: set[str] = set()
        self.lesson: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def need_of(self, model: ModelInfo, extent: Extent) -> Need | None:
        if model.id in self.strange:
            return None
        num_bytes = self.sizes.get(model.id, self.devices[0].budget_bytes)
        size = Size(extent.context_tokens or 8, extent.num_slots or 1, num_bytes)
        return Need(ModelId(model.weights), model.id, (size,))

    def reload_s(self, model: ModelInfo) -> float | None:
        return 2.0

    async def learn(self, model: ModelInfo) -> None:
        self.log.append(f"learn {model.id}")
        await self.lesson
        self.strange.discard(model.id)

    async def load(self, place: Place, on_stage: Callable[[Stage], None]) -> Loaded:
        where = f" on {place.device}" if len(self.devices) > 1 else ""
        self.log.append(f"load {place.model.id}{where}")
        self.on_stage = on_stage
        self.loads.append(asyncio.get_running_loop().create_future())
        await self.loads[-1]
        return Loaded("job", place.model.id, 1, self.load_s)

    async def unload(self, place: Place) -> None:
        self.log.append(f"unload {place.model.id}")


def open_residency(
    loader: HandLoader, tasks: asyncio.TaskGroup, max_replays: int = 2, **options: Any
) -> Residency:
    return Residency(loader, Habits(options.pop("config", CONFIG)), tasks, max_replays, **options)


def resident_id(residency: Residency) -> str | None:
    """The model that is ready, of which there is one at most."""
    ready = [place.model.id for place in residency.places if place.state == "ready"]
    return ready[0] if ready else None


class Wish:
    """A ticket that remembers what it was told."""

    def __init__(self, model_id: str, weights: bytes = b"", **extent: int) -> None:
        self.told: list[str | Stage | CortexError] = []
        model = ModelInfo(model_id, None, ("text",), 1, 0, weights)
        self.ticket = Ticket(
            model,
            self.told.append,
            lambda _: self.told.append("granted"),
            self.told.append,
            Extent(**extent),
        )

    @property
    def is_granted(self) -> bool:
        return "granted" in self.told

    @property
    def num_grants(self) -> int:
        return self.told.count("granted")


CONFIG = PeerConfig(Locations(Path("data"), Path("state")))
DEATH = ChildEnd(EngineFailed("the engine process ended"), may_return=True)
LAST_DEATH = ChildEnd(EngineFailed("the engine process was stopped"), may_return=False)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_wishes_share_one_load_and_its_progress():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        residency.ask(second.ticket)
        await settle()
        loader.on_stage(Stage("loading", 1, 2, "bytes"))
        loader.loads[0].set_result(None)
        await settle()
        assert loader.log == ["load a"]
        assert first.is_granted and second.is_granted
        assert Stage("loading", 1, 2, "bytes") in second.told


async def test_another_model_waits_until_the_resident_one_is_idle_and_then_replaces_it():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        first, other = Wish("a"), Wish("b")
        residency.ask(first.ticket)
        await settle()
        await load(loader)
        residency.ask(other.ticket)
        await settle()
        assert other.told == [Stage("queued", 1, 1, "place")]
        residency.give_back(first.ticket)
        await settle()
        await load(loader)
        assert (other.is_granted, resident_id(residency)) == (True, "b")
        assert loader.log == ["load a", "unload a", "load b"]


async def test_failed_load_fails_all_who_waited_for_it_and_nobody_else():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wishes = [Wish("a"), Wish("a"), Wish("b")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        loader.loads[0].set_exception(ModelInvalid("bad"))
        await settle()
        assert [isinstance(w.told[-1], ModelInvalid) for w in wishes] == [True, True, False]
        loader.loads[1].set_result(None)
        await settle()
        assert wishes[2].is_granted


async def test_wish_given_back_before_its_load_began_leaves_nothing():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        residency.give_back(wish.ticket)
        await settle()
        assert (wish.is_granted, loader.log, list(residency.places)) == (False, [], [])


async def test_load_goes_on_when_everybody_who_wished_for_it_has_left():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wishes = [Wish("a"), Wish("a")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        for wish in wishes:
            residency.give_back(wish.ticket)
        await settle()
        assert [place.state for place in residency.places] == ["loading"]
        await load(loader)
        assert resident_id(residency) == "a"
        late = Wish("a")
        residency.ask(late.ticket)
        assert late.is_granted
        assert loader.log == ["load a"]


async def test_failed_load_is_told_to_those_who_come_soon_after_and_then_tried_again():
    loader, now_s = HandLoader(), 100.0
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks, clock=lambda: now_s)
        first = Wish("a")
        residency.ask(first.ticket)
        await settle()
        loader.loads[0].set_exception(ModelInvalid("bad", "download it again"))
        await settle()
        now_s += 14.9
        soon, other = Wish("a"), Wish("b")
        residency.ask(soon.ticket)
        (error,) = soon.told
        assert isinstance(error, ModelInvalid)
        assert (error.message, error.hint) == ("bad", "download it again")
        assert error is not first.told[-1], "each raises its own"
        residency.ask(other.ticket)
        await settle()
        await load(loader)
        assert other.is_granted, "another model is tried all the same"
        residency.give_back(other.ticket)
        now_s += 0.1
        late = Wish("a")
        residency.ask(late.ticket)
        await settle()
        await load(loader)
        assert late.is_granted
        assert loader.log == ["load a", "load b", "unload b", "load a"]


async def test_load_that_killed_three_engines_is_not_tried_by_the_next_request():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        residency.ask(Wish("a").ticket)
        await settle()
        for _ in range(3):
            await die_while_loading(residency, loader, DEATH)
        soon = Wish("a")
        residency.ask(soon.ticket)
        assert isinstance(soon.told[-1], AttemptsExhausted)
        assert loader.log == ["load a"] * 3


async def test_files_that_were_changed_are_loaded_anew_under_the_same_id():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        old, unnamed, new = Wish("a", b"old"), Wish("a"), Wish("a", b"new")
        residency.ask(old.ticket)
        await settle()
        await load(loader)
        residency.ask(unnamed.ticket)
        assert unnamed.is_granted, "nobody has looked at its files since"
        residency.ask(new.ticket)
        assert not new.is_granted
        for wish in (old, unnamed):
            residency.give_back(wish.ticket)
        await settle()
        await load(loader)
        assert new.is_granted
        assert loader.log == ["load a", "unload a", "load a"]


async def test_every_change_is_told():
    loader, num_told = HandLoader(), 0

    def note() -> None:
        nonlocal num_told
        num_told += 1

    async def grows(act: Callable[[], object]) -> bool:
        before = num_told
        act()
        await settle()
        return num_told > before

    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks, on_change=note)
        wish = Wish("a")
        assert await grows(lambda: residency.ask(wish.ticket))
        assert await grows(lambda: loader.on_stage(Stage("loading", 1, 2, "bytes")))
        assert await grows(lambda: loader.loads[0].set_result(None))
        assert await grows(lambda: residency.lose(0, DEATH))
        await load(loader)
        assert await grows(lambda: residency.give_back(wish.ticket))


async def die_while_loading(residency: Residency, loader: HandLoader, end: ChildEnd) -> None:
    """The engine ends under a load: both its book and the load hear of it."""
    residency.lose(0, end)
    loader.loads[-1].set_exception(end.error)
    await settle()


async def load(loader: HandLoader) -> None:
    loader.loads[-1].set_result(None)
    await settle()


async def test_those_who_used_a_dead_engine_are_granted_the_next_one_before_all_others():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        users, other, late = [Wish("a"), Wish("a")], Wish("b"), Wish("a")
        for wish in (*users, other, late):
            residency.ask(wish.ticket)
        await settle()
        await load(loader)
        residency.lose(0, DEATH)
        await settle()
        assert loader.log == ["load a", "load a"]
        await load(loader)
        assert [wish.num_grants for wish in (*users, other, late)] == [2, 2, 0, 2]
        assert [wish.ticket.num_losses for wish in (*users, other, late)] == [1, 1, 0, 1]


@pytest.mark.parametrize("is_word_first", [False, True])
async def test_death_at_the_end_of_a_load_is_not_taken_for_a_loaded_model(is_word_first: bool):
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        await settle()
        if is_word_first:
            loader.loads[0].set_result(None)
            residency.lose(0, DEATH)
        else:
            residency.lose(0, DEATH)
            loader.loads[0].set_result(None)
        await settle()
        assert (resident_id(residency), wish.num_grants) == (None, 0)
        await load(loader)
        assert (resident_id(residency), wish.num_grants) == ("a", 1)


async def test_request_under_which_three_engines_died_fails_and_says_so():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        await settle()
        for _ in range(3):
            await load(loader)
            residency.lose(0, DEATH)
            await settle()
        assert wish.num_grants == 3
        assert isinstance(wish.told[-1], AttemptsExhausted)
        assert "3 times" in wish.told[-1].message
        assert loader.log == ["load a"] * 3, "nobody needs a fourth"


async def test_last_try_is_made_alone_so_that_a_neighbour_does_not_die_of_it():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        killer, neighbour, newcomer = Wish("a"), Wish("a"), Wish("a")
        residency.ask(killer.ticket)
        residency.ask(neighbour.ticket)
        await settle()
        for _ in range(2):
            await load(loader)
            residency.lose(0, DEATH)
            await settle()
        await load(loader)
        residency.ask(newcomer.ticket)
        assert [w.num_grants for w in (killer, neighbour, newcomer)] == [3, 2, 0]
        residency.lose(0, DEATH)
        await settle()
        assert isinstance(killer.told[-1], AttemptsExhausted)
        await load(loader)
        assert [w.num_grants for w in (neighbour, newcomer)] == [3, 0]
        residency.give_back(neighbour.ticket)
        assert newcomer.is_granted


async def test_model_whose_load_kills_three_engines_fails_those_who_wait_for_it_alone():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wishes = [Wish("a"), Wish("a"), Wish("b")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        for _ in range(3):
            await die_while_loading(residency, loader, DEATH)
        failed = [isinstance(w.told[-1], AttemptsExhausted) for w in wishes]
        assert failed == [True, True, False]
        assert loader.log == ["load a"] * 3 + ["load b"]
        await die_while_loading(residency, loader, DEATH)
        await load(loader)
        assert wishes[2].is_granted, "deaths are counted for each model"


async def test_engine_that_cannot_come_back_fails_at_once_with_its_own_words():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        user, other = Wish("a"), Wish("b")
        residency.ask(user.ticket)
        await settle()
        await load(loader)
        residency.ask(other.ticket)
        residency.lose(0, LAST_DEATH)
        await settle()
        assert user.told[-1] is LAST_DEATH.error
        await die_while_loading(residency, loader, LAST_DEATH)
        assert other.told[-1] is LAST_DEATH.error
        assert loader.log == ["load a", "load b"]


async def test_wish_given_back_between_two_engines_is_not_granted_the_second():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        await settle()
        await load(loader)
        residency.lose(0, DEATH)
        await settle()
        residency.give_back(wish.ticket)
        await load(loader)
        assert (wish.num_grants, resident_id(residency)) == (1, "a")


async def test_without_replays_requests_share_the_engine_and_its_death_is_theirs():
    loader = HandLoader()
    async with asyncio.TaskGroup() as tasks:
        residency = open_residency(loader, tasks, 0)
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        residency.ask(second.ticket)
        await settle()
        await load(loader)
        assert first.is_granted and second.is_granted, "no replays: no last try, nobody alone"
        residency.lose(0, DEATH)
        assert isinstance(first.told[-1], AttemptsExhausted)


class Timer:
    """A clock that the test turns, and when it is to be looked at next."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.wake_s: float | None = None

    def __call__(self) -> float:
        return self.now_s

    def wake_after(self, seconds: float | None) -> None:
        self.wake_s = None if seconds is None else self.now_s + seconds


async def ready(residency: Residency, loader: HandLoader, *model_ids: str) -> list[Wish]:
    """Wishes that have been granted these models, one loaded after the other."""
    wishes = [Wish(model_id) for model_id in model_ids]
    for wish in wishes:
        residency.ask(wish.ticket)
        await settle()
        if not wish.is_granted:
            await load(loader)
    return wishes


def told_to_leave(log: list[str]) -> Callable[[Place, str, str], None]:
    return lambda place, reason, wanted: log.append(f"{place.model.id} {reason} {wanted}".strip())


def states(residency: Residency) -> dict[str, str]:
    return {place.model.id: place.state for place in residency.places}


async def test_models_that_fit_beside_each_other_stay_and_answer_together():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, a=40, b=50)
        residency = open_residency(loader, tasks)
        await ready(residency, loader, "a", "b")
        assert states(residency) == {"a": "ready", "b": "ready"}
        assert [books.free_bytes for books in residency.books] == [10]


async def test_a_model_begins_on_the_device_with_most_room_and_is_granted_where_it_is():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, 120, a=40, b=50)
        residency = open_residency(loader, tasks)
        await ready(residency, loader, "a", "b", "a")
        assert loader.log == ["load a on 1", "load b on 0"]


async def test_two_loads_at_a_time_on_two_devices_and_one_on_each():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, 100, a=40, b=40, c=40)
        residency = open_residency(loader, tasks)
        for model_id in "abc":
            residency.ask(Wish(model_id).ticket)
        await settle()
        assert loader.log == ["load a on 0", "load b on 1"]
        loader.loads[0].set_result(None)
        await settle()
        assert loader.log[2:] == ["load c on 0"]
        for pending in loader.loads[1:]:
            pending.set_result(None)


async def test_who_waits_for_a_load_holds_up_nobody_until_it_has_waited_for_long():
    timer, left = Timer(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(
            loader, tasks, clock=timer, wake_after=timer.wake_after, on_leave=told_to_leave(left)
        )
        (busy,) = await ready(residency, loader, "a")
        other = Wish("b")
        residency.ask(other.ticket)
        for _ in range(29):
            timer.now_s += 1.0
            (late,) = await ready(residency, loader, "a")
            residency.give_back(busy.ticket)
            busy = late
        assert timer.wake_s == 130.0
        timer.now_s = 130.0
        residency.look()
        after = Wish("a")
        residency.ask(after.ticket)
        assert not after.is_granted, "it has waited for long enough"
        residency.give_back(busy.ticket)
        await settle()
        assert left == ["a lru b"]
        await load(loader)
        assert other.is_granted and not after.is_granted
        residency.give_back(other.ticket)
        timer.now_s += 1.0
        residency.look()
        await settle()
        await load(loader)
        assert after.is_granted
        assert loader.log == ["load a", "unload a", "load b", "unload b", "load a"]


async def test_a_model_that_was_loaded_stays_until_it_is_idle_for_as_long_as_its_load_took():
    timer = Timer()
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        loader.load_s = 5.0
        residency = open_residency(loader, tasks, clock=timer, wake_after=timer.wake_after)
        (first,) = await ready(residency, loader, "a")
        timer.now_s += 2.0
        residency.give_back(first.ticket)
        residency.ask(Wish("b").ticket)
        await settle()
        assert (loader.log, timer.wake_s) == (["load a"], 107.0)
        timer.now_s = 107.0
        residency.look()
        await settle()
        assert loader.log == ["load a", "unload a", "load b"]
        await load(loader)


async def test_answer_of_any_length_is_never_pushed_out():
    timer = Timer()
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(loader, tasks, clock=timer)
        (busy,) = await ready(residency, loader, "a")
        other = Wish("b")
        residency.ask(other.ticket)
        timer.now_s += 3600.0
        residency.look()
        await settle()
        assert loader.log == ["load a"]
        residency.give_back(busy.ticket)
        await settle()
        await load(loader)
        assert other.is_granted


async def test_pinned_model_does_not_go_and_who_needs_its_place_is_told_so():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(loader, tasks)
        (first,) = await ready(residency, loader, "a")
        residency.give_back(first.ticket)
        residency.pin("a", is_pinned=True)
        other = Wish("b")
        residency.ask(other.ticket)
        (error,) = other.told
        assert isinstance(error, InsufficientVram)
        assert "'a' is pinned" in error.message
        assert error.shortage is not None and not error.shortage.is_final
        residency.pin("a", is_pinned=False)
        await ready(residency, loader, "b")
        assert states(residency) == {"b": "ready"}


async def test_model_that_no_device_could_hold_is_refused_for_good():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, a=101)
        residency = open_residency(loader, tasks)
        wish = Wish("a")
        residency.ask(wish.ticket)
        (error,) = wish.told
        assert isinstance(error, InsufficientVram)
        assert error.shortage is not None and error.shortage.is_final


async def test_idle_model_goes_when_its_time_is_over_unless_it_is_pinned():
    timer, left = Timer(), list[str]()
    config = replace(CONFIG, eviction=EvictionConfig(idle_ttl_s=60.0))
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, a=40, b=40)
        residency = open_residency(
            loader, tasks, config=config, clock=timer, wake_after=timer.wake_after,
            on_leave=told_to_leave(left),
        )  # fmt: skip
        for wish in await ready(residency, loader, "a", "b"):
            residency.give_back(wish.ticket)
        residency.pin("b", is_pinned=True)
        assert timer.wake_s == 160.0
        timer.now_s = 160.0
        residency.look()
        await settle()
        assert (left, states(residency)) == (["a idle"], {"b": "ready"})


async def test_memory_that_other_programs_take_is_yielded_by_what_has_been_idle_for_longest():
    timer, left = Timer(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader(100, a=30, b=30, c=30)
        residency = open_residency(loader, tasks, clock=timer, on_leave=told_to_leave(left))
        for wish in await ready(residency, loader, "a", "b", "c"):
            timer.now_s += 1.0
            if wish.ticket.model.id != "a":
                residency.give_back(wish.ticket)
        loader.devices[0] = replace(loader.devices[0], foreign_bytes=20)
        residency.look()
        await settle()
        assert left == ["b foreign"], "one is enough, and the busy one stays"
        loader.devices[0] = replace(loader.devices[0], foreign_bytes=90)
        residency.look()
        await settle()
        assert (left, states(residency)) == (["b foreign", "c foreign"], {"a": "ready"})


async def test_model_comes_home_when_its_guest_has_been_idle_for_as_long_as_its_load_takes():
    timer, left = Timer(), list[str]()
    home = ModelInfo("h", None, ("text",), 1, 0)
    config = replace(CONFIG, models=(ModelConfig("h", home=True),))
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(
            loader, tasks, config=config, clock=timer, wake_after=timer.wake_after,
            on_leave=told_to_leave(left), at_home=lambda: [home],
        )  # fmt: skip
        residency.look()
        await settle()
        await load(loader)
        assert states(residency) == {"h": "ready"}, "nobody had to ask"
        (guest,) = await ready(residency, loader, "g")
        residency.give_back(guest.ticket)
        timer.now_s += 1.9
        residency.look()
        await settle()
        assert states(residency) == {"g": "ready"}
        timer.now_s += 0.1
        residency.look()
        await settle()
        await load(loader)
        assert left == ["h lru g", "g home h"]


async def test_model_that_does_not_load_at_home_is_not_tried_for_ever():
    timer, home = Timer(), ModelInfo("h", None, ("text",), 1, 0)
    config = replace(CONFIG, models=(ModelConfig("h", home=True),))
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(
            loader, tasks, config=config, clock=timer, at_home=lambda: [home]
        )
        residency.look()
        await settle()
        loader.loads[0].set_exception(ModelInvalid("bad"))
        await settle()
        timer.now_s += 1000.0
        residency.look()
        await settle()
        assert loader.log == ["load h"]


async def test_model_that_is_told_to_go_ends_its_answers_first_and_takes_no_new_ones():
    left: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(loader, tasks, on_leave=told_to_leave(left))
        (busy,) = await ready(residency, loader, "a")
        place = residency.unload("a")
        late = Wish("a")
        residency.ask(late.ticket)
        await settle()
        assert place is not None and not place.gone.is_set() and not late.is_granted
        residency.give_back(busy.ticket)
        await settle()
        assert place.gone.is_set() and left == ["a asked"]
        await load(loader)
        assert late.is_granted, "it is loaded again for who still wants it"


async def test_more_of_a_model_than_is_there_is_loaded_anew():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        residency = open_residency(loader, tasks)
        (first,) = await ready(residency, loader, "a")
        larger = Wish("a", context_tokens=4096)
        residency.ask(larger.ticket)
        assert not larger.is_granted
        residency.give_back(first.ticket)
        await settle()
        await load(loader)
        assert larger.is_granted
        place = residency.places.of("a")
        assert place is not None and place.size.context_tokens == 4096


async def test_what_a_model_takes_is_learned_once_and_those_who_wait_hear_if_it_cannot_be():
    async with asyncio.TaskGroup() as tasks:
        loader = HandLoader()
        loader.strange = {"a", "b"}
        residency = open_residency(loader, tasks)
        wishes = [Wish("a"), Wish("a"), Wish("b")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        assert loader.log == ["learn a", "learn b"]
        loader.lesson.set_exception(ModelInvalid("bad"))
        await settle()
        assert all(isinstance(wish.told[-1], ModelInvalid) for wish in wishes)
