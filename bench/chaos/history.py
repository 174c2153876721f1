"""What became of every request of a trial, and whether that was right. Pure.

A request that a client makes has attempts: one, unless the ingress that held its connection was
itself harmed, because then nobody is left who could answer. Every attempt ends exactly once.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# "answered" to its last event; "refused" with a reason; "broken" where the connection ended before
# the answer did; "silent" where nothing came for longer than a client waits.
End = Literal["answered", "refused", "broken", "silent"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client has of an answer: it must be that of an undisturbed fleet, to the byte."""

    text: str
    finish_reason: str
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """Times are of one clock, in seconds since the trial began. `longest_gap_s` is the longest time
    between two pieces. `host` is the peer that began the answer. `words` say how it ended, where it
    was not answered.
    """

    request: int
    ingress: str
    begun_s: float
    ended_s: float
    end: End
    answer: Answer | None = None
    host: str = ""
    first_s: float | None = None
    longest_gap_s: float = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True)
class Harm:
    """From when until when a peer was not itself: killed, halted or told to leave."""

    peer: str
    kind: str
    begun_s: float
    ended_s: float


# The kind of harm that nobody did to a peer.
ENDED_BY_ITSELF = "ended by itself"


@dataclass(frozen=True, slots=True)
class Verdict:
    counts: Mapping[str, int]
    errors: tuple[Attempt, ...]
    excused: tuple[Attempt, ...]
    wrong_answers: tuple[Attempt, ...]
    gaps_s: Mapping[str, float]

    @property
    def is_clean(self) -> bool:
        unwanted = ("answered twice", ENDED_BY_ITSELF)
        return not (self.errors or self.wrong_answers or any(map(self.counts.get, unwanted)))

    @property
    def is_unbroken(self) -> bool:
        """Nor did any answer that had begun, or might have, come to nothing.

        Whoever comes to a peer that is leaving is told so at once, and asks another one.
        """
        return self.is_clean and all(attempt.end == "refused" for attempt in self.excused)


def judged(
    attempts: Sequence[Attempt], harms: Sequence[Harm], twins: Mapping[int, Answer], kinds: int
) -> Verdict:
    """`twins` are the answers of an undisturbed peer; request N asks what N modulo `kinds` does."""
    excused = [a for a in attempts if a.end != "answered" and _was_ingress_harmed(a, harms)]
    errors = [a for a in attempts if a.end != "answered" and not _was_ingress_harmed(a, harms)]
    answered = [a for a in attempts if a.end == "answered"]
    wrong = [a for a in answered if a.answer != twins[a.request % kinds]]
    counts = {
        **Counter(harm.kind for harm in harms),
        "requests": len({a.request for a in attempts}),
        "attempts": len(attempts),
        "answered": len(answered),
        "answered by another peer than was asked": sum(a.host != a.ingress for a in answered),
        "answered twice": len(answered) - len({a.request for a in answered}),
        "turned away by an ingress that leaves": sum(a.end == "refused" for a in excused),
        "lost with their ingress": sum(a.end != "refused" for a in excused),
        "errors": len(errors),
        "wrong answers": len(wrong),
    }
    # Through an ingress that is halted nothing comes until it goes on: no peer could help.
    helped = [a for a in answered if not _was_ingress_harmed(a, harms)]
    return Verdict(counts, tuple(errors), tuple(excused), tuple(wrong), _gaps(helped))


def _was_ingress_harmed(attempt: Attempt, harms: Sequence[Harm]) -> bool:
    return any(
        harm.peer == attempt.ingress
        and harm.begun_s <= attempt.ended_s
        and attempt.begun_s <= harm.ended_s
        for harm in harms
    )


def _gaps(answered: Sequence[Attempt]) -> Mapping[str, float]:
    gaps = sorted(a.longest_gap_s for a in answered)
    if len(gaps) < 2:
        return {}
    hundredths = statistics.quantiles(gaps, n=100)
    named = {"p50": hundredths[49], "p99": hundredths[98], "worst": gaps[-1]}
    return {name: round(gap, 3) for name, gap in named.items()}
