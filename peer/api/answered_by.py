"""What a reply's headers say of how it was made: by which peer, and what it waited for. Pure.

An error's say as much as was known when it came.
"""

from __future__ import annotations

from ..observing.live import LiveRequest

# What is longer fits into no client's bounds for headers.
_MAX_CHARS = 1024


def headers_of(live: LiveRequest, *, is_whole: bool) -> dict[str, str]:
    """As far as it is known: of a reply that is just beginning less than of a whole one."""
    headers: dict[str, str] = {}
    if live.host:
        headers["x-cortex-peer"] = _plain(live.host)
    if live.start:
        headers["x-cortex-start"] = live.start
    if live.evicted:
        headers["x-cortex-evicted"] = ", ".join(map(_plain, live.evicted))[:_MAX_CHARS]
    if live.queue_s is not None:
        headers["x-cortex-queue-ms"] = str(round(live.queue_s * 1000))
    if is_whole:
        headers["x-cortex-cached-tokens"] = str(live.cached_tokens)
    return headers


def _plain(name: str) -> str:
    """A name is whatever its owner wrote; a header takes printable ASCII."""
    return "".join(char if " " <= char <= "~" else "?" for char in name)
