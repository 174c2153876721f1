"""When an engine's memory has worn so much that its process is better started anew. Pure."""

from __future__ import annotations

# A twentieth is lost to gaps in any engine, and so much in any case.
_SLACK_PART = 20
_LEAST_SLACK_BYTES = 256 << 20


def is_swollen(held_bytes: int, expected_bytes: int) -> bool:
    """It holds far more than what it has been told to hold."""
    return held_bytes > expected_bytes + _slack_bytes(expected_bytes)


def is_torn(torn_bytes: int, free_bytes: int) -> bool:
    """Of what the books call free so much lies in gaps that a model which they promise a place
    would find none: the largest piece that is left is too small.
    """
    return torn_bytes > _slack_bytes(free_bytes)


def _slack_bytes(num_bytes: int) -> int:
    return max(num_bytes // _SLACK_PART, _LEAST_SLACK_BYTES)
