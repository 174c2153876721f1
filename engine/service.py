"""One loaded model being served: the scheduler decides, the runner computes, tokens come out.

Everything here happens on the device thread. A step gives way where memory ended, admits who fits,
computes a plan and draws the next tokens; what came of it is handed back as events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import torch

from .decoding.steps import DecodeSteps
from .draws import Rows, coming_for, drawable, row_of
from .errors import CortexError, EngineFailed
from .events import DeviceEvent
from .grammars.guide import Forced, Over
from .intake import Intake, check_in_table
from .lookahead import Lookahead
from .messages import ModelStatus, Pooled, Waiting, Wanted
from .pooling import PooledStates, float32_bytes
from .prompt_scores import score_chunk
from .recall import Recall
from .runner import Runner
from .sampler import Chosen, DrawUsual, choose_tokens
from .sampling.adjusting import TokenCounts, needs_counts
from .scheduler import Chunk, Scheduler
from .sequence import Sequence
from .speculation.speculator import Speculator
from .speculation.verification import Verification
from .status import ModelCounts, with_usage
from .stream import Stage
from .telling import Telling
from .types import Prompt

# Who decodes waits for copies of so many tokens in one step, or for one sequence's: a long
# conversation's take a second.
RESTORED_TOKENS = 8192
# Who waits while known tokens are fed one by one is told so after so many.
_TOLD_TOKENS = 64


class ModelService:
    """`add` and `cancel` requests at any time; `step` as long as it `has_work`."""

    def __init__(
        self,
        runner: Runner,
        recall: Recall,
        scheduler: Scheduler,
        intake: Intake,
        *,
        forbidden_ids: torch.Tensor,
        speculator: Speculator,
        draw_usual: DrawUsual | None = None,
        steps: DecodeSteps | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """forbidden_ids int64 [ids]: what can never be a token of an answer. Without `steps` the
        runner decodes.
        """
        self._runner = runner
        self._recall = recall
        self._scheduler = scheduler
        self._intake = intake
        self._forbidden_ids = forbidden_ids
        self._draw_usual = draw_usual
        self._telling = Telling(runner, recall, scheduler)
        self._ahead = None if steps is None else Lookahead(steps, scheduler, self._telling, clock)
        self._speculator = speculator
        self._clock = clock
        self._waiting_told: list[Sequence] = []
        # What it does is counted here.
        self.counts = ModelCounts()

    @property
    def has_work(self) -> bool:
        # A step that nobody waits for any more holds on to whom it was launched for.
        return bool(self._scheduler or self._ahead)

    def status(self, counted: ModelStatus) -> ModelStatus:
        return with_usage(counted, self._scheduler, self._runner, self._recall)

    def add(self, wanted: Wanted, prompt: Prompt, now_s: float) -> None:
        """Take a request in. Raises what `Intake.open` does."""
        waiting = len(self._scheduler.waiting)
        self._scheduler.add(self._intake.open(wanted, prompt, waiting, now_s))

    def cancel(self, request_id: str, epoch: int) -> list[DeviceEvent]:
        """End a request that its client has left; nothing where it has ended already."""
        for sequence in self._all():
            if sequence.key == (request_id, epoch):
                return [self._telling.finish(sequence, None, "cancelled")]
        return []

    def fail_all(self, error: CortexError) -> list[DeviceEvent]:
        """End every request with this error: the model is going away."""
        events = [self._telling.fail(sequence, error) for sequence in self._all()]
        self._intake.close()
        return events

    @torch.inference_mode()
    def step(
        self, now_s: float, tell: Callable[[list[DeviceEvent]], None] | None = None
    ) -> list[DeviceEvent]:
        """Compute one step's worth; everything that came of it. What can be told before it is over
        goes to `tell`, if there is one, and is not returned: a step may take seconds.
        """
        self._telling.try_more()
        events = self._make_room(now_s)
        events += self._admit(now_s, tell)
        events += self._places(now_s)
        if self._ahead:
            events += self._ahead.go_on(self._speculator)
            self.counts.num_replayed += self._ahead.steps.take_num_replayed()
            if self._ahead:
                return events
        plan, tried = self._scheduler.plan(now_s), self._telling.tried
        began_s = self._clock()
        logits = {s: s.undrawn for s in self._scheduler.running if s.undrawn is not None}
        has_work, draws = bool(plan.decode or plan.chunks), False
        ahead: list[Verification] = []
        if plan.decode:
            decode = list(plan.decode)
            # Of a step that draws nothing nobody waits for the device.
            draws = any(len(s.tokens) == s.num_computed + 1 for s in decode)
            events += tried(decode, lambda: self._decode(decode, logits, ahead))
        for chunk in plan.chunks:
            if chunk.sequence in self._scheduler.running:
                events += tried([chunk.sequence], lambda c=chunk: self._prefill(c, logits))
        events += tried([*logits], lambda: self._draw_all(drawable(logits, has_work=has_work)))
        for verification in ahead:
            while confirmed := verification.confirmed():
                events += self._draw_all(confirmed)
            events += tried(verification.alive, lambda v=verification: self._commit(v))
        if draws and not plan.chunks:
            num_drafted = sum(verification.num_drafted for verification in ahead)
            self._speculator.learn(len(plan.decode), num_drafted, self._clock() - began_s)
        if self._recall.has_noted:
            if tell is not None:
                tell(events)
                events = []
            self._recall.remember_noted()
        return events

    def _make_room(self, now_s: float) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        while (victim := self._scheduler.victim(now_s)) is not None:
            # What is being computed is not saved; and who ends with it may leave room enough.
            if self._ahead:
                events += self._ahead.arrive()
            else:
                self._suspend(victim)
        return events

    def _admit(
        self, now_s: float, tell: Callable[[list[DeviceEvent]], None] | None
    ) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        num_restored = 0
        is_decoding = any(s.is_prefilled for s in self._scheduler.running)
        while (sequence := self._scheduler.admit(now_s)) is not None:
            events += self._telling.tried([sequence], lambda s=sequence: self._begin(s, tell))
            num_restored += sequence.num_computed
            if is_decoding and num_restored >= RESTORED_TOKENS:
                break
        return events

    def _begin(
        self, sequence: Sequence, tell: Callable[[list[DeviceEvent]], None] | None
    ) -> list[DeviceEvent]:
        self._recall.begin(sequence)
        if sequence.counts is None and needs_counts(sequence.prompt.sampling):
            sequence.counts = TokenCounts(
                sequence.prompt.token_ids,
                self._runner.device,
                sequence.tokens[sequence.num_prompt :],
            )
        if sequence.pooled is None and sequence.prompt.pooling is not None:
            sequence.pooled = PooledStates(sequence.prompt.pooling)
        if tell is not None:
            tell([_read_so_far(sequence)])
        return []

    def _suspend(self, sequence: Sequence) -> None:
        self.counts.num_preemptions += 1
        self._recall.suspend(sequence)
        self._scheduler.suspend(sequence)

    def _decode(
        self,
        sequences: list[Sequence],
        logits: dict[Sequence, torch.Tensor],
        ahead: list[Verification],
    ) -> list[DeviceEvent]:
        events: list[DeviceEvent] = []
        drafts = self._speculator.drafts(sequences)
        if drafts:
            verification = self._runner.decode_ahead(sequences, drafts)
            ahead.append(verification)
            rows = {s: scores[0] for s, scores in verification.rows.items()}
        elif self._ahead is not None:
            rows = self._ahead.launch(sequences)
            events = self._ahead.go_on()
            self.counts.num_replayed += self._ahead.steps.take_num_replayed()
        else:
            rows = self._runner.decode(sequences)
        # Who is fed tokens of an earlier attempt draws none until they are used up.
        logits.update({s: row for s, row in rows.items() if s.wants_token})
        fed = (s for s in rows if not s.wants_token and s.num_computed % _TOLD_TOKENS == 0)
        return [*events, *map(_read_so_far, fed)]

    def _commit(self, verification: Verification) -> list[DeviceEvent]:
        verification.commit()
        self.counts.num_drafted += verification.num_drafted
        self.counts.num_accepted += verification.num_taken
        num_foreseen, num_right = verification.num_foreseen
        self.counts.num_foreseen += num_foreseen
        self.counts.num_foreseen_accepted += num_right
        return []

    def _prefill(self, chunk: Chunk, logits: dict[Sequence, torch.Tensor]) -> list[DeviceEvent]:
        sequence, start = chunk.sequence, chunk.sequence.num_computed
        self._recall.move_on(sequence)
        hidden = self._runner.prefill(sequence, chunk.end)  # [tokens, hidden]
        if sequence.is_scored:
            score_chunk(sequence, start, hidden, self._runner, self._forbidden_ids)
        if sequence.pooled is not None:
            sequence.pooled.add(hidden)
            if sequence.is_prefilled:
                return [self._give_vector(sequence, sequence.pooled)]
        self._recall.note(sequence)
        if sequence.is_prefilled and sequence.wants_token:
            logits[sequence] = self._runner.logits(hidden[-1:])[0]
        return [_read_so_far(sequence)]

    def _give_vector(self, sequence: Sequence, pooled: PooledStates) -> DeviceEvent:
        vector = pooled.vector()
        if not vector.isfinite().all():
            error = EngineFailed(
                "the model's vector holds values that are no numbers.",
                "check the model's files with cortex verify.",
            )
            return self._telling.fail(sequence, error)
        self._telling.end(sequence)
        return Pooled(*sequence.key, float32_bytes(vector), sequence.num_prompt)

    def _settle(self, logits: Iterable[Sequence]) -> tuple[list[DeviceEvent], Rows]:
        """Whose answer needs no draw to go on or to end; and how the others' next is drawn."""
        events: list[DeviceEvent] = []
        rows: Rows = {}
        for sequence in logits:
            sequence.undrawn = None
            events += self._telling.tried([sequence], lambda s=sequence: self._settled(s, rows))
        return events, rows

    def _settled(self, sequence: Sequence, rows: Rows) -> list[DeviceEvent]:
        if sequence.num_answered >= sequence.max_tokens:
            return [self._telling.finish(sequence, None, sequence.limited_by)]
        match coming_for(sequence):
            case Over():
                return [self._telling.finish(sequence, None, "stop")]
            case Forced() as forced:
                vocab_size = self._runner.shape.vocab_size
                check_in_table([forced.token_id], vocab_size, "to end the reasoning takes")
                return [self._telling.take(sequence, Chosen(forced.token_id))]
            case coming:
                rows[sequence] = row_of(sequence, coming, self._runner)
                return []

    def _draw_all(self, logits: dict[Sequence, torch.Tensor]) -> list[DeviceEvent]:
        events, rows = self._settle(logits)
        if rows:
            events += self._telling.tried(list(rows), lambda: self._draw(logits, rows))
        return events

    def _draw(self, logits: dict[Sequence, torch.Tensor], rows: Rows) -> list[DeviceEvent]:
        stacked = torch.stack([logits[s] for s in rows])
        chosen = choose_tokens(stacked, list(rows.values()), self._forbidden_ids, self._draw_usual)
        return self._telling.drawn(rows, chosen)

    def _places(self, now_s: float) -> list[DeviceEvent]:
        """Who waits hears its place, when the line has changed."""
        line = self._scheduler.in_order(self._scheduler.waiting, now_s)
        if line == self._waiting_told:
            return []
        self._waiting_told = line
        return [
            Waiting(s.request_id, s.epoch, Stage("queued", place, len(line), "place"))
            for place, s in enumerate(line, start=1)
        ]

    def _all(self) -> list[Sequence]:
        return [*self._scheduler.running, *self._scheduler.waiting]


def _read_so_far(sequence: Sequence) -> Waiting:
    """Of all that is known, so of an answer's beginning, too, where that was made before."""
    stage = Stage(
        "prefill", sequence.num_computed, len(sequence.tokens), "tokens",
        cached_tokens=sequence.num_cached,
    )  # fmt: skip
    return Waiting(sequence.request_id, sequence.epoch, stage)
