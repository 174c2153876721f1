"""What a reply's headers say of how it was made: by which peer, and what it waited for. Pure."""

from __future__ import annotations

from ..live import LiveRequest


def headers_of(live: LiveRequest, *, is_whole: bool) -> dict[str, str]:
    """As far as it is known: of a reply that is just beginning less than of a whole one."""
    headers: dict[str, str] = {}
    if live.host:
        headers["x-cortex-peer"] = _plain(live.host)
    if live.start:
        headers["x-cortex-start"] = live.start
    if not live.is_continuable:
        headers["x-cortex-continuable"] = "no"
    if is_whole:
        headers["x-cortex-cached-tokens"] = str(live.cached_tokens)
        if live.queue_s is not None:
            headers["x-cortex-queue-ms"] = str(round(live.queue_s * 1000))
    return headers


def _plain(name: str) -> str:
    """A peer's name is whatever its owner wrote; a header takes printable ASCII."""
    return "".join(char if " " <= char <= "~" else "?" for char in name)
