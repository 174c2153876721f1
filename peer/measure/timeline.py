"""What was seen of one request: when it was sent, and when which of its tokens came.

Values only. Times are seconds on the clock of whoever measured; only their differences mean
anything.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event of the stream that brought something of the answer.

    `num_tokens` is how many tokens it brought, by the ids in it; an event without ids counts as
    one.
    """

    at_s: float
    num_tokens: int = 1


@dataclass(frozen=True, slots=True)
class Timeline:
    """One request. The counts of tokens are the endpoint's own; None where it told none.

    `has_token_ids`: every arrival said which tokens it brought. `error` is empty where the answer
    came to its end.
    """

    sent_s: float
    ended_s: float
    arrivals: tuple[Arrival, ...] = ()
    token_ids: tuple[int, ...] = ()
    text: str = ""
    has_token_ids: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    error: str = ""

    @property
    def is_answered(self) -> bool:
        return not self.error and bool(self.arrivals)

    @property
    def ttft_s(self) -> float:
        """Until the first token."""
        return self.arrivals[0].at_s - self.sent_s

    @property
    def end_to_end_s(self) -> float:
        """Until the last token; what the endpoint does afterwards is not waited for."""
        return self.arrivals[-1].at_s - self.sent_s

    @property
    def output_tokens(self) -> int:
        if self.completion_tokens is not None:
            return self.completion_tokens
        return sum(arrival.num_tokens for arrival in self.arrivals)

    @property
    def time_per_output_token_s(self) -> float | None:
        """The mean pause between tokens after the first; None where there was no second token."""
        if self.output_tokens < 2:
            return None
        return (self.end_to_end_s - self.ttft_s) / (self.output_tokens - 1)

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Prompt tokens that were computed, by the time to the first token."""
        if not self.prompt_tokens or self.ttft_s <= 0:
            return None
        return (self.prompt_tokens - self.cached_tokens) / self.ttft_s

    def pauses_s(self) -> list[float]:
        """The time between one token and the next, once for every token after the first arrival.

        Tokens that came together share the pause before them evenly: an endpoint that sends every
        fourth token is not one that takes no time for three of them.
        """
        pauses: list[float] = []
        for before, arrival in zip(self.arrivals, self.arrivals[1:], strict=False):
            share_s = (arrival.at_s - before.at_s) / arrival.num_tokens
            pauses.extend([share_s] * arrival.num_tokens)
        return pauses
