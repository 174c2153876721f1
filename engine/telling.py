"""What comes of answers, as events: a token that was drawn, an end of their own, a failure.

Whoever ends gives back all that it held. Runs on the device thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import torch

from .draws import Rows, no_token_error
from .errors import InsufficientVram
from .events import DeviceEvent, NewToken
from .failing import described, shortage_of
from .messages import GenerateFailed
from .poison import raise_poison
from .recall import Recall
from .runner import Runner
from .sampler import Chosen, SamplingRow
from .scheduler import Scheduler
from .sequence import Sequence
from .types import FinishReason, TokenScores

# What else takes of the device's memory changes in seconds and minutes.
_STEPS_BEFORE_MORE = 500

logger = logging.getLogger(__name__)


class Telling:
    """The answers of one model."""

    def __init__(self, runner: Runner, recall: Recall, scheduler: Scheduler) -> None:
        self._runner = runner
        self._recall = recall
        self._scheduler = scheduler
        self._steps_since_change = 0

    def try_more(self) -> None:
        """Called before each step: memory that did not reach for many may do so by now, tried for
        one more at a time.
        """
        scheduler = self._scheduler
        if scheduler.most_running == scheduler.num_slots:
            return
        self._steps_since_change += 1
        if self._steps_since_change > _STEPS_BEFORE_MORE:
            self._steps_since_change = 0
            scheduler.most_running += 1
            logger.warning("at most %d answers at a time again", scheduler.most_running)

    def tried(
        self, sequences: list[Sequence], act: Callable[[], list[DeviceEvent]]
    ) -> list[DeviceEvent]:
        """What the act brings, or the end of the sequences it was done for; where the device's
        memory did not reach for it, they begin again, fewer at a time.

        Raises DevicePoisoned, and ends nobody, where nothing more can be computed here.
        """
        try:
            return act()
        except Exception as error:
            raise_poison(error)
            shortage, alive = shortage_of(error), [s for s in sequences if s.slot is not None]
            if shortage is None:
                return [self.fail(sequence, error) for sequence in alive]
        # Tensors that the error held have gone with it.
        return self._begin_again(alive, shortage) if alive else []

    def _begin_again(
        self, sequences: list[Sequence], shortage: InsufficientVram
    ) -> list[DeviceEvent]:
        """All of them: where a step was broken off, states may be neither before nor behind it.

        Who is alone, and short for the second time, ends.
        """
        if self._runner.device.type == "cuda":
            torch.cuda.empty_cache()
        self._steps_since_change = 0
        is_alone = len(sequences) == 1
        if is_alone and sequences[0].was_short:
            return [self.fail(sequences[0], shortage)]
        scheduler = self._scheduler
        if is_alone:
            sequences[0].was_short = True
        else:
            scheduler.most_running = max(1, len(scheduler.running) // 2)
        logger.warning(
            "%d answers begin again, at most %d at a time: %s",
            *(len(sequences), scheduler.most_running, shortage.message),
        )
        for sequence in sequences:
            self._recall.forget(sequence)
            sequence.start_again()
            scheduler.suspend(sequence)
        return []

    def drawn(self, rows: Rows, chosen: Iterable[Chosen | None]) -> list[DeviceEvent]:
        """Each by itself: what one was told stays so, whatever fails for the next."""
        events: list[DeviceEvent] = []
        for (sequence, row), one in zip(rows.items(), chosen, strict=True):
            events += self.tried([sequence], lambda s=sequence, r=row, o=one: [self._told(s, r, o)])
        return events

    def _told(self, sequence: Sequence, row: SamplingRow, chosen: Chosen | None) -> DeviceEvent:
        if chosen is None:
            return self.fail(sequence, no_token_error(row))
        return self.take(sequence, chosen)

    def take(self, sequence: Sequence, chosen: Chosen) -> DeviceEvent:
        if chosen.token_id in sequence.prompt.stop_token_ids:
            return self.finish(sequence, None, "stop", chosen.scores, ended_by=chosen.token_id)
        sequence.append(chosen.token_id)
        if sequence.num_answered == sequence.max_tokens:
            return self.finish(sequence, chosen.token_id, sequence.limited_by, chosen.scores)
        echoed = sequence.take_prompt_scores()
        # Its text may say that it was the last.
        num_cached = sequence.num_cached
        return NewToken(
            *sequence.key, chosen.token_id, None, num_cached, chosen.scores, prompt_scores=echoed
        )

    def finish(
        self,
        sequence: Sequence,
        token_id: int | None,
        reason: FinishReason,
        scores: TokenScores | None = None,
        ended_by: int | None = None,
    ) -> DeviceEvent:
        self.end(sequence)
        echoed = sequence.take_prompt_scores() if sequence.is_prefilled else None
        num_cached = sequence.num_cached
        return NewToken(*sequence.key, token_id, reason, num_cached, scores, echoed, ended_by)

    def fail(self, sequence: Sequence, error: Exception) -> DeviceEvent:
        self.end(sequence)
        return GenerateFailed(*sequence.key, described("request failed", error))

    def end(self, sequence: Sequence) -> None:
        if sequence.guided is not None:
            sequence.guided.close()
        self._recall.forget(sequence)
        self._scheduler.remove(sequence)
