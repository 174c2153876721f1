"""A slot and what it hears, with children whose every word the test says."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from msgspec import Raw, msgpack

from cortex.engine.errors import CortexError, EngineFailed, ErrorInfo, LoadCancelled, to_info
from cortex.engine.frames import pack_message, unpack_message
from cortex.engine.messages import (
    Alive,
    CancelLoad,
    Ending,
    JobFailed,
    Load,
    Message,
    Progress,
    Step,
    StepPart,
)
from cortex.engine.stream import Stage
from cortex.peer.children.engine_side import Attempt, EngineSide
from cortex.peer.children.link import open_link
from cortex.peer.children.mailbox import Mailbox
from cortex.peer.children.process import ChildProcess, spawn
from cortex.peer.children.slot import ChildEnd, ChildSlot, ChildSpec
from cortex.peer.devices.losses import Losses
from cortex.peer.placement.books import Size
from cortex.peer.release import own_release
from cortex.peer.types import ModelInfo

DEADLINE_S = 20
SPEC = ChildSpec("engine", ("engine",), start_s=10, silence_s=10, longest_rest_s=1)
MODEL = ModelInfo("m", None, ("text",), 1, 0)


class HandChild:
    """The other end of a child's socket, and the process: it ends when the test says so."""

    def __init__(self) -> None:
        self.pid = 7
        self.is_killed = False
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._ours, self._theirs = socket.socketpair()

    async def spawn(self, command: Sequence[str]) -> ChildProcess:
        return ChildProcess(self, await open_link(self._theirs))

    def say(self, *messages: Message) -> None:
        self._ours.sendall(b"".join(pack_message(message) for message in messages))

    def heard(self) -> list[Message]:
        """All that has been said to it."""
        data, messages = self._ours.recv(1 << 20), list[Message]()
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            messages.append(unpack_message(data[4:end]))
            data = data[end:]
        return messages

    def hang_up(self) -> None:
        self._ours.close()

    def kill(self) -> None:
        self.is_killed = True
        if not self.ended.done():
            self.ended.set_result(-9)

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)


class Place:
    """A slot with what it has told."""

    def __init__(self, child: HandChild, tasks: asyncio.TaskGroup, spec: ChildSpec = SPEC) -> None:
        self.heard: list[Message] = []
        self.ends: list[ChildEnd] = []
        self.slot = ChildSlot(spec, tasks, self.heard.append, self.ends.append, child.spawn)


@pytest.fixture
async def child() -> AsyncIterator[HandChild]:
    child = HandChild()
    yield child
    child.hang_up()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a slot has no event to wait for
        await asyncio.sleep(0)


async def test_end_right_after_the_first_word_is_told_to_those_whom_that_let_go_on(
    child: HandChild,
):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0), Ending(ErrorInfo("internal_error", "no more")))
        child.ended.set_result(1)
        await place.slot.ready()
        assert (place.slot.state, place.ends) == ("up", [])
        await until(lambda: bool(place.ends))
        [end] = place.ends
        assert "gave up: no more, exit code 1" in end.error.message
        assert end.may_return


async def test_child_that_gives_up_before_its_first_word_says_itself_what_to_do(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        why = ErrorInfo("engine_failed", "the GPU cannot be used", "compute without it")
        child.say(Ending(why))
        child.ended.set_result(1)
        with pytest.raises(EngineFailed) as failed:
            await place.slot.ready()
        assert "gave up: the GPU cannot be used, exit code 1" in failed.value.message
        assert failed.value.hint == "compute without it"


async def test_slot_closed_while_its_child_is_buried_still_tells_of_the_end(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        place.slot.wake()
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        child.hang_up()
        await until(lambda: place.slot.state == "stopped")
        closing = tasks.create_task(place.slot.close())
        await asyncio.sleep(0)
        child.ended.set_result(0)
        await closing
        assert [end.may_return for end in place.ends] == [False]
        assert not child.is_killed


async def test_the_end_of_a_child_that_takes_long_to_go_is_told_before_and_the_next_waits_for_it(
    child: HandChild, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cortex.peer.children.slot._TELL_S", 0.0)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        child.hang_up()
        await until(lambda: bool(place.ends))
        assert (place.ends[0].may_return, place.slot.last_end) == (True, "ended")
        assert not child.ended.done() and place.slot.pid == child.pid
        assert place.slot.is_burying
        next_one = tasks.create_task(place.slot.ready())
        await asyncio.sleep(0)
        assert place.slot.state == "stopped"
        child.ended.set_result(3)
        await until(lambda: place.slot.state == "starting")
        assert not place.slot.is_burying
        assert (len(place.ends), place.slot.last_end) == (1, "ended, exit code 3")
        next_one.cancel()
        await place.slot.close()


async def test_who_is_told_early_is_told_of_the_other_release_too(
    child: HandChild, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cortex.peer.children.slot._TELL_S", 0.0)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks, replace(SPEC, release="0.0.0"))
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        child.hang_up()
        await until(lambda: bool(place.ends))
        [end] = place.ends
        assert not child.ended.done() and "where this peer is cortex 0.0.0" in end.error.message
        assert end.error.hint.startswith("restart this peer")
        child.ended.set_result(0)
        await place.slot.close()


async def test_an_early_word_that_cannot_be_taken_is_no_secret(
    child: HandChild, monkeypatch: pytest.MonkeyPatch
):
    def refuse(end: ChildEnd) -> None:
        raise LookupError("a bug of ours")

    monkeypatch.setattr("cortex.peer.children.slot._TELL_S", 0.0)
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            slot = ChildSlot(SPEC, tasks, lambda _: None, refuse, child.spawn)
            child.say(Alive(0, 0, 0))
            await slot.ready()
            child.hang_up()
    assert raised.group_contains(LookupError)
    child.ended.set_result(0)


async def test_slot_closed_before_its_child_began_tells_those_who_wait():
    async def spawn_never(command: Sequence[str]) -> ChildProcess:
        return await asyncio.get_running_loop().create_future()

    ends: list[ChildEnd] = []
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        slot = ChildSlot(SPEC, tasks, lambda _: None, ends.append, spawn_never)
        waiting = asyncio.create_task(slot.ready())
        await asyncio.sleep(0)
        await slot.close()
        with pytest.raises(EngineFailed, match="was stopped"):
            await waiting
        assert [end.is_wanted for end in ends] == [True]


async def test_child_at_rest_was_told_to_end_and_whoever_needs_one_waits_for_the_next(
    child: HandChild,
):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        await place.slot.rest()
        assert (place.slot.state, place.slot.is_at_rest) == ("stopped", False), "none is there"
        child.say(Alive(0, 0, 7))
        await place.slot.ready()
        resting = asyncio.create_task(place.slot.rest())
        await asyncio.sleep(0)
        assert (place.slot.state, place.slot.is_burying) == ("stopped", True)
        next_one = asyncio.create_task(place.slot.ready())
        await asyncio.sleep(0)
        assert not place.ends and place.slot.is_at_rest
        child.ended.set_result(0)
        await resting
        assert [end.is_wanted for end in place.ends] == [True]
        assert "before it was ready" not in place.ends[0].error.message
        assert place.slot.last_told == Alive(0, 0, 7)
        await until(lambda: place.slot.state == "starting")
        assert not place.slot.is_at_rest
        next_one.cancel()
        await place.slot.close()


async def test_condemned_child_is_killed_at_once_and_the_reason_told(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        place.slot.condemn("was found wanting")
        await until(lambda: bool(place.ends))
        assert child.is_killed
        assert place.slot.last_end == "was found wanting, killed"


async def test_child_that_goes_in_the_moment_of_its_killing_is_told_as_ended(
    child: HandChild, monkeypatch: pytest.MonkeyPatch
):
    def kill() -> None:
        child.ended.set_result(0)
        raise ProcessLookupError

    monkeypatch.setattr(child, "kill", kill)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        place.slot.condemn("was found wanting")
        await until(lambda: bool(place.ends))
        assert place.slot.last_end == "was found wanting, killed"


@pytest.mark.parametrize("is_up", [False, True])
@pytest.mark.parametrize("release", [own_release(), "0.0.0"])
async def test_child_that_ends_after_another_release_was_installed_is_told_with_both(
    child: HandChild, release: str, is_up: bool
):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks, replace(SPEC, release=release))
        place.slot.wake()
        if is_up:
            child.say(Alive(0, 0, 0))
            await place.slot.ready()
        child.ended.set_result(1)
        child.hang_up()
        await until(lambda: bool(place.ends))
        [end] = place.ends
        both = f", where this peer is cortex 0.0.0 and the one installed now is {own_release()}"
        assert (both in end.error.message) == (release == "0.0.0")
        assert end.error.hint.startswith("restart this peer") == (release == "0.0.0")


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (35, "35")])
async def test_child_that_a_signal_ended_is_told_with_its_name_if_it_has_one(
    child: HandChild, number: int, name: str
):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        child.ended.set_result(-number)
        child.hang_up()
        await until(lambda: bool(place.ends))
        assert place.slot.last_end == f"ended, signal {name}"


async def test_child_that_never_came_up_may_not_return(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.ended.set_result(2)
        child.hang_up()
        with pytest.raises(EngineFailed, match="before it was ready"):
            await place.slot.ready()
        assert ([end.may_return for end in place.ends], place.slot.state) == ([False], "failed")
        assert (place.slot.is_failing, place.slot.num_restarts) == (True, 0)


async def test_a_child_that_does_not_start_fails_until_one_does(child: HandChild):
    broken = HandChild()
    broken.ended.set_result(2)
    broken.hang_up()
    spawns = [broken.spawn, child.spawn]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        slot = ChildSlot(
            SPEC, tasks, lambda _: None, lambda _: None, lambda command: spawns.pop(0)(command)
        )
        with pytest.raises(EngineFailed):
            await slot.ready()
        slot.wake()
        await until(lambda: not spawns)
        assert (slot.state, slot.is_failing) == ("starting", True)
        child.say(Alive(0, 0, 0))
        await slot.ready()
        assert (slot.state, slot.is_failing) == ("up", False)
        child.ended.set_result(0)
        await slot.close()


async def test_a_child_that_was_told_to_end_is_no_restart_and_one_that_ended_is(child: HandChild):
    second = HandChild()
    spawns = [child.spawn, second.spawn]
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        slot = ChildSlot(
            SPEC, tasks, lambda _: None, lambda _: None, lambda command: spawns.pop(0)(command)
        )
        child.say(Alive(0, 0, 0))
        await slot.ready()
        child.ended.set_result(0)
        await slot.renew()
        second.say(Alive(0, 0, 0))
        await slot.ready()
        assert (slot.num_restarts, slot.last_end) == (0, None)
        second.ended.set_result(-9)
        second.hang_up()
        # Before any other has come up, and though none ever might.
        await until(lambda: slot.state == "stopped")
        assert (slot.num_restarts, slot.is_failing) == (1, False)
        await slot.close()


async def test_child_that_was_killed_before_it_was_up_may_return(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.ended.set_result(-9)
        child.hang_up()
        with pytest.raises(EngineFailed, match="memory runs out, before it was ready") as caught:
            await place.slot.ready()
        assert "--memory" in caught.value.hint  # it has said nothing itself
        assert [end.may_return for end in place.ends] == [True]


@pytest.mark.parametrize(("code", "is_of_system"), [(-9, True), (-11, False), (3, False)])
async def test_who_keeps_losing_a_child_to_the_system_is_told_to_use_less_memory(
    child: HandChild, code: int, is_of_system: bool
):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        place = Place(child, tasks)
        child.say(Alive(0, 0, 0))
        await place.slot.ready()
        child.ended.set_result(code)
        child.hang_up()
        await until(lambda: bool(place.ends))
        error = place.ends[0].error
        assert ("memory" in error.message) is ("--memory" in error.hint) is is_of_system
        assert "send the request again" in error.hint  # for the first time
        hint = Losses(2).last_word(place.ends[0]).hint
        assert ("--memory" in hint) is is_of_system
        assert "send the request again" not in hint and "it may be the request" in hint


@pytest.mark.parametrize("moves", [True, False])
async def test_slow_load_lasts_as_long_as_it_moves(child: HandChild, moves: bool):
    errors: list[CortexError] = []

    async def load(engine: EngineSide) -> None:
        try:
            await engine.load(MODEL, Size(8, 1, 100), lambda _: None)
        except CortexError as error:
            errors.append(error)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 2, lambda _: None, child.spawn)
        child.say(Alive(0, 0, 0))
        loading = tasks.create_task(load(engine))
        await until(lambda: engine.slot.last_alive is not None)
        for done in range(1, 6):
            stage = Stage("loading", done, 6, "bytes")
            child.say(*([Progress("job-1", stage)] if moves else []), Alive(0, done, 0))
            await until(lambda done=done: child.is_killed or queued(engine) == done)
            if child.is_killed:
                break
        assert child.is_killed is not moves
        child.kill()
        child.hang_up()
        await loading
        assert ("did nothing for 2 s" in errors[0].message) is not moves


async def test_engine_that_does_nothing_with_a_request_is_called_still(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 120, lambda _: None, child.spawn)
        child.say(Alive(0, 0, 0))
        await engine.slot.ready()
        asked = Attempt("r.0", 1, Mailbox({0: ()}), lambda _: None, lambda: None)
        engine.start([asked], MODEL.id, Raw(msgpack.encode("a prompt")))
        for number in range(1, 6):
            assert not engine.is_still
            child.say(Alive(0, number, 0))
            await until(lambda number=number: queued(engine) == number)
        assert engine.is_still
        engine.cancel("r.0")
        assert not engine.is_still, "it has nothing to do"
        await end(engine, child)


async def test_tokens_of_one_step_are_counted_at_once_and_those_of_each_answer_apart(
    child: HandChild,
):
    made: list[tuple[str, int]] = []

    def asked(name: str) -> Attempt:
        return Attempt(
            name, 1, Mailbox({0: ()}), lambda number: made.append((name, number)), lambda: None
        )

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 120, lambda _: None, child.spawn)
        child.say(Alive(0, 0, 0))
        await engine.slot.ready()
        engine.start([asked(name) for name in "ab"], MODEL.id, Raw(msgpack.encode("a prompt")))
        # As an engine says it: a part for each token, guessed ahead or not.
        tokens = [StepPart(name, 1, (7,), ()) for name in "aba"]
        gone = StepPart("a", 0, (7,), ())
        child.say(Step((*tokens, gone)), Alive(0, 1, 0))
        await until(lambda: queued(engine) == 1)
        assert made == [("a", 2), ("b", 1)]
        await end(engine, child)


async def test_a_load_called_off_before_its_engine_is_up_is_never_begun(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 2, lambda _: None, child.spawn)
        loading = asyncio.create_task(engine.load(MODEL, Size(8, 1, 100), lambda _: None))
        await asyncio.sleep(0)
        engine.cancel_load(MODEL.id)
        child.say(Alive(0, 0, 0))
        with pytest.raises(LoadCancelled):
            await loading
        await end(engine, child)


async def test_a_load_called_off_ends_by_the_engines_word(child: HandChild):
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 2, lambda _: None, child.spawn)
        stages: list[Stage] = []
        child.say(Alive(0, 0, 0))
        loading = asyncio.create_task(engine.load(MODEL, Size(8, 1, 100), stages.append))
        await until(lambda: Stage("loading") in stages)
        engine.cancel_load(MODEL.id)
        engine.cancel_load(MODEL.id)
        engine.cancel_load("another")
        await asyncio.sleep(0)
        assert not loading.done(), "what it took is not given back yet"
        child.say(JobFailed("job-1", to_info(LoadCancelled("cancelled"))))
        with pytest.raises(LoadCancelled):
            await loading
        assert [type(each) for each in child.heard()] == [Load, CancelLoad]
        await end(engine, child)


async def test_what_an_engine_was_to_do_that_has_ended_meanwhile_is_not_asked_of_the_next(
    child: HandChild,
):
    following = HandChild()
    children = iter((child, following))

    def spawn_next(command: Sequence[str]) -> Awaitable[ChildProcess]:
        return next(children).spawn(command)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        engine = EngineSide(SPEC, tasks, 2, lambda _: None, spawn_next)
        child.say(Alive(0, 0, 0))
        await engine.slot.ready()
        child.hang_up()
        await until(lambda: engine.slot.state == "stopped")
        asked = asyncio.gather(
            engine.load(MODEL, Size(8, 1, 100), lambda _: None),
            engine.unload(MODEL.id),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        following.say(Alive(0, 0, 0))
        child.ended.set_result(0)
        await until(lambda: engine.slot.state == "up")
        await until(asked.done)
        assert [type(error) for error in await asked] == [EngineFailed, EngineFailed]
        await end(engine, following)
    following.hang_up()


async def end(engine: EngineSide, child: HandChild) -> None:
    child.ended.set_result(0)
    await engine.slot.close()


def queued(engine: EngineSide) -> int | None:
    """The number in the last heartbeat that was heard."""
    alive = engine.slot.last_alive
    return None if alive is None else alive.queued


@pytest.mark.parametrize("level", ["WARNING", "INFO"])
async def test_a_child_is_told_to_log_no_more_than_its_peer_shows(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.getLevelNamesMapping()[level])
    program = f"import sys; sys.exit(sys.argv[-2:] != ['--log-level', '{level}'])"
    child = await spawn((sys.executable, "-c", program))
    try:
        assert await child.process.wait() == 0
    finally:
        child.link.close()
