"""What became of a peer's requests, counted model by model. Who asks for the numbers is not known.

Models are named by the catalogue's ids, never by what a client wrote, so that there are no more of
them than there are models. The clock comes in as a function; everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from cortex.engine.histogram import Histogram
from cortex.engine.stream import Accepted, Event, Finished, Usage, Vector, is_computing
from cortex.engine.types import FinishReason

from ..dialects.usage import UsageTally
from ..placement.leaving import LeaveReason
from .recent import Recent
from .stays import Stays, mean_stay_s

# "refused" is said before the prompt was accepted, "failed" after it.
Ending = FinishReason | Literal["refused", "failed"]

# Before the first token, or after it.
Failover = Literal["retry", "continuation"]

_INTERVALS_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0),
)
_TOKENS_PER_S = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0),
    *(100.0, 150.0, 200.0, 300.0, 500.0, 1000.0, 2000.0, 5000.0),
)
_LOADS_S = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0),
    *(60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0),
)


@dataclass(slots=True)
class ModelTally:
    """One model's requests. An ending is that of one choice, of which a request may have several.

    Prompts are counted when their request is answered, each once, and so are those of their tokens
    that were not computed again; tokens of answers as they come. `first_token` and `answer` last
    from the request's coming here, `queue` from its prompt's being ready to the engine's reading
    it, `load` from its beginning to the ready model; `speed` is in tokens a second, of each choice
    that ended. A replay is a choice taken up by a new engine process. `answer` and `stays` last for
    as long, but one counts whatever was answered since the start, the other what is like the next.
    `num_live` is how many choices and vectors are being made, or wait for that.
    """

    endings: Counter[Ending] = field(default_factory=Counter[Ending])
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_replays: int = 0
    num_failed_loads: int = 0
    queue: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)
    between_tokens: Histogram = field(default_factory=lambda: Histogram(_INTERVALS_S))
    speed: Histogram = field(default_factory=lambda: Histogram(_TOKENS_PER_S))
    answer: Histogram = field(default_factory=Histogram)
    load: Histogram = field(default_factory=lambda: Histogram(_LOADS_S))
    stays: Stays = field(default_factory=Stays)
    num_live: int = 0


class PeerTally:
    """All models of a peer. `failovers` counts requests taken from one host to another, by model,
    by what that was, and by the code of the error that was the cause; `evictions` models that went,
    by why.
    """

    def __init__(self) -> None:
        self.failovers: Counter[tuple[str, Failover, str]] = Counter()
        self.evictions: Counter[tuple[str, LeaveReason]] = Counter()
        self.models: dict[str, ModelTally] = {}

    def of(self, model_id: str) -> ModelTally:
        return self.models.get(model_id) or self.models.setdefault(model_id, ModelTally())

    @property
    def stay_s(self) -> float:
        """How long one of those that are here now stays."""
        tallies = self.models.values()
        return mean_stay_s((tally.num_live, tally.stays.mean_s) for tally in tallies)


@dataclass(slots=True)
class _Pace:
    """Of one choice: when its first token came and when its last, and how many after the first."""

    first_s: float
    last_s: float
    num_later: int = 0


class RequestMeter:
    """One request on its way into a tally; what it leaves unfinished is counted when it is left.

    It began at `began_s` by the `clock`; `recent` goes by the same. One that `is_rest` goes
    on with an answer whose first token has come elsewhere, and was counted there.
    """

    def __init__(
        self,
        tally: ModelTally,
        num_choices: int,
        began_s: float,
        clock: Callable[[], float],
        *,
        is_rest: bool = False,
        recent: Recent | None = None,
    ) -> None:
        self._recent = recent or Recent()
        self._prompt_tokens = 0
        self._is_accepted = False
        self._is_rest = is_rest
        # When its prompt was ready, until its engine reads it.
        self._waits_since_s: float | None = None
        self._tally = tally
        self._began_s = began_s
        self._clock = clock
        self._num_choices = self._num_open = num_choices
        self._usage = UsageTally(num_choices)
        self._paces: dict[int, _Pace] = {}

    def began(self, num_losses: int) -> None:
        """An engine has been given a choice, after so many others of this peer died with it."""
        if num_losses:
            self._tally.num_replays += 1
            self._recent.add(self._clock(), "failovers")

    def made(self, choice: int, num_tokens: int) -> None:
        """The engine has made so many tokens of a choice: now, all at once."""
        now_s = self._clock()
        self._tally.num_completion_tokens += num_tokens
        self._recent.add(now_s, "completed", num_tokens)
        if not self._paces:
            self._has_read(now_s)
        if not self._paces and not self._is_rest:
            self._tally.first_token.add(now_s - self._began_s)
            self._recent.waited(now_s, now_s - self._began_s)
        pace = self._paces.get(choice)
        if pace is None:
            self._paces[choice] = _Pace(now_s, now_s)
            return
        self._tally.between_tokens.add((now_s - pace.last_s) / num_tokens, num_tokens)
        pace.last_s, pace.num_later = now_s, pace.num_later + num_tokens

    def saw(self, event: Event | Vector) -> None:
        """This is on its way to the client."""
        if self._waits_since_s is not None and is_computing(event):
            self._tally.queue.add(self._clock() - self._waits_since_s)
            self._waits_since_s = None
        match event:
            case Accepted():
                self._is_accepted, self._waits_since_s = True, self._clock()
                self._prompt_tokens = event.prompt_tokens
            case Finished():
                self._finished(event)
                if self._num_open == 0:
                    self._tally.stays.answered(*self._stay())
            case Vector():
                self._has_read(self._clock())
                self._finished(Finished("stop", Usage(event.prompt_tokens, 0)))
                self._tally.stays.turned_into_vector(*self._stay())
            case _:
                pass

    def _finished(self, event: Finished) -> None:
        self._num_open -= 1
        self._tally.endings[event.reason] += 1
        self._usage.add(event)
        pace = self._paces.get(event.choice)
        if pace is not None and pace.last_s > pace.first_s:
            self._tally.speed.add(pace.num_later / (pace.last_s - pace.first_s))
        if self._num_open == 0:
            total = self._usage.total
            self._tally.num_prompt_tokens += total.prompt_tokens
            self._tally.num_cached_tokens += total.cached_tokens
            self._tally.answer.add(self._clock() - self._began_s)
            self._recent.add(self._clock(), "prompted", total.prompt_tokens)
            self._recent.add(self._clock(), "cached", total.cached_tokens)

    def _has_read(self, now_s: float) -> None:
        self._recent.add(now_s, "read", self._prompt_tokens)

    @property
    def _has_begun(self) -> bool:
        """Whether the engine has read of the prompt at least."""
        return bool(self._paces) or (self._is_accepted and self._waits_since_s is None)

    def _stay(self) -> tuple[float, float]:
        """The time now, and how long it has been here."""
        now_s = self._clock()
        return now_s, now_s - self._began_s

    def __enter__(self) -> Self:
        self._tally.num_live += self._num_choices
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tally.num_live -= self._num_choices
        if self._is_accepted:
            self._recent.add(self._clock(), "requests")
        if self._num_open:
            ending = self._ending(error)
            self._tally.endings[ending] += self._num_open
            if ending == "failed":
                self._recent.add(self._clock(), "errors")
            if ending == "cancelled" and self._has_begun:
                # Who leaves makes room as who has been answered, and long answers are left most.
                self._tally.stays.answered(*self._stay())

    def _ending(self, error: BaseException | None) -> Ending:
        if error is None or isinstance(error, GeneratorExit | asyncio.CancelledError):
            return "cancelled"
        return "failed" if self._is_accepted else "refused"
