"""Jobs: shared while they last, followed to their end, cancelled, and forgotten in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from cortex.engine.errors import InsufficientVram, Overloaded
from cortex.peer.errors import JobNotFound
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.jobs import Jobs, Progress, home_of
from cortex.peer.orders.values import DrainOrder, Job, LoadOrder, Order, Placed

NODE = NodeId(b"the-host")
LOAD = LoadOrder(ModelId(b"weights."))
PLACED = Placed(0, 4096, 8, 1 << 30)
Tell = Callable[[Progress], None]


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Work:
    """Goes on until the test says how it ends."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Placed | None] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()
        self.tell: Tell = lambda _: None

    async def __call__(self, tell: Tell) -> Placed | None:
        self.tell = tell
        self.begun.set()
        return await self.outcome


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def jobs(clock: Clock) -> AsyncGenerator[Jobs]:
    async with asyncio.timeout(30), Jobs(lambda: NODE, clock) as jobs:
        yield jobs


async def last(jobs: Jobs, job: Job) -> Job:
    async for now in jobs.follow(job.id):
        job = now
    return job


def begin(jobs: Jobs, work: Callable[[Tell], Awaitable[Placed | None]], order: Order = LOAD) -> Job:
    return jobs.begin("load", order, "qwen", work)


async def test_a_job_is_followed_from_its_beginning_to_its_outcome(jobs: Jobs, clock: Clock):
    work = Work()
    job = begin(jobs, work)
    assert (job.state, job.kind, job.model, job.node) == ("queued", "load", "qwen", NODE)
    following = jobs.follow(job.id)
    assert (await anext(following)).state == "queued"
    await work.begun.wait()
    work.tell(Progress("loading", 0, 4_000, "bytes"))
    clock.now_s += 2
    work.tell(Progress("loading", 1_000, 4_000, "bytes"))
    told = await anext(following)
    assert (told.state, told.stage, told.done, told.total) == ("running", "loading", 1_000, 4_000)
    assert (told.rate_per_s, told.eta_s, told.seconds) == (500.0, 6.0, 2.0)
    work.outcome.set_result(PLACED)
    ended = [job async for job in following][-1]
    assert (ended.state, ended.placed, ended.eta_s) == ("done", PLACED, None)


async def test_what_a_load_says_of_its_end_goes_before_what_its_rate_says(jobs: Jobs, clock: Clock):
    work = Work()
    job = begin(jobs, work)
    await work.begun.wait()
    work.tell(Progress("loading", 0, 4_000, "bytes"))
    clock.now_s += 2
    work.tell(Progress("loading", 1_000, 4_000, "bytes", eta_s=9.0))
    assert jobs.get(job.id).eta_s == 9.0


async def test_a_wait_in_a_queue_is_no_work_yet(jobs: Jobs):
    work = Work()
    job = begin(jobs, work)
    await work.begun.wait()
    work.tell(Progress("queued", 2, 3, "place"))
    assert jobs.get(job.id).state == "queued"


async def test_the_same_order_given_twice_is_one_job_until_it_has_ended(jobs: Jobs):
    work = Work()
    first = begin(jobs, work)
    assert begin(jobs, Work()).id == first.id
    assert begin(jobs, Work(), LoadOrder(ModelId(b"weights."), 8192)).id != first.id
    work.outcome.set_result(PLACED)
    await last(jobs, first)
    assert begin(jobs, Work()).id != first.id


async def test_a_failed_job_keeps_its_reason(jobs: Jobs):
    work = Work()
    job = begin(jobs, work)
    work.outcome.set_exception(InsufficientVram("needs 3 GiB", "unload qwen"))
    ended = await last(jobs, job)
    assert ended.state == "failed" and ended.error is not None
    assert (ended.error.code, ended.error.hint) == ("insufficient_vram", "unload qwen")


async def test_a_bug_in_a_job_is_told_without_its_words(jobs: Jobs):
    work = Work()
    job = begin(jobs, work)
    work.outcome.set_exception(RuntimeError("the client said so"))
    ended = await last(jobs, job)
    assert ended.error is not None and ended.error.code == "internal_error"
    assert "client" not in ended.error.message


async def test_a_cancelled_job_stops_working_and_stays_cancelled(jobs: Jobs):
    work = Work()
    job = begin(jobs, work)
    await work.begun.wait()
    assert jobs.cancel(job.id).state == "cancelled"
    assert (await last(jobs, job)).state == "cancelled"
    assert work.outcome.cancelled()
    assert jobs.cancel(job.id).state == "cancelled"


async def test_what_was_cancelled_and_is_ordered_again_begins_when_the_old_one_has_let_go(
    jobs: Jobs,
):
    old, new, let_go = Work(), Work(), asyncio.Event()

    async def work_that_lets_go_late(tell: Tell) -> Placed | None:
        try:
            return await old(tell)
        finally:
            await let_go.wait()

    first = begin(jobs, work_that_lets_go_late)
    await old.begun.wait()
    jobs.cancel(first.id)
    second = begin(jobs, new)
    for _ in range(5):
        await asyncio.sleep(0)
    assert old.outcome.cancelled() and not new.begun.is_set()
    assert second.id != first.id and jobs.get(second.id).state == "queued"
    let_go.set()
    await new.begun.wait()


async def test_a_job_that_has_ended_is_not_cancelled_any_more(jobs: Jobs):
    work = Work()
    job = begin(jobs, work)
    work.outcome.set_result(None)
    await last(jobs, job)
    assert jobs.cancel(job.id).state == "done"


async def test_what_ended_ten_minutes_ago_is_forgotten(jobs: Jobs, clock: Clock):
    work = Work()
    job = begin(jobs, work)
    work.outcome.set_result(None)
    await last(jobs, job)
    clock.now_s += 599
    assert [one.id for one in jobs.all()] == [job.id]
    clock.now_s += 2
    assert jobs.all() == ()
    with pytest.raises(JobNotFound, match=job.id):
        jobs.get(job.id)


async def test_the_newest_64_of_those_that_ended_are_kept(jobs: Jobs):
    ids: list[str] = []
    for number in range(70):
        work = Work()
        job = begin(jobs, work, LoadOrder(ModelId(b"weights."), number))
        work.outcome.set_result(None)
        ids.append((await last(jobs, job)).id)
    assert [job.id for job in jobs.all()] == ids[-64:]


async def test_a_long_job_is_known_when_it_ends_however_many_younger_ones_ended_before(
    jobs: Jobs, clock: Clock
):
    long = Work()
    job = begin(jobs, long)
    for number in range(70):
        work = Work()
        work.outcome.set_result(None)
        await last(jobs, begin(jobs, work, LoadOrder(ModelId(b"weights."), number)))
    clock.now_s += 1
    long.outcome.set_result(PLACED)
    assert (await last(jobs, job)).state == "done"
    assert jobs.get(job.id).placed == PLACED


async def test_more_than_64_jobs_at_a_time_are_refused(jobs: Jobs):
    for number in range(64):
        begin(jobs, Work(), LoadOrder(ModelId(b"weights."), number))
    with pytest.raises(Overloaded, match="64 jobs"):
        begin(jobs, Work(), DrainOrder())


async def test_jobs_end_with_their_peer(clock: Clock):
    async with Jobs(lambda: NODE, clock) as jobs:
        work = Work()
        job = begin(jobs, work)
        await work.begun.wait()
    assert work.outcome.cancelled()
    assert jobs.get(job.id).state == "cancelled"


async def test_an_id_says_which_peer_has_the_job(jobs: Jobs):
    assert home_of(begin(jobs, Work()).id) == NODE


@pytest.mark.parametrize("text", ["", "job_", "job_zz_1", "job_aabb_1", "req_" + NODE.hex() + "_1"])
def test_what_is_no_job_id_has_no_home(text: str):
    assert home_of(text) is None
