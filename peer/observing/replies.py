"""What became of requests where their clients sent them, whichever peers worked for them.

A reply that has begun has its status before its end is known: how it ended is counted beside that.
Models are named by the catalogue's ids, errors by our own codes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cortex.engine.histogram import Histogram

from .live import LiveRequest


@dataclass(slots=True)
class ReplyTally:
    """`statuses` counts replies by dialect and status; `errors` what clients were told by dialect,
    code and the status that HTTP has for it, which one in a stream does not show. By model, a
    request's time from its coming to the first token and to the end of its answer, over all the
    peers that it took.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    errors: Counter[tuple[str, str, int]] = field(default_factory=Counter[tuple[str, str, int]])
    first_token: dict[str, Histogram] = field(default_factory=dict[str, Histogram])
    answer: dict[str, Histogram] = field(default_factory=dict[str, Histogram])

    def ended(self, live: LiveRequest, status: int, now_s: float) -> None:
        self.statuses[live.dialect, status] += 1
        if live.error_status is not None:
            self.errors[live.dialect, live.ending, live.error_status] += 1
        if live.model_id is None:
            return
        if live.first_token_s is not None:
            self.first_token.setdefault(live.model_id, Histogram()).add(live.first_token_s)
        if live.is_answered:
            self.answer.setdefault(live.model_id, Histogram()).add(now_s - live.began_s)
