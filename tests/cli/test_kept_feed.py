"""What the dashboard keeps of what it sees, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex.cli.kept_feed import KEEP_S, Kept
from cortex.cli.last_seen import last_seen
from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.pictures import read_picture

NOON_S = 1_790_000_000.0


def seen(fleet: str) -> Seen:
    told: dict[str, Any] = {"fleet": fleet, "self": "at" * 8, "peers": [], "notices": []}
    return Seen("127.0.0.1:13131", Sight(told, read_picture(told)))


class Source:
    is_closed = False

    def news(self) -> Iterator[News]:
        yield Lost(None, NoPeer("nobody yet"), 2.0)
        yield from map(seen, ("first", "soon", "later"))

    def close(self) -> None:
        self.is_closed = True


def test_the_first_sight_is_kept_at_once_and_a_later_one_after_some_seconds(tmp_path: Path) -> None:
    passed_s = iter((70.0, 70.0 + KEEP_S / 2, 70.0 + KEEP_S))
    source = Source()
    watched = Kept(source, tmp_path, lambda: NOON_S, lambda: next(passed_s))
    kept: list[str] = []
    for _ in watched.news():
        found = last_seen(tmp_path, NOON_S + KEEP_S)
        kept.append("" if found.fleet is None else found.fleet.told["fleet"])
    assert kept == ["", "first", "first", "later"]
    assert last_seen(tmp_path, NOON_S + KEEP_S).addresses == ("127.0.0.1:13131",)
    watched.close()
    assert source.is_closed


def test_what_is_seen_is_kept_on_when_the_clock_is_put_back(tmp_path: Path) -> None:
    passed_s = iter((70.0, 70.0 + KEEP_S, 70.0 + 2 * KEEP_S))
    times_s = iter((NOON_S, NOON_S - 7200, NOON_S - 7200 + KEEP_S))
    list(Kept(Source(), tmp_path, lambda: next(times_s), lambda: next(passed_s)).news())
    fleet = last_seen(tmp_path, NOON_S - 7200 + KEEP_S).fleet
    assert fleet is not None and fleet.told["fleet"] == "later"
