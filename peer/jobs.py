"""What takes a while and was ordered: how far each job is, how it ended, and how to end it.

A job belongs to nobody: whoever ordered it may leave, and it goes on until it ends or is cancelled.
The same order given twice at a time is one job. What a job does comes in as a function. Everything
happens on one event loop; the clock comes in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Self

from msgspec.structs import replace

from cortex.engine.errors import CortexError, Overloaded
from cortex.engine.errors import to_info as to_any_info

from .errors import JobNotFound, to_info
from .gossip.ids import ID_BYTES, NodeId
from .orders.values import Job, JobKind, Placed

logger = logging.getLogger(__name__)

_MAX_KEPT = 64
_KEPT_S = 600.0
_MAX_UNDER_WAY = 64
# Whoever follows a job hears of it so often at least, and no oftener.
_BEAT_S = 1.0
_REST_S = 0.1
# A rate over a moment is noise.
_RATE_FROM_S = 0.5
_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in its present stage; `host` is the peer where it is done."""

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    eta_s: float | None = None
    host: NodeId | None = None


Work = Callable[[Callable[[Progress], None]], Awaitable[Placed | None]]


@dataclass(slots=True, eq=False)
class _Entry:
    """`job` without what time alone changes. `changed` is set once and replaced at each change."""

    job: Job
    order: object
    began_s: float
    task: asyncio.Task[None] | None = None
    ended_s: float | None = None
    stage_began: tuple[str, float, int] = ("", 0.0, 0)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def become(self, job: Job) -> None:
        self.job = job
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Jobs:
    """Use as `async with Jobs(node_now) as jobs`: what is under way at its end is cancelled.

    `node_now` tells this peer's id, which another with the same one makes it change.
    """

    def __init__(
        self, node_now: Callable[[], NodeId], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._node_now = node_now
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [entry.task for entry in self._under_way() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(
        self, kind: JobKind, order: object, model: str, work: Work, host: NodeId | None = None
    ) -> Job:
        """Do this, unless the same is being done, by an equal `order`: then that is the job. One
        that was cancelled may still hold what it used: this begins when it has let go.

        Raises Overloaded where too much is under way.
        """
        self._forget()
        same = next((entry for entry in self._under_way() if entry.order == order), None)
        if same is not None:
            return self._now(same)
        if sum(1 for _ in self._under_way()) >= _MAX_UNDER_WAY:
            raise Overloaded(
                f"{_MAX_UNDER_WAY} jobs are under way, which is the most this peer takes",
                "wait for one of them, or cancel it: DELETE /jobs/{id}",
            )
        node = self._node_now()
        job = Job(_new_id(node), node, kind, "queued", model, host=host)
        before = [one.task for one in self._entries.values() if one.order == order and one.task]
        entry = self._entries[job.id] = _Entry(job, order, self._clock())
        entry.task = asyncio.create_task(self._run(entry, work, before), name=job.id)
        return self._now(entry)

    def all(self) -> tuple[Job, ...]:
        """The oldest first."""
        self._forget()
        return tuple(map(self._now, self._entries.values()))

    def has(self, job_id: str) -> bool:
        self._forget()
        return job_id in self._entries

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        return self._now(self._entry(job_id))

    async def follow(self, job_id: str) -> AsyncGenerator[Job]:
        """The job as it is, and whenever something has changed, until it is over; a slow reader
        misses steps and never the last.

        Raises JobNotFound.
        """
        entry = self._entry(job_id)
        while True:
            changed = entry.changed
            job = self._now(entry)
            yield job
            if job.is_over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_S):
                    await changed.wait()
                    if not entry.job.is_over:
                        await asyncio.sleep(_REST_S)

    def cancel(self, job_id: str) -> Job:
        """End it; one that has ended stays as it is. Raises JobNotFound."""
        entry = self._entry(job_id)
        if entry.task is not None and not entry.job.is_over:
            entry.task.cancel()
            self._end(entry, replace(entry.job, state="cancelled"))
        return self._now(entry)

    async def _run(self, entry: _Entry, work: Work, before: list[asyncio.Task[None]]) -> None:
        try:
            if before:
                await asyncio.wait(before)
            placed = await work(lambda progress: self._tell(entry, progress))
            self._end(entry, replace(entry.job, state="done", placed=placed))
        except CortexError as error:
            self._end(entry, replace(entry.job, state="failed", error=to_info(error)))
        except asyncio.CancelledError:
            self._end(entry, replace(entry.job, state="cancelled"))
            raise
        except Exception as error:
            # A bug of ours, over one job. The error's text may hold anything.
            where = "".join(traceback.format_tb(error.__traceback__))
            logger.error("job failed id=%s error=%s\n%s", entry.job.id, type(error).__name__, where)
            self._end(entry, replace(entry.job, state="failed", error=to_any_info(error)))

    def _tell(self, entry: _Entry, told: Progress) -> None:
        if entry.job.is_over:
            return
        if entry.stage_began[0] != told.stage:
            entry.stage_began = (told.stage, self._clock(), told.done)
        entry.become(
            replace(
                entry.job,
                state="queued" if told.stage == "queued" else "running",
                stage=told.stage,
                done=told.done,
                total=told.total,
                unit=told.unit,
                eta_s=told.eta_s,
                host=told.host or entry.job.host,
            )
        )

    def _end(self, entry: _Entry, job: Job) -> None:
        if entry.job.is_over:
            return
        entry.ended_s = self._clock()
        entry.become(replace(job, eta_s=None))
        logger.info(
            "job ended id=%s kind=%s model=%s state=%s", job.id, job.kind, job.model, job.state
        )

    def _now(self, entry: _Entry) -> Job:
        """With what time has made of it."""
        now_s = self._clock() if entry.ended_s is None else entry.ended_s
        job = replace(entry.job, seconds=round(now_s - entry.began_s, 3))
        if job.is_over:
            return job
        _, began_s, done_then = entry.stage_began
        if not job.total or now_s - began_s < _RATE_FROM_S:
            return job
        rate_per_s = (job.done - done_then) / (now_s - began_s)
        eta_s = job.eta_s
        if eta_s is None and rate_per_s > 0:
            eta_s = max(job.total - job.done, 0) / rate_per_s
        return replace(job, rate_per_s=rate_per_s, eta_s=eta_s)

    def _entry(self, job_id: str) -> _Entry:
        self._forget()
        entry = self._entries.get(job_id)
        if entry is None:
            raise JobNotFound(
                f"no job '{job_id[:80]}' is known",
                "GET /jobs lists those of the last ten minutes",
            )
        return entry

    def _under_way(self) -> Iterator[_Entry]:
        return (entry for entry in self._entries.values() if not entry.job.is_over)

    def _forget(self) -> None:
        """Let go of what ended long ago, and of what ended first where there is too much."""
        now_s = self._clock()
        entries = self._entries.items()
        ended = [(one.ended_s, job_id) for job_id, one in entries if one.ended_s is not None]
        ended.sort(key=itemgetter(0))
        for place, (ended_s, job_id) in enumerate(reversed(ended)):
            if place >= _MAX_KEPT or now_s - ended_s > _KEPT_S:
                del self._entries[job_id]


def _new_id(node: NodeId) -> str:
    """A job's id says which peer has it: any peer finds it by that."""
    return f"job_{node.hex()}_{secrets.token_hex(_ID_BYTES)}"


def home_of(job_id: str) -> NodeId | None:
    """Which peer has the job; None for what is no id of ours."""
    word, _, rest = job_id.partition("_")
    try:
        node = bytes.fromhex(rest.partition("_")[0])
    except ValueError:
        return None
    return NodeId(node) if word == "job" and len(node) == ID_BYTES else None
