"""Many at once, or one alone."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.children.shared_lock import SharedLock


class Guest:
    """Enters when started, and stays until told."""

    def __init__(self, lock: SharedLock, tasks: asyncio.TaskGroup, *, alone: bool = False) -> None:
        self.is_alone = alone
        self.is_inside = False
        self.leave = asyncio.Event()
        self.task = tasks.create_task(self._visit(lock))

    async def _visit(self, lock: SharedLock) -> None:
        with lock.held(alone=self.is_alone) as admitted:
            await admitted
            self.is_inside = True
            try:
                await self.leave.wait()
            finally:
                self.is_inside = False


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_who_would_be_alone_waits_for_the_others_and_is_not_overtaken():
    lock = SharedLock()
    async with asyncio.TaskGroup() as tasks:
        first, second = Guest(lock, tasks), Guest(lock, tasks)
        loner, late = Guest(lock, tasks, alone=True), Guest(lock, tasks)
        await settle()
        assert [g.is_inside for g in (first, second, loner, late)] == [True, True, False, False]
        first.leave.set()
        second.leave.set()
        await settle()
        assert (loner.is_inside, late.is_inside) == (True, False)
        loner.leave.set()
        late.leave.set()


async def test_one_who_gives_up_waiting_holds_nobody_up():
    lock = SharedLock()
    async with asyncio.TaskGroup() as tasks:
        first = Guest(lock, tasks)
        loner, late = Guest(lock, tasks, alone=True), Guest(lock, tasks)
        await settle()
        loner.task.cancel()
        await settle()
        assert (first.is_inside, late.is_inside) == (True, True)
        first.leave.set()
        late.leave.set()


@given(st.lists(st.tuples(st.sampled_from(["enter", "alone", "leave", "cancel"]), st.integers(0))))
def test_nobody_is_ever_beside_one_who_is_alone_and_all_get_in(steps: list[tuple[str, int]]):
    async def play() -> None:
        lock, guests = SharedLock(), list[Guest]()
        async with asyncio.TaskGroup() as tasks:
            for what, number in steps:
                if what in ("enter", "alone"):
                    guests.append(Guest(lock, tasks, alone=what == "alone"))
                elif guests:
                    guest = guests[number % len(guests)]
                    _ = guest.leave.set() if what == "leave" else guest.task.cancel()
                await settle()
                inside = [guest for guest in guests if guest.is_inside]
                assert len(inside) <= 1 or not any(guest.is_alone for guest in inside)
            for guest in guests:
                guest.leave.set()
            for _ in guests:
                await settle()
            assert all(guest.task.done() for guest in guests), "somebody never got in"

    asyncio.run(play())
