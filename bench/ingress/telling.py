"""The figures as a table, and by the bars that they must reach. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .contenders import DIRECT, FORWARDING, LITELLM, OURS
from .figures import Measured, added, middle, ratio

HEAD = (
    *("", "requests/s", "CPU ms each", "answer p50 ms", "p99 ms", "added p50 ms", "p99 ms"),
    *("lag p50 ms", "lag p99 ms", "events/s", "core"),
    *("picture: times its size", "kept"),
)
_MS = 1000.0
# Who has the backend behind it: what is added is told of these.
_IN_FRONT = (FORWARDING, LITELLM, OURS)


class Bar(msgspec.Struct, frozen=True):
    """A figure, the limit that it must keep to, and whether it does; None was not measured."""

    what: str
    value: float | None
    limit: float
    is_upper: bool

    @property
    def is_met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.limit if self.is_upper else self.value >= self.limit

    def __str__(self) -> str:
        word = {True: "met", False: "MISSED", None: "not measured"}[self.is_met]
        value = "-" if self.value is None else f"{self.value:.2f}"
        return (
            f"{self.what}: {value} (bar: {'<=' if self.is_upper else '>='} {self.limit:g}) {word}"
        )


def bars(measured: Sequence[Measured]) -> list[Bar]:
    def by(other: str) -> float | None:
        return ratio(measured, OURS, other, "closed", "requests_per_s")

    def ms(seconds: float | None) -> float | None:
        return None if seconds is None else seconds * _MS

    return [
        Bar("requests/s, times litellm's", by(LITELLM), 20, is_upper=False),
        Bar("requests/s, by the forwarding proxy's", by(FORWARDING), 1 / 3, is_upper=False),
        Bar("added latency p50, ms", ms(added(measured, OURS, DIRECT, "p50_s")), 1, is_upper=True),
        Bar("added latency p99, ms", ms(added(measured, OURS, DIRECT, "p99_s")), 5, is_upper=True),
        Bar(
            "lag p99 of 128 streams, ms",
            ms(middle(measured, OURS, "streams", "lag_p99_s")),
            5,
            is_upper=True,
        ),
        Bar(
            "of one core for 128 streams",
            middle(measured, OURS, "streams", "core_share"),
            0.7,
            is_upper=True,
        ),
        Bar(
            "memory of a picture's request, times its size",
            middle(measured, OURS, "picture", "peak_share"),
            3,
            is_upper=True,
        ),
    ]


def rows(measured: Sequence[Measured]) -> list[tuple[str, ...]]:
    return [_row(measured, name) for name in dict.fromkeys(m.contender for m in measured)]


def _row(measured: Sequence[Measured], name: str) -> tuple[str, ...]:
    def cell(load: str, field: str, form: str, scale: float = 1.0) -> str:
        value = middle(measured, name, load, field)
        return "" if value is None else format(value * scale, form)

    def added_cell(field: str) -> str:
        value = added(measured, name, DIRECT, field)
        return "" if value is None else f"{value * _MS:.2f}"

    return (
        name,
        cell("closed", "requests_per_s", ",.0f"),
        cell("closed", "cpu_s", ".3f", _MS),
        cell("open", "p50_s", ".2f", _MS),
        cell("open", "p99_s", ".2f", _MS),
        *(added_cell(field) if name in _IN_FRONT else "" for field in ("p50_s", "p99_s")),
        cell("streams", "lag_p50_s", ".2f", _MS),
        cell("streams", "lag_p99_s", ".2f", _MS),
        cell("streams", "events_per_s", ".1f"),
        cell("streams", "core_share", ".0%"),
        cell("picture", "peak_share", ".2f"),
        cell("picture", "kept_share", ".2f"),
    )
