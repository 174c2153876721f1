"""Several models and devices: what is placed where, what goes, and who waits for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

from cortex.engine.errors import InsufficientVram, ModelInvalid
from cortex.engine.stream import Stage
from cortex.peer.config import EvictionConfig, ModelConfig
from cortex.peer.devices.residency import Residency
from cortex.peer.types import ModelInfo
from tests.peer.by_hand import (
    CONFIG,
    DEATH,
    HandLoader,
    Timer,
    Wish,
    by_hand,
    load,
    ready,
    settle,
    states,
    told_to_leave,
)


async def test_models_that_fit_beside_each_other_stay_and_answer_together():
    async with by_hand(100, a=40, b=50) as (residency, loader):
        await ready(residency, loader, "a", "b")
        assert states(residency) == {"a": "ready", "b": "ready"}
        assert [books.free_bytes for books in residency.books] == [10]


async def test_a_model_begins_on_the_device_with_most_room_and_is_granted_where_it_is():
    async with by_hand(100, 120, a=40, b=50) as (residency, loader):
        await ready(residency, loader, "a", "b", "a")
        assert loader.log == ["load a on 1", "load b on 0"]


async def test_two_loads_at_a_time_on_two_devices_and_one_on_each():
    async with by_hand(100, 100, a=40, b=40, c=40) as (residency, loader):
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
    async with by_hand(clock=timer, wake_after=timer.wake_after, on_leave=told_to_leave(left)) as (
        residency,
        loader,
    ):
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
    async with by_hand(clock=timer, wake_after=timer.wake_after) as (residency, loader):
        loader.load_s = 5.0
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
    async with by_hand(clock=timer) as (residency, loader):
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


async def test_who_has_waited_for_long_claims_what_will_be_idle_first():
    timer = Timer()
    async with by_hand(100, a=50, b=50, c=50, clock=timer) as (residency, loader):
        long, brief = await ready(residency, loader, "a", "b")
        other = Wish("c")
        residency.ask(other.ticket)
        for _ in range(3):
            timer.now_s += 10.0
            (late,) = await ready(residency, loader, "b")
            residency.give_back(brief.ticket)
            brief = late
        late = Wish("b")
        residency.ask(late.ticket)
        assert not late.is_granted, "what is claimed takes nothing new"
        await ready(residency, loader, "a")
        residency.give_back(brief.ticket)
        await settle()
        await load(loader)
        assert states(residency) == {"a": "ready", "c": "ready"}
        assert long.is_granted and other.is_granted


async def test_who_has_claimed_a_place_takes_another_one_that_is_idle_before():
    timer, left = Timer(), list[str]()
    async with by_hand(100, a=50, b=50, c=50, clock=timer, on_leave=told_to_leave(left)) as (
        residency,
        loader,
    ):
        (longer,) = await ready(residency, loader, "a")
        timer.now_s += 10.0
        (claimed,) = await ready(residency, loader, "b")
        other = Wish("c")
        residency.ask(other.ticket)
        timer.now_s += 30.0
        residency.look()
        residency.give_back(longer.ticket)
        await settle()
        await load(loader)
        assert other.is_granted and left == ["a lru c"]
        (again,) = await ready(residency, loader, "b")
        assert claimed.is_granted and again.is_granted, "what was claimed is free again"


async def test_who_has_claimed_a_long_answers_place_changes_to_one_that_is_idle_far_sooner():
    timer = Timer()
    async with by_hand(100, a=50, b=50, c=50, clock=timer) as (residency, loader):
        brief, first = await ready(residency, loader, "b", "a")
        other = Wish("c")
        residency.ask(other.ticket)
        timer.now_s += 29.0
        (long,) = await ready(residency, loader, "a")
        residency.give_back(first.ticket)
        timer.now_s += 1.0
        residency.look()
        assert not ask(residency, "a").is_granted, "its answer had only just begun"
        (late,) = await ready(residency, loader, "b")
        timer.now_s += 10.0
        residency.give_back(brief.ticket)
        last = ask(residency, "b")
        assert last.is_granted, "what was chosen stays chosen where the other is as long at work"
        residency.give_back(late.ticket)
        assert not ask(residency, "b").is_granted
        residency.give_back(last.ticket)
        await settle()
        await load(loader)
        assert other.is_granted and long.is_granted and states(residency).keys() == {"a", "c"}


def ask(residency: Residency, model_id: str) -> Wish:
    wish = Wish(model_id)
    residency.ask(wish.ticket)
    return wish


async def test_pinned_model_does_not_go_and_who_needs_its_place_is_told_so():
    async with by_hand() as (residency, loader):
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
    async with by_hand(100, a=101) as (residency, _):
        wish = Wish("a")
        residency.ask(wish.ticket)
        (error,) = wish.told
        assert isinstance(error, InsufficientVram)
        assert error.shortage is not None and error.shortage.is_final


async def test_idle_model_goes_when_its_time_is_over_unless_it_is_pinned():
    timer, left = Timer(), list[str]()
    config = replace(CONFIG, eviction=EvictionConfig(idle_ttl_s=60.0))
    async with by_hand(
        100,
        a=40,
        b=40,
        config=config,
        clock=timer,
        wake_after=timer.wake_after,
        on_leave=told_to_leave(left),
    ) as (residency, loader):
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
    async with by_hand(100, a=30, b=30, c=30, clock=timer, on_leave=told_to_leave(left)) as (
        residency,
        loader,
    ):
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
    async with by_hand(
        config=config,
        clock=timer,
        wake_after=timer.wake_after,
        on_leave=told_to_leave(left),
        at_home=lambda: [home],
    ) as (residency, loader):
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


async def test_model_comes_home_smaller_where_another_that_lives_there_would_have_to_go_for_more():
    timer, homes = Timer(), [ModelInfo(id, None, ("text",), 1, 0) for id in "hg"]
    config = replace(CONFIG, models=(ModelConfig("h", home=True), ModelConfig("g", home=True)))
    async with by_hand(100, h=60, g=30, config=config, clock=timer, at_home=lambda: homes) as (
        residency,
        loader,
    ):
        loader.lengths["g"], loader.comforts["g"] = (50,), 50
        loader.strange.add("g")
        residency.look()
        await settle()
        await load(loader)
        timer.now_s += 400.0
        loader.lesson.set_result(None)
        await settle()
        residency.look()
        await settle()
        await load(loader)
        assert states(residency) == {"h": "ready", "g": "ready"}


HOME = ModelInfo("h", None, ("text",), 1, 0)
AT_HOME = replace(
    CONFIG, models=(ModelConfig("h", home=True),), eviction=EvictionConfig(idle_ttl_s=None)
)


@asynccontextmanager
async def at_home(*strange: str) -> AsyncGenerator[tuple[Timer, Residency, HandLoader]]:
    """A device which the model that lives there has begun to come back to."""
    timer = Timer()
    async with by_hand(
        config=AT_HOME, clock=timer, wake_after=timer.wake_after, at_home=lambda: [HOME]
    ) as (residency, loader):
        loader.strange.update(strange)
        residency.look()
        await settle()
        yield timer, residency, loader


async def look_at(timer: Timer, now_s: float, residency: Residency) -> None:
    timer.now_s = now_s
    residency.look()
    await settle()


async def test_model_that_failed_to_come_home_comes_once_what_was_in_the_way_is_gone():
    async with at_home() as (timer, residency, loader):
        for rest_s in (15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
            loader.loads[-1].set_exception(InsufficientVram("taken"))
            await settle()
            num_loads, due_s = len(loader.loads), timer.now_s + rest_s
            assert timer.wake_s == due_s
            await look_at(timer, due_s - 0.1, residency)
            assert len(loader.loads) == num_loads
            await look_at(timer, due_s, residency)
            assert len(loader.loads) == num_loads + 1, "nobody had to ask"
        await load(loader)
        assert states(residency) == {"h": "ready"}
        assert await residency.unload("h")
        await settle()
        loader.loads[-1].set_exception(InsufficientVram("taken"))
        await settle()
        assert timer.wake_s == timer.now_s + 15, "it has come home in between"


async def test_model_whose_files_are_wrong_is_tried_at_home_once_an_hour():
    async with at_home() as (timer, residency, loader):
        loader.loads[-1].set_exception(ModelInvalid("bad"))
        await settle()
        failed_s = timer.now_s
        await look_at(timer, failed_s + 3599, residency)
        assert loader.log == ["load h"]
        await look_at(timer, failed_s + 3600, residency)
        assert loader.log == ["load h", "load h"], "its share may have been away"
        await load(loader)


async def test_no_guest_goes_a_second_time_for_a_model_that_failed_to_come_home():
    async with at_home() as (timer, residency, loader):
        loader.loads[-1].set_exception(InsufficientVram("taken"))
        await settle()
        (guest,) = await ready(residency, loader, "g")
        residency.give_back(guest.ticket)
        for day in range(1, 4):
            await look_at(timer, 86_400.0 * day, residency)
            assert states(residency) == {"g": "ready"}
        assert await residency.unload("g")
        await settle()
        assert loader.log == ["load h", "load g", "unload g", "load h"], "the room is free"
        await load(loader)


async def test_model_that_ended_engines_is_tried_again_only_when_somebody_asks():
    async with at_home() as (timer, residency, loader):
        for _ in range(3):
            residency.lose(0, DEATH)
            loader.loads[-1].set_exception(DEATH.error)
            await settle()
        assert loader.log == ["load h"] * 3
        await look_at(timer, timer.now_s + 30 * 86_400, residency)
        assert (loader.log, timer.wake_s) == (["load h"] * 3, None)
        refused = Wish("h")
        residency.ask(refused.ticket)
        await settle()
        loader.loads[-1].set_exception(InsufficientVram("taken"))
        await settle()
        await look_at(timer, timer.now_s + 30 * 86_400, residency)
        assert loader.log == ["load h"] * 4, "what it failed with last is not all it did"
        late = Wish("h")
        residency.ask(late.ticket)
        await settle()
        await load(loader)
        assert late.is_granted


async def test_model_that_ended_engines_while_it_was_looked_at_is_left_alone():
    async with at_home("h") as (timer, residency, loader):
        loader.lesson.set_exception(DEATH.error)
        await settle()
        await look_at(timer, timer.now_s + 30 * 86_400, residency)
        assert (loader.log, timer.wake_s) == (["learn h"], None)


async def test_model_that_could_not_be_looked_at_for_a_moment_comes_home_as_if_it_had():
    async with at_home("h") as (timer, residency, loader):
        loader.lesson.set_exception(ModelInvalid("its share is away"))
        await settle()
        (guest,) = await ready(residency, loader, "g")
        residency.give_back(guest.ticket)
        loader.lesson = asyncio.get_running_loop().create_future()
        loader.lesson.set_result(None)
        await look_at(timer, timer.now_s + 3600, residency)
        assert loader.log == ["learn h", "load g", "learn h", "unload g", "load h"]
        await load(loader)


async def test_model_that_is_told_to_go_ends_its_answers_first_and_takes_no_new_ones():
    left: list[str] = []
    async with by_hand(on_leave=told_to_leave(left)) as (residency, loader):
        (busy,) = await ready(residency, loader, "a")
        order = asyncio.create_task(residency.unload("a"))
        await settle()
        late = Wish("a")
        residency.ask(late.ticket)
        await settle()
        assert not order.done() and not late.is_granted
        residency.give_back(busy.ticket)
        await settle()
        assert await order and left == ["a asked"]
        await load(loader)
        assert late.is_granted, "it is loaded again for who still wants it"


async def test_more_of_a_model_than_is_there_is_loaded_anew():
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
        loader.strange = {"a", "b"}
        wishes = [Wish("a"), Wish("a"), Wish("b")]
        for wish in wishes:
            residency.ask(wish.ticket)
        await settle()
        assert loader.log == ["learn a", "learn b"]
        loader.lesson.set_exception(ModelInvalid("bad"))
        await settle()
        assert all(isinstance(wish.told[-1], ModelInvalid) for wish in wishes)


async def test_engine_that_has_had_many_models_is_started_anew_when_idle_and_nobody_notices():
    timer, told = Timer(), list[str]()
    eviction = EvictionConfig(defrag_after_cycles=1, min_residency_s=0.0)
    async with by_hand(config=replace(CONFIG, eviction=eviction), clock=timer) as (
        residency,
        loader,
    ):
        (first,) = await ready(residency, loader, "a")
        residency.give_back(first.ticket)
        (busy,) = await ready(residency, loader, "b")
        assert "renew" not in loader.log, "not while it answers"
        timer.now_s += 5.0
        residency.give_back(busy.ticket)
        await settle()
        assert loader.log[-1] == "renew"
        waiting = Wish("b")
        residency.ask(waiting.ticket)
        residency.lose(0, DEATH)
        told += [stage.name for stage in waiting.told if isinstance(stage, Stage)]
        assert told == ["defragmenting"] and states(residency) == {"b": "loading"}
        loader.renewal.set_result(None)
        await settle()
        await load(loader)
        assert waiting.is_granted
        assert loader.log[-2:] == ["renew", "load b"]


async def test_engine_that_holds_more_than_its_books_say_is_started_anew_but_not_without_a_cause():
    async with by_hand() as (residency, loader):
        loader.are_worn = True
        (first,) = await ready(residency, loader, "a")
        residency.give_back(first.ticket)
        await settle()
        assert loader.log == ["load a"], "no model has gone: starting anew would bring nothing"
        await residency.unload("a")
        await settle()
        assert loader.log == ["load a", "unload a", "renew"]
        loader.renewal.set_result(None)


async def test_no_load_begins_beside_a_last_try_and_it_begins_beside_no_load():
    async with by_hand(100, a=40, b=40) as (residency, loader):
        (killer,) = await ready(residency, loader, "a")
        for _ in range(2):
            residency.lose(0, DEATH)
            await settle()
            await load(loader)
        assert killer.num_grants == 3
        other = Wish("b")
        residency.ask(other.ticket)
        await settle()
        assert loader.log == ["load a"] * 3, "there would be room, but not for who may die of it"
        residency.give_back(killer.ticket)
        await settle()
        await load(loader)
        assert other.is_granted
