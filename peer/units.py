"""Numbers as they are read: for people always with their unit, always short."""

from __future__ import annotations

from cortex.engine.memory import byte_unit, format_bytes

_GIB = 1024**3
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def gib(num_bytes: int) -> str:
    return f"{num_bytes / _GIB:.1f}"


def memory(num_bytes: int) -> str:
    """4.0 GiB, 120.0 MiB."""
    return format_bytes(num_bytes)


def memory_share(done_bytes: int, total_bytes: int) -> str:
    """38.1/51.2 GiB."""
    unit, size = byte_unit(total_bytes)
    return f"{done_bytes / size:,.1f}/{total_bytes / size:,.1f} {unit}"


def age(age_s: float) -> str:
    """0.3s, 42s, 5m, 3h, 2d."""
    if age_s < 10:
        return f"{age_s:.1f}s"
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if age_s >= unit_s:
            return f"{age_s // unit_s:.0f}{unit}"
    return f"{age_s:.0f}s"


def about(wait_s: float) -> str:
    """<1s, ~3s."""
    return "<1s" if wait_s < 1 else f"~{wait_s:.0f}s"


def counted(number: int, thing: str) -> str:
    """1 peer, 4 peers."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def tokens(number: int) -> str:
    """3,830, 98.1k, 256k, 1.0M: powers of two as such, as contexts are sold."""
    if number < 10_000:
        return f"{number:,}"
    if number % 1024 == 0:
        return f"{number // 1024:,}k"
    return f"{number / 1e6:.1f}M" if number >= 1_000_000 else f"{number / 1e3:.1f}k"


def rounded(value: float | None, num_digits: int = 1) -> float | None:
    """For programs; None where nobody knows."""
    return None if value is None else round(value, num_digits)
