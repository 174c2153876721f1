"""The peer's side of one engine process: loads, and answers on their way.

It turns the engine's messages into futures of jobs and into mailboxes of attempts, and ends a
process whose device does nothing any more. Which model should be loaded when, and what becomes of
a dead engine's requests, is decided in `residency.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from cortex.engine.costs import ModelCosts
from cortex.engine.errors import CortexError, EngineFailed, LoadCancelled
from cortex.engine.memory import describe
from cortex.engine.messages import (
    Alive,
    Cancel,
    CancelLoad,
    Estimate,
    Estimated,
    Generate,
    GenerateFailed,
    JobFailed,
    Load,
    Loaded,
    Message,
    Pooled,
    Progress,
    Step,
    StepPart,
    Unload,
    Unloaded,
    Waiting,
    Wanted,
)
from cortex.engine.stream import Finished, Piece, Stage, Usage, Vector

from ..errors import from_info
from ..placement.books import Size
from ..types import ModelInfo
from .mailbox import Mailbox
from .process import Spawn
from .slot import ChildEnd, ChildSlot, ChildSpec
from .stall import StallWatch

# What the jobs of an engine come to.
_Done = Estimated | Loaded | Unloaded
# One that is starting, or on its way out, is "away" as one that is not there.
EngineUse = Literal["away", "idle", "busy"]


@dataclass(slots=True)
class _Job:
    outcome: asyncio.Future[_Done | CortexError]
    on_stage: Callable[[Stage], None]


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one choice of a request. `on_end` is called once, when the engine is done with it,
    and `on_tokens` with the number of tokens whenever some were made: once for all of a step.

    The engine knows each choice as a request of its own. Where the engine ends first, `on_end` is
    not called: then it is not the choice that has ended.
    """

    request_id: str
    epoch: int
    mailbox: Mailbox
    on_tokens: Callable[[int], None]
    on_end: Callable[[], None]
    choice: int = 0
    priority: int = 0


class EngineSide:
    """`on_death` is told when everything in flight has been forgotten here."""

    def __init__(
        self,
        spec: ChildSpec,
        tasks: asyncio.TaskGroup,
        step_deadline_s: float,
        on_death: Callable[[ChildEnd], None],
        spawn: Spawn,
    ) -> None:
        self.slot = ChildSlot(spec, tasks, self._hear, self._lose_all, spawn)
        self._stall = StallWatch(step_deadline_s)
        self._step_deadline_s = step_deadline_s
        self._on_death = on_death
        self._jobs: dict[str, _Job] = {}
        # By model, the jobs of loads that nobody has called off.
        self._loads: dict[str, str] = {}
        self._attempts: dict[str, Attempt] = {}
        self._job_numbers = itertools.count(1)
        self._num_deaths = 0
        self._may_return = True

    @property
    def is_still(self) -> bool:
        """Whether it has had requests for some seconds and done nothing, with no load under way."""
        return bool(self._attempts) and not self._jobs and self._stall.is_still

    @property
    def use(self) -> EngineUse:
        if self.slot.state != "up":
            return "away"
        return "busy" if self._jobs or self._attempts else "idle"

    async def rest(self) -> bool:
        """End the process where it is idle, until it is needed again; whether it was."""
        if self.use != "idle":
            return False
        await self.slot.rest()
        return True

    async def estimate(self, model: ModelInfo, max_replays: int) -> ModelCosts:
        """What it would take on this device, by the engine's word.

        Raises the engine's error, or EngineFailed where the process dies more often than that.
        """
        for _ in range(max_replays):
            try:
                return await self._estimate(model)
            except EngineFailed:
                if not self._may_return:
                    raise
        return await self._estimate(model)

    async def _estimate(self, model: ModelInfo) -> ModelCosts:
        await self.slot.ready()
        job_id = self._new_job_id()
        message = Estimate(job_id, str(model.dir), model.wishes)
        estimated = await self._run_job(job_id, message, lambda _: None)
        assert isinstance(estimated, Estimated), "an estimate is answered by costs"
        return estimated.costs

    async def load(
        self,
        model: ModelInfo,
        size: Size,
        on_stage: Callable[[Stage], None],
        learned: tuple[int, int] = (0, 0),
    ) -> Loaded:
        """Make a model ready, in that size; returns when it is.

        `learned` is by how much earlier loads were larger than estimated, and how many they were.
        Raises the engine's error, LoadCancelled after `cancel_load`, or EngineFailed where the
        process dies.
        """
        job_id = self._loads[model.id] = self._new_job_id()
        if self.slot.state != "up":
            on_stage(Stage("starting"))
        await self._same_ready()
        if self._loads.get(model.id) != job_id:
            raise LoadCancelled(f"the load of {model.id} was cancelled", "order it again")
        on_stage(Stage("loading"))
        message = Load(
            job_id,
            model.id,
            str(model.dir),
            memory_bytes=size.num_bytes,
            context_tokens=size.context_tokens,
            max_sequences=size.num_slots or None,
            learned=learned,
            wishes=model.wishes,
        )
        loaded = await self._run_job(job_id, message, on_stage)
        assert isinstance(loaded, Loaded), "a load is answered by its model"
        return loaded

    def cancel_load(self, model_id: str) -> None:
        """Its `load` ends soon, one way or the other; nothing where there is none."""
        job_id = self._loads.pop(model_id, "")
        if job_id in self._jobs:
            self.slot.post(CancelLoad(job_id))

    async def unload(self, model_id: str) -> None:
        await self._same_ready()
        job_id = self._new_job_id()
        await self._run_job(job_id, Unload(job_id, model_id), lambda _: None)

    async def _same_ready(self) -> None:
        """`ready`, for what was decided of the engine that is there or will be next.

        Raises EngineFailed where that ended meanwhile: then nobody wants this of the one after it.
        """
        num_deaths = self._num_deaths
        await self.slot.ready()
        if self._num_deaths != num_deaths:
            raise EngineFailed("the engine process ended before it was told", "order it again")

    def start(self, attempts: Sequence[Attempt], model_id: str, prompt: msgspec.Raw) -> None:
        """Let the engine begin, or go on with, these answers to one prompt; what it makes arrives
        in the mailbox of each.
        """
        self._attempts.update({attempt.request_id: attempt for attempt in attempts})
        self.slot.post(Generate(model_id, tuple(map(_wanted, attempts)), prompt))

    def cancel(self, request_id: str) -> None:
        """Stop working for a request, if the engine still is."""
        attempt = self._attempts.get(request_id)
        if attempt is not None:
            self.slot.post(Cancel(request_id, attempt.epoch))
            self._end(attempt)

    def _new_job_id(self) -> str:
        return f"job-{next(self._job_numbers)}"

    async def _run_job(
        self, job_id: str, message: Estimate | Load | Unload, on_stage: Callable[[Stage], None]
    ) -> _Done:
        job = _Job(asyncio.get_running_loop().create_future(), on_stage)
        self._jobs[job_id] = job
        self.slot.post(message)
        try:
            outcome = await job.outcome
        finally:
            del self._jobs[job_id]
        if isinstance(outcome, CortexError):
            raise outcome
        return outcome

    def _hear(self, message: Message) -> None:
        match message:
            case Alive():
                self._watch(message)
            case Step():
                self._count(message)
                for part in message.parts:
                    self._hear_part(part)
            case Waiting():
                attempt = self._attempt_of(message.request_id, message.epoch)
                if attempt is not None:
                    attempt.mailbox.put_stage(message.stage)
            case Pooled():
                self._end_of(message, Vector(message.vector, message.prompt_tokens))
            case GenerateFailed():
                self._end_of(message, from_info(message.error))
            case Progress():
                if not self._attempts:  # else it is steps that must be made, beside any load
                    self._stall.moved()
                if message.job_id in self._jobs:
                    self._jobs[message.job_id].on_stage(message.stage)
            case Loaded():
                logger.info(
                    "%s: %s; memory\n%s",
                    *(message.model_id, message.computes_in, describe(message.memory)),
                )
                self._settle(message.job_id, message)
            case Unloaded() | Estimated():
                self._settle(message.job_id, message)
            case JobFailed():
                self._settle(message.job_id, from_info(message.error))
            case _:
                pass

    def _watch(self, alive: Alive) -> None:
        has_work = bool(self._attempts or self._jobs)
        if self._stall.beat(alive.step_count, has_work=has_work):
            self.slot.condemn(f"did nothing for {self._step_deadline_s:g} s, with work to do")

    def _count(self, step: Step) -> None:
        """Each token has a part of its own; those that were guessed ahead were made in one step."""
        num_made: Counter[tuple[str, int]] = Counter()
        for part in step.parts:
            num_made[part.request_id, part.epoch] += len(part.token_ids)
        for key, num_tokens in num_made.items():
            attempt = self._attempt_of(*key)
            if attempt is not None and num_tokens:
                attempt.on_tokens(num_tokens)

    def _hear_part(self, part: StepPart) -> None:
        attempt = self._attempt_of(part.request_id, part.epoch)
        if attempt is None:
            return
        if part.deltas or part.token_ids or part.logprobs:
            is_last = part.finish is not None
            piece = Piece(part.deltas, part.token_ids, part.logprobs, attempt.choice, is_last)
            attempt.mailbox.put_piece(piece)
        if part.finish is not None:
            usage = part.usage or Usage(0, 0)
            ending = Finished(part.finish, usage, attempt.choice, part.stop_text)
            attempt.mailbox.end(ending)
            self._end(attempt)

    def _attempt_of(self, request_id: str, epoch: int) -> Attempt | None:
        """The attempt that a message speaks of; None where it has been abandoned."""
        attempt = self._attempts.get(request_id)
        return attempt if attempt is not None and attempt.epoch == epoch else None

    def _end_of(self, message: Pooled | GenerateFailed, ending: Vector | CortexError) -> None:
        attempt = self._attempt_of(message.request_id, message.epoch)
        if attempt is not None:
            attempt.mailbox.end(ending)
            self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        del self._attempts[attempt.request_id]
        attempt.on_end()

    def _settle(self, job_id: str, outcome: _Done | CortexError) -> None:
        job = self._jobs.get(job_id)
        if job is not None and not job.outcome.done():
            self._stall.moved()
            job.outcome.set_result(outcome)

    def _lose_all(self, end: ChildEnd) -> None:
        self._may_return = end.may_return
        self._num_deaths += 1
        self._attempts.clear()
        for job_id in self._jobs:
            self._settle(job_id, end.error)
        self._stall = StallWatch(self._step_deadline_s)
        self._on_death(end)


def _wanted(attempt: Attempt) -> Wanted:
    given = attempt.mailbox.token_ids(attempt.choice)
    return Wanted(attempt.request_id, attempt.epoch, given, attempt.choice, attempt.priority)
