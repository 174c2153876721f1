"""Orders as this peer carries them out, whichever peer they were given to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable

from cortex.engine.stream import Stage

from ..devices.steering import NodeSteering
from ..errors import RequestNotFound
from ..jobs import Jobs, Progress
from ..node import Node
from ..observing.live import LiveRequest
from ..placement.plan import LoadWish, Plan, Planned
from ..pulling.pull import check_pull, pull
from ..pulling.room import Room
from .anywhere import Anywhere
from .facts import Describe, ReadLog, WatchHappenings
from .plans import plan_report
from .teller import Teller
from .values import (
    Brief,
    CancelJob,
    CancelRequest,
    Done,
    DrainOrder,
    Job,
    JobList,
    ListJobs,
    ListRequests,
    LoadOrder,
    Order,
    PinOrder,
    Placed,
    PlanOrder,
    PullOrder,
    Report,
    RequestList,
    RequestReport,
    UndrainOrder,
    UnloadOrder,
    WatchJob,
)


class OrderDesk:
    """`steering` is the node's own, and so is the `teller`."""

    def __init__(self, node: Node, steering: NodeSteering, jobs: Jobs, teller: Teller) -> None:
        self._node = node
        self._steering = steering
        self._jobs = jobs
        self._teller = teller
        self._pull_room = Room()

    def has_job(self, job_id: str) -> bool:
        return self._jobs.has(job_id)

    async def plan(self, wish: LoadWish) -> Planned:
        """What a load would do here. Raises what is wrong with the model's files."""
        await self._node.learn(wish.model)
        await self._node.freshen()
        return self._steering.plan(wish)

    def load_anywhere(self, wish: Anywhere) -> AsyncGenerator[Job]:
        """As an order to load is carried out, by whichever peer can."""

        def work(tell: Callable[[Progress], None]) -> Awaitable[Placed]:
            return wish.load(self._load_ordered, tell)

        key = ("anywhere", wish.order)
        first = wish.hosts[0].node
        before = {job.id for job in self._jobs.all()}
        job = self._jobs.begin("load", key, wish.model_id, work, first)
        is_here = any(host.is_self and host.node == job.host for host in wish.hosts)
        if job.id in before and is_here:
            self._steering.keep(_wish(wish.order))
        return self._jobs.follow(job.id)

    def carry_out(self, order: Order) -> AsyncGenerator[Report]:
        """What it comes to, the first of it at once. Who stops reading stops nothing.

        Raises CortexErrors for what cannot be begun; how a job ends is in its last report.
        """
        match order:
            case LoadOrder() | UnloadOrder() | PullOrder() | DrainOrder():
                return self._jobs.follow(self._begin(order).id)
            case WatchJob(is_followed=True):
                return self._jobs.follow(order.job_id)
            case WatchHappenings():
                return self._teller.happenings(order)
            case PlanOrder():
                return self._planned(order)
            case _:
                return self._said(order)

    async def _planned(self, order: PlanOrder) -> AsyncGenerator[Report]:
        yield Done()  # a first word: the plan may take a while
        wish = LoadWish(order.model, None, order.context_tokens, order.num_slots)
        yield plan_report(await self.plan(wish))

    def _begin(self, order: LoadOrder | UnloadOrder | PullOrder | DrainOrder) -> Job:
        match order:
            case LoadOrder():
                work = functools.partial(self._load, order)
                self._steering.keep(_wish(order))
                return self._jobs.begin("load", order, self._id_of(order), work)
            case UnloadOrder():
                work = functools.partial(self._unload, order)
                return self._jobs.begin("unload", order, order.model_id, work)
            case PullOrder():
                # Before there is a job: logs and lists would repeat whatever came as a name.
                check_pull(order.repository, order.revision)
                work = functools.partial(self._pull, order)
                return self._jobs.begin("pull", order, order.repository, work)
            case DrainOrder():
                job = self._jobs.begin("drain", order, "", self._drain)
                self._node.begin_drain()
                return job

    async def _said(self, order: Brief) -> AsyncGenerator[Report]:
        yield await self._answer(order)

    async def _answer(self, order: Brief) -> Report:
        match order:
            case PinOrder():
                self._steering.pin(order.model_id, is_pinned=order.is_pinned)
                return Done()
            case UndrainOrder():
                self._node.end_drain()
                for job in self._jobs.all():
                    if job.kind == "drain":
                        self._jobs.cancel(job.id)
                return Done()
            case ListRequests():
                now_s = asyncio.get_running_loop().time()
                return RequestList(tuple(_report(live, now_s) for live in self._node.live))
            case CancelRequest():
                return self._cancel(order.request_id)
            case ListJobs():
                return JobList(self._jobs.all())
            case WatchJob():
                return self._jobs.get(order.job_id)
            case CancelJob():
                return self._cancel_job(order.job_id)
            case Describe():
                return await self._teller.facts()
            case ReadLog():
                return self._teller.log(order)

    def _id_of(self, order: LoadOrder) -> str:
        return next((m.id for m in self._node.stored if m.weights == order.model), "")

    def _cancel_job(self, job_id: str) -> Job:
        """Its drain ends with it: the job itself only waits for that."""
        job = self._jobs.get(job_id)
        if job.kind == "drain" and not job.is_over:
            self._node.end_drain()
        return self._jobs.cancel(job_id)

    def _cancel(self, request_id: str) -> Done:
        """It has been told; it ends a moment later."""
        live = self._node.live.get(request_id)
        if live is None:
            raise RequestNotFound(
                f"no request '{request_id[:80]}' is under way",
                "cortex ps, or GET /requests, lists those that are",
            )
        live.cancel()
        return Done()

    async def _load(self, order: LoadOrder, tell: Callable[[Progress], None]) -> Placed:
        load = self._steering.load(_wish(order), lambda stage: tell(_progress(stage)))
        return _placed(await load)

    async def _load_ordered(self, order: LoadOrder, tell: Callable[[Progress], None]) -> Placed:
        """Of the fleet, and this peer's turn has come."""
        self._steering.keep(_wish(order))
        return await self._load(order, tell)

    async def _unload(self, order: UnloadOrder, tell: Callable[[Progress], None]) -> None:
        tell(Progress("unloading"))
        await self._steering.unload(order.model_id, is_forced=order.is_forced)

    async def _pull(self, order: PullOrder, tell: Callable[[Progress], None]) -> None:
        await pull(self._node.config, order.repository, order.revision, tell, self._pull_room)
        await self._node.take_stock()

    async def _drain(self, tell: Callable[[Progress], None]) -> None:
        """Until all that is under way now has ended, what is passed on to other peers too. What is
        passed on later is not waited for: it may never end to come.
        """
        live, ended = self._node.live, asyncio.Event()
        before = left = set(live)
        end_watch = live.watch(ended.set)
        try:
            while True:
                num_ended = len(before) - len(left)
                tell(Progress("draining", num_ended, len(before), "requests"))
                if not left:
                    break
                ended.clear()
                await ended.wait()
                left = before & set(live)
        finally:
            end_watch()
        await self._node.idle()


def _wish(order: LoadOrder) -> LoadWish:
    extent = order.context_tokens, order.num_slots
    return LoadWish(order.model, None, *extent, is_forced=order.is_forced)


def _progress(stage: Stage) -> Progress:
    return Progress(stage.name, stage.done, stage.total, stage.unit, stage.eta_s)


def _placed(plan: Plan) -> Placed:
    size = plan.size
    return Placed(
        plan.device,
        size.context_tokens,
        size.num_slots,
        size.num_bytes,
        tuple(victim.id for victim in plan.victims),
        plan.is_there,
    )


def _report(live: LiveRequest, now_s: float) -> RequestReport:
    stage = live.stage or Stage("preparing")
    return RequestReport(
        id=live.id,
        model=live.model_id,
        dialect=live.dialect,
        key=live.key_name,
        host=live.host,
        stage=_stage_word(live),
        done=stage.done,
        total=stage.total,
        unit=stage.unit,
        prompt_tokens=live.prompt_tokens,
        completion_tokens=live.completion_tokens,
        seconds=round(now_s - live.began_s, 3),
        first_token_s=live.first_token_s,
        start=live.start,
        queue_s=live.queue_s,
        evicted=live.evicted,
        num_failovers=live.num_failovers,
        cached_tokens=live.known_cached_tokens,
    )


def _stage_word(live: LiveRequest) -> str:
    if live.stage is not None:
        return live.stage.name
    return "reading" if live.first_token_s is None else "decode"
