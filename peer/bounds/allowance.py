"""What each key may use: so many requests at one time, so many requests and tokens a minute.

Tokens are counted when an answer has ended, because nobody knows before what it will cost: a large
one puts its key into debt, and time pays it back. Those without a key have what the others leave:
one place is always kept for whoever has a key. The clock comes in; all is on one event loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..config import PeerConfig
from ..errors import RateLimitExceeded
from ..keys.access import ApiKey

# Clients sleep as long as they are told to, and give up above two minutes.
_LONGEST_WAIT_S = 60
# When one of the other requests ends is not known: soon, mostly.
_WAIT_FOR_A_PLACE_S = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """None is no bound."""

    max_concurrent: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class _Purse:
    """What comes back at a rate: a minute's worth may be spent at once, and no more is saved.

    Below nothing it is a debt.
    """

    def __init__(self, per_minute: int | None, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute or 0)
        self._level_at_s = clock()

    def become(self, per_minute: int | None) -> None:
        """Another rate from now on; what is owed stays owed."""
        if per_minute == self.per_minute:
            return
        self._refill()
        was_full = self.per_minute is None
        self.per_minute = per_minute
        self._level = float(per_minute or 0) if was_full else min(self._level, per_minute or 0)

    def spend(self, amount: int) -> None:
        self._refill()
        self._level -= amount if self.per_minute is not None else 0

    def wait_s(self) -> float:
        """Until there is one again."""
        self._refill()
        lacking = 1 - self._level
        return 0.0 if self.per_minute is None or lacking <= 0 else lacking * 60 / self.per_minute

    def _refill(self) -> None:
        now_s = self._clock()
        most = self.per_minute or 0
        self._level = min(float(most), self._level + (now_s - self._level_at_s) * most / 60)
        self._level_at_s = now_s


class Allowance:
    """One key's; `whose` says so in words."""

    def __init__(self, whose: str, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._whose = whose
        self._max_concurrent = bounds.max_concurrent
        self._num_live = 0
        self._tokens = _Purse(bounds.tokens_per_minute, clock)
        self._requests = _Purse(bounds.requests_per_minute, clock)

    def become(self, bounds: Bounds) -> None:
        """Other bounds from now on; what was used of the old ones stays used."""
        self._max_concurrent = bounds.max_concurrent
        self._tokens.become(bounds.tokens_per_minute)
        self._requests.become(bounds.requests_per_minute)

    @contextmanager
    def request(self) -> Generator[None]:
        """Be one of the key's requests for as long as the block lasts.

        Raises RateLimitExceeded.
        """
        if self._max_concurrent is not None and self._num_live >= self._max_concurrent:
            raise RateLimitExceeded(
                f"{self._whose} has {self._num_live} requests under way, which is the most it may"
                " have",
                "wait for one to end",
                retry_after_s=_WAIT_FOR_A_PLACE_S,
            )
        self._check(self._tokens, "tokens")
        self._check(self._requests, "requests")
        self._requests.spend(1)
        self._num_live += 1
        try:
            yield
        finally:
            self._num_live -= 1

    def spend(self, num_tokens: int) -> None:
        """An answer has ended, or broken off, and cost so many tokens."""
        self._tokens.spend(num_tokens)

    def _check(self, purse: _Purse, what: str) -> None:
        wait_s = purse.wait_s()
        if wait_s > 0:
            shown_s = max(1, math.ceil(wait_s))
            raise RateLimitExceeded(
                f"{self._whose} has used its {purse.per_minute} {what} a minute",
                f"ask again in {shown_s} s",
                retry_after_s=min(_LONGEST_WAIT_S, shown_s),
            )


class Allowances:
    """All keys' allowances, by the config as it is. `num_places` is how many requests are answered
    at one time.
    """

    def __init__(
        self,
        config_now: Callable[[], PeerConfig],
        clock: Callable[[], float],
        num_places: Callable[[], int],
    ) -> None:
        self._config_now = config_now
        self._clock = clock
        self._num_places = num_places
        self._num_live = 0
        self._by_digest: dict[bytes, Allowance] = {}
        self._of_nobody = Allowance("who has no key", Bounds(), clock)
        self._unbounded = Allowance("-", Bounds(), clock)

    @contextmanager
    def request(self, key: ApiKey | None, *, is_member: bool = False) -> Generator[Allowance]:
        """One more request under way, of that key, of a member of the fleet, or of whoever comes.

        Raises RateLimitExceeded.
        """
        config = self._config_now()
        if key is not None:
            allowance = self._of(key, config)
        elif is_member or not config.keys:
            allowance = self._unbounded
        else:
            allowance = self._of_nobody
            allowance.become(_bounds(config))
            self._keep_one_place()
        with allowance.request():
            self._num_live += 1
            try:
                yield allowance
            finally:
                self._num_live -= 1

    def _of(self, key: ApiKey, config: PeerConfig) -> Allowance:
        bounds = _bounds(config, key)
        if key.digest not in self._by_digest:
            whose = f"the key '{key.name}'"
            self._by_digest[key.digest] = Allowance(whose, bounds, self._clock)
        allowance = self._by_digest[key.digest]
        allowance.become(bounds)
        return allowance

    def _keep_one_place(self) -> None:
        num_left = max(1, self._num_places() - 1)
        if self._num_live >= num_left:
            raise RateLimitExceeded(
                f"{self._num_live} requests are under way, and the last place is kept for those"
                " who have a key",
                "ask again in a moment, or with a key",
                retry_after_s=_WAIT_FOR_A_PLACE_S,
            )


def _bounds(config: PeerConfig, key: ApiKey | None = None) -> Bounds:
    """The key's own, and where it has none, those of all."""
    of_all = Bounds(config.max_concurrent, config.tokens_per_minute, config.requests_per_minute)
    if key is None:
        return of_all
    return Bounds(
        of_all.max_concurrent if key.max_concurrent is None else key.max_concurrent,
        of_all.tokens_per_minute if key.tokens_per_minute is None else key.tokens_per_minute,
        of_all.requests_per_minute if key.requests_per_minute is None else key.requests_per_minute,
    )
