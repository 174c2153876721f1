"""How many datagrams a second are looked into, of one source and of all together.

Buckets fill with time and are emptied one by one. The source is asked first: a single flooder must
not empty the bucket that everybody shares. Sources are forgotten when there are too many of them.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_SOURCES = 4096
PER_SOURCE_S = 200.0
_FORGIVEN_S = 1.0


class TokenBucket:
    """Full at first, and never fuller than what one second brings. Its clock never goes back."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._level = per_s
        self._level_at_s = now_s

    def take(self, now_s: float) -> bool:
        if self.is_empty(now_s):
            return False
        self._level -= 1.0
        return True

    def is_empty(self, now_s: float) -> bool:
        passed_s = now_s - self._level_at_s
        self._level = min(self._per_s, self._level + passed_s * self._per_s)
        self._level_at_s = now_s
        return self._level < 1.0


class SourceBuckets:
    def __init__(
        self,
        now_s: float,
        per_source_s: float = PER_SOURCE_S,
        per_s: float = 2000.0,
        max_sources: int = MAX_SOURCES,
    ) -> None:
        self._per_source_s = per_source_s
        self._max_sources = max_sources
        self._all = TokenBucket(per_s, now_s)
        self._sources: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, now_s: float, source: str) -> bool:
        """Whether one more datagram from there may be looked into."""
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = TokenBucket(self._per_source_s, now_s)
            if len(self._sources) > self._max_sources:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return bucket.take(now_s) and self._all.take(now_s)


class FailureBuckets:
    """What opens costs nothing here. Once so much has failed to, nothing more is looked into for a
    while of the sources that it came from; what members send from elsewhere is heard all the same.
    """

    def __init__(self, per_s: float = 2000.0, max_sources: int = MAX_SOURCES) -> None:
        self._max_sources = max_sources
        self._all = TokenBucket(per_s, 0.0)
        self._failed_at_s: OrderedDict[str, float] = OrderedDict()

    def charge(self, now_s: float, source: str) -> None:
        self._all.take(now_s)
        self._failed_at_s[source] = now_s
        self._failed_at_s.move_to_end(source)
        if len(self._failed_at_s) > self._max_sources:
            self._failed_at_s.popitem(last=False)

    def passes_over(self, now_s: float, source: str) -> bool:
        """Whether nothing from there is looked into now."""
        failed_at_s = self._failed_at_s.get(source)
        has_just_failed = failed_at_s is not None and now_s - failed_at_s < _FORGIVEN_S
        return has_just_failed and self._all.is_empty(now_s)
