"""What each key may use: so many requests at one time, so many tokens a minute.

Tokens are counted when an answer has ended, because nobody knows before what it will cost: a large
one puts its key into debt, and time pays it back. The clock comes in; all is on one event loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager

from .access import ApiKey
from .errors import RateLimitExceeded

# Clients sleep as long as they are told to, and give up above two minutes.
_LONGEST_WAIT_S = 60
# When one of its other requests ends is not known: soon, mostly.
_WAIT_FOR_A_PLACE_S = 2


class Allowance:
    """One key's. None is no limit."""

    def __init__(
        self,
        name: str,
        max_concurrent: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._max_concurrent = max_concurrent
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._num_live = 0
        # A minute's worth may be spent at once. Below nothing it is a debt.
        self._level_tokens = float(tokens_per_minute or 0)
        self._level_at_s = clock()

    @contextmanager
    def request(self) -> Generator[None]:
        """Be one of the key's requests for as long as the block lasts.

        Raises RateLimitExceeded.
        """
        self._check_places()
        self._check_tokens()
        self._num_live += 1
        try:
            yield
        finally:
            self._num_live -= 1

    def spend(self, num_tokens: int) -> None:
        """An answer has ended, or broken off, and cost so many tokens."""
        if self._tokens_per_minute is not None:
            self._refill(self._tokens_per_minute)
            self._level_tokens -= num_tokens

    def _check_places(self) -> None:
        if self._max_concurrent is not None and self._num_live >= self._max_concurrent:
            raise RateLimitExceeded(
                f"the key '{self._name}' has {self._num_live} requests under way, which is the"
                " most it may have",
                "wait for one to end",
                retry_after_s=_WAIT_FOR_A_PLACE_S,
            )

    def _check_tokens(self) -> None:
        if self._tokens_per_minute is None:
            return
        self._refill(self._tokens_per_minute)
        if self._level_tokens >= 1:
            return
        wait_s = (1 - self._level_tokens) * 60 / self._tokens_per_minute
        raise RateLimitExceeded(
            f"the key '{self._name}' has used its {self._tokens_per_minute} tokens a minute",
            f"ask again in {_shown_s(wait_s)} s",
            retry_after_s=min(_LONGEST_WAIT_S, _shown_s(wait_s)),
        )

    def _refill(self, tokens_per_minute: int) -> None:
        now_s = self._clock()
        gained = (now_s - self._level_at_s) * tokens_per_minute / 60
        self._level_tokens = min(float(tokens_per_minute), self._level_tokens + gained)
        self._level_at_s = now_s


class Allowances:
    """All keys' allowances, by key. Requests without a key share one that has no bounds."""

    def __init__(
        self,
        max_concurrent: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float],
    ) -> None:
        self._max_concurrent = max_concurrent
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._by_digest: dict[bytes, Allowance] = {}
        self._unbounded = Allowance("-", None, None, clock)

    def of(self, key: ApiKey | None) -> Allowance:
        if key is None:
            return self._unbounded
        if key.digest not in self._by_digest:
            self._by_digest[key.digest] = Allowance(
                key.name,
                self._max_concurrent if key.max_concurrent is None else key.max_concurrent,
                self._tokens_per_minute if key.tokens_per_minute is None else key.tokens_per_minute,
                self._clock,
            )
        return self._by_digest[key.digest]


def _shown_s(wait_s: float) -> int:
    return max(1, math.ceil(wait_s))
