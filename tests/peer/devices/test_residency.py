"""Who gets a device that holds one model, when, and what becomes of those whose engine dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cortex.engine.errors import ModelInvalid
from cortex.engine.stream import Stage
from cortex.peer.children.slot import ChildEnd
from cortex.peer.devices.residency import Residency
from cortex.peer.errors import AttemptsExhausted
from tests.peer.by_hand import (
    DEATH,
    LAST_DEATH,
    HandLoader,
    Wish,
    by_hand,
    load,
    ready,
    resident_id,
    settle,
)


async def test_concurrent_wishes_share_one_load_and_its_progress():
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
        wish = Wish("a")
        residency.ask(wish.ticket)
        residency.give_back(wish.ticket)
        await settle()
        assert (wish.is_granted, loader.log, list(residency.places)) == (False, [], [])


async def test_failed_load_is_told_to_those_who_come_soon_after_and_then_tried_again():
    now_s = 100.0
    async with by_hand(clock=lambda: now_s) as (residency, loader):
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
    async with by_hand() as (residency, loader):
        residency.ask(Wish("a").ticket)
        await settle()
        for _ in range(3):
            await die_while_loading(residency, loader, DEATH)
        soon = Wish("a")
        residency.ask(soon.ticket)
        assert isinstance(soon.told[-1], AttemptsExhausted)
        assert loader.log == ["load a"] * 3


async def test_files_that_were_changed_are_loaded_anew_under_the_same_id():
    async with by_hand() as (residency, loader):
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
    num_told = 0

    def note() -> None:
        nonlocal num_told
        num_told += 1

    async def grows(act: Callable[[], object]) -> bool:
        before = num_told
        act()
        await settle()
        return num_told > before

    async with by_hand(on_change=note) as (residency, loader):
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


async def test_those_who_used_a_dead_engine_are_granted_the_next_one_before_all_others():
    async with by_hand() as (residency, loader):
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


async def test_all_who_used_a_dead_engine_are_told_so_whoever_is_loaded_first():
    """Whoever waits for the second model may find it elsewhere."""
    async with by_hand(100, a=40, b=40) as (residency, loader):
        users = await ready(residency, loader, "a", "b")
        for user in users:
            user.told.clear()
        residency.lose(0, DEATH)
        assert [user.told[0] for user in users] == [Stage("starting")] * 2
        await settle()
        loader.on_stage(Stage("loading", 1, 2, "bytes"))
        assert users[1].told[-1] == Stage("starting"), "nothing that came since hides it"
        await load(loader)
        await load(loader)
        assert [user.num_grants for user in users] == [1, 1]


async def test_the_rest_of_an_answer_goes_before_all_that_have_not_begun():
    async with by_hand() as (residency, _):
        wishes = [Wish("a"), Wish("b"), Wish("c", is_rest=True), Wish("d", is_rest=True)]
        for wish in wishes:
            residency.ask(wish.ticket)
        assert [model.id for model in residency.wanted] == ["c", "d", "a", "b"]
        for wish in wishes:
            residency.give_back(wish.ticket)


@pytest.mark.parametrize("is_word_first", [False, True])
async def test_death_at_the_end_of_a_load_is_not_taken_for_a_loaded_model(is_word_first: bool):
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand() as (residency, loader):
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
    async with by_hand(max_replays=0) as (residency, loader):
        first, second = Wish("a"), Wish("a")
        residency.ask(first.ticket)
        residency.ask(second.ticket)
        await settle()
        await load(loader)
        assert first.is_granted and second.is_granted, "no replays: no last try, nobody alone"
        residency.lose(0, DEATH)
        assert isinstance(first.told[-1], AttemptsExhausted)
