"""One request on its way through the fleet: what its client has, who was asked, and what is next.
Pure; the clock comes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.stream import Accepted, Began, Event, Stage, Vector

from ..bounds.request_bytes import text_bytes
from ..errors import AttemptsExhausted, HostSilent, NoPeer
from ..observing.live import LiveRequest
from ..observing.tally import Failover
from ..placement.context_room import ContextRoom, context_room
from ..placement.wording import each_of, nowhere
from .candidates import Candidate, Life, Wish
from .catalogue import FleetModel
from .transcript import Transcript
from .tries import Fault, Tries, fault_of

_TEXT_BYTES_A_TOKEN = 4
# So many at most, nearly: what a prompt takes at least.
_MOST_TEXT_BYTES_A_TOKEN = 6
# How long a request waits for a place where all are busy. An answer that has begun may stand still
# no longer than it takes to say that it is over.
_PATIENCE_S = 5.0
_PATIENCE_IN_ANSWERS_S = 2.5
# How long it waits for any peer at all: one whose connection broke may come back. One that fell
# silent has been waited for.
_HOPE_S = 2.5
# A peer that has refused it for being full is not asked again at once, nor one that has to start an
# engine, or to come back: but for the case that nobody else takes it in time.
_RESTS_S: dict[Fault, float] = {"busy": 0.5, "moved": 1.0, "lost": 0.5}
# So many engines may end under it in the whole fleet, as at one host: then it is what ends them.
_MAX_LOSSES = 2
# Told of an engine that is not there; of an answer that had one, that it has ended.
_STARTING = ("starting", "loading")


# What is said of why it went on elsewhere, where several hosts parted with it on the way: who lost
# it before who could not take it, and that before who was full.
_WEIGHTS: dict[Fault, int] = {"busy": 0, "unfit": 1}
_HEAVIEST = 2


@dataclass(frozen=True, slots=True)
class Parting:
    """From one host, for another one that is yet to be found; `code` is its error's."""

    host: Candidate
    kind: Failover
    code: str
    fault: Fault


@dataclass(slots=True)
class Asked:
    """`since_s` is since when no host works on it, and `cold_until_s` how long its client waits for
    a model to be loaded, which is `cold_wait_s` in all. `num_losses` engines have ended under
    it, at whichever hosts. `silent_since_s` is when its client was last told that it waits, or had
    no need to be. `is_accepted` says whether its host of now has made a prompt of it, and
    `is_sound` whether one before that has. `partings` are the hosts that it has left since the last
    one that gave a part of the answer.
    """

    model: FleetModel
    key: bytes
    transcript: Transcript
    live: LiveRequest
    since_s: float
    cold_until_s: float | None = None
    silent_since_s: float = 0.0
    is_worked_on: bool = False
    is_accepted: bool = False
    is_sound: bool = False
    has_engine: bool = False
    had_engine: bool = False
    cold_wait_s: float = 0.0
    num_losses: int = 0
    # That of the host where its answer began.
    build: str = ""
    is_held: bool = False
    partings: list[Parting] = field(default_factory=list[Parting])
    tries: Tries = field(default_factory=Tries)
    busy_until_s: dict[Life, float] = field(default_factory=dict[Life, float])

    @property
    def patience_s(self) -> float:
        """How long it waits for a place where all are busy."""
        return _PATIENCE_IN_ANSWERS_S if self.transcript.has_begun else _PATIENCE_S

    def wish(self) -> Wish:
        """What the next host has to be."""
        has_begun = self.transcript.has_begun
        taken = self._room(self.transcript.request.max_tokens)
        whole_tokens = least_tokens = self.tries.context_tokens
        if has_begun:
            # The last token of an answer is never fed back. It goes on where it well may end: a
            # limit of all the context is seldom reached.
            whole_tokens = taken.whole_tokens - 1
            least_tokens = min(whole_tokens, self._room(None).whole_tokens)
        return Wish(
            key=self.key,
            context_tokens=whole_tokens,
            least_tokens=least_tokens,
            room=taken,
            computes_in=self.transcript.computes_in if has_begun else "",
            build=self.build,
            excluded=frozenset(self.tries.excluded),
            lost=frozenset(self.tries.lost),
            busy_until_s=self.busy_until_s,
            patience_s=self.patience_s,
            hope_s=self._hope_s(),
        )

    def _room(self, max_tokens: int | None) -> ContextRoom:
        """How much context it takes with such an answer, as far as that is known before its prompt
        is made.
        """
        request, told = self.transcript.request, self.transcript.accepted
        num_made = self.transcript.most_tokens
        if told is None:
            num_bytes = text_bytes(request)
            prompt_tokens = num_bytes // _TEXT_BYTES_A_TOKEN
            most_tokens = max(1, self.model.context_tokens - prompt_tokens)
            likely = context_room(prompt_tokens, max_tokens, most_tokens=most_tokens)
            return replace(likely, least_tokens=num_bytes // _MOST_TEXT_BYTES_A_TOKEN + 1)
        return context_room(told.prompt_tokens, max_tokens, num_made, most_tokens=told.max_tokens)

    def _hope_s(self) -> float:
        last_error = self.tries.last_error
        if isinstance(last_error, HostSilent):
            return 0.0
        # Where all who have it failed over this request, none of them is waited for.
        return _HOPE_S if self.tries.lost or last_error is None else 0.0

    def heard(self, event: Event | Vector, now_s: float) -> bool:
        """Whether it has just lost its engine, which its host will replace."""
        self.is_worked_on = True
        self.is_accepted = self.is_accepted or isinstance(event, Accepted)
        if isinstance(event, Began):
            self.cold_until_s, self.has_engine, self.had_engine = None, True, True
        elif isinstance(event, Stage) and event.name in _STARTING:
            if self.has_engine:
                self._lose_engine()
                return True
            if not self.had_engine:
                self.wait_for_load(now_s)
        return False

    def wait_for_load(self, now_s: float) -> None:
        """Its host has yet to load the model: whoever sees no stages waits for that so long, from
        when the first host said so.
        """
        if not self.live.is_streamed and self.cold_until_s is None:
            self.cold_until_s = now_s + self.cold_wait_s

    def _lose_engine(self) -> None:
        self.num_losses += 1
        self.has_engine = False

    def failed(self, host: Candidate, error: CortexError, now_s: float) -> None:
        """Raises what the client is told, where nobody else is to be asked."""
        if self.is_worked_on:
            self.since_s = self.silent_since_s = now_s
            self.is_worked_on = False
        if self.has_engine and isinstance(error, AttemptsExhausted):
            self._lose_engine()
        self.has_engine = False
        is_over = self.cold_until_s is not None and now_s >= self.cold_until_s
        transcript = self.transcript
        if transcript.has_begun:
            self.build = self.build or host.build
        fault = self._fault_of(error)
        may_go_on = self.tries.failed(
            host,
            error,
            fault,
            has_begun=transcript.has_begun,
            is_accepted=self.is_accepted,
            num_tokens=transcript.num_tokens,
        )
        may_go_on = may_go_on and self.num_losses <= _MAX_LOSSES
        if is_over or not may_go_on:
            raise self.ending(error) from error
        self.is_sound, self.is_accepted = self.is_sound or self.is_accepted, False
        rest_s = _RESTS_S.get(fault)
        if rest_s is not None:
            self.busy_until_s[host.life] = now_s + rest_s

    def taken_up(self, host: Candidate) -> Parting | None:
        """The parting that made it go on at this host, which gives the answer now. None where it
        was this one's before: whoever only waited for a place, or came back, has taken up nothing.
        """
        left = [one for one in self.partings if one.host.node != host.node]
        self.partings.clear()
        return max(left, key=lambda one: _WEIGHTS.get(one.fault, _HEAVIEST), default=None)

    def _fault_of(self, error: CortexError) -> Fault:
        """What an engine finds wrong with a prompt that was made here, the next one would, too."""
        is_sound = self.transcript.has_begun or (self.is_sound and not self.is_accepted)
        return fault_of(error, is_sound=is_sound)

    def ending(self, error: CortexError) -> CortexError:
        """What the client is told: what a host refused for good, or what became of the last one."""
        last = self.tries.last_error
        if isinstance(error, NoPeer) and last is not None:
            error = last
        fault = self._fault_of(error)
        if fault == "refused" or fault == "busy":
            return error
        said = self.tries.said
        if isinstance(error, AttemptsExhausted):
            return error
        if fault in ("unfit", "broken") and not self.transcript.has_begun:
            return nowhere(self.model.id, said) if said else error
        what, why = "came to nothing", each_of(said) if len(said) > 1 else error.message
        if self.transcript.has_begun:
            what, why, said = "broke off", error.message, said[-1:]
        names = list(dict.fromkeys(name for name, _ in said))
        where = f"on {' and '.join(names)}" if names else "in this fleet"
        return EngineFailed(
            f"the answer of '{self.model.id}' {what} {where}, and no other peer takes it up: {why}",
            error.hint or "send it again",
        )
