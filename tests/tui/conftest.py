"""A dashboard whose news come from the test, and whose clock the test turns."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Generator, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from cortex.peer.errors import NoPeer
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.feed import Lost, News, Seen
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import read_picture
from cortex.tui.acting import Acting, ReadOnly
from cortex.tui.app import CortexApp
from cortex.tui.options import Options

GIB = 1024**3
MOMENT = datetime(2026, 11, 21, 14, 2, 25)


class FakeFeed:
    """Gives what the test puts into it."""

    def __init__(self) -> None:
        self.is_closed = False
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()

    def say(
        self,
        told: dict[str, Any],
        address: str = "127.0.0.1:13131",
        happened: str = "",
        at: datetime = MOMENT,
    ) -> None:
        one = Happening(at.timestamp(), "atlas", "unloaded", "m", happened)
        self._news.put(Seen(address, Sight(told, read_picture(told), one if happened else None)))

    def lose(self, address: str | None = "127.0.0.1:13131", retry_s: float = 2.0) -> None:
        self._news.put(Lost(address, NoPeer(f"no peer answers at {address}"), retry_s))

    def news(self) -> Generator[News]:
        while (news := self._news.get()) is not None:
            yield news

    def close(self) -> None:
        self.is_closed = True
        self._news.put(None)


class _Answered:
    """Answers are the test's, by what is asked; an error among them is raised."""

    def __init__(self) -> None:
        super().__init__(lambda: [])  # type: ignore[call-arg]
        self.orders: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.is_closed = False

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        self.orders.append((method, path, body))
        answer = self.answers.get(f"{method} {path}", {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True


class FakeActing(_Answered, Acting): ...


class FakeReadOnly(_Answered, ReadOnly): ...


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 14, 2, 31)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def model(id: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": id,
        "weights": "77" * 8,
        "state": "ready",
        "percent": None,
        "computes_in": "fast mode, bfloat16",
        "size_bytes": 51 * GIB,
        "context_tokens": 262144,
        "running": 9,
        "waiting": 0,
    }
    return {**fields, **changes}


def peer(name: str, **changes: Any) -> dict[str, Any]:
    device = {"name": "NVIDIA H100 80GB", "memory_bytes": 80 * GIB, "free_bytes": 20 * GIB}
    fields: dict[str, Any] = {
        "node": name[:2] * 8,
        "name": name,
        "state": "up",
        "api": f"{name}:13131",
        "address": f"{name}:13132",
        "devices": [device, device],
        "models": [model("qwen3.6-27b")],
        "stored": [{"id": "qwen3.6-27b"}, {"id": "qwen3.5-0.8b"}],
        "load": {
            "inflight": 9,
            "queued": 2,
            "decode_tokens_per_s": 1904,
            "first_token_ms": 210,
            "kv_percent": 5,
            "age_s": 0.4,
        },
        "silent_s": 0.3,
        "build": "0.1.0",
        "roles": [],
        "cores": 64,
    }
    return {**fields, **changes}


def fleet(peers: Iterable[dict[str, Any]], notices: Iterable[str] = ()) -> dict[str, Any]:
    """The first one is asked."""
    told = list(peers)
    return {
        "fleet": "3fa2c1d05b9e7a44",
        "self": told[0]["node"],
        "peers": told,
        "notices": list(notices),
    }


def four_peers() -> dict[str, Any]:
    small = {"name": "NVIDIA GeForce RTX 4090", "memory_bytes": 24 * GIB, "free_bytes": 9 * GIB}
    loading = model("qwen3.5-9b", state="loading", percent=74, running=None, waiting=None)
    return fleet(
        [
            peer("atlas"),
            peer("borea", devices=[small], models=[model("qwen3.5-4b")]),
            peer("cirrus", state="loading", devices=[small], models=[loading], load=None),
            peer("delta", state="suspect", devices=[], silent_s=6.1),
        ]
    )


def warm(peer: str, **changes: Any) -> dict[str, Any]:
    """A model in an engine, as `GET /models` tells it."""
    fields: dict[str, Any] = {
        "peer": peer,
        "device": 0,
        "state": "ready",
        "percent": None,
        "context_tokens": 32768,
        "slots": 4,
        "reserved_bytes": 74 * GIB,
        "pinned": False,
        "priority": 0,
        "running": 0,
        "waiting": 0,
    }
    return {**fields, **changes}


def listed(id: str, size_gib: float, **changes: Any) -> dict[str, Any]:
    """A model of `GET /models`; on no peer's disk unless told so."""
    fields: dict[str, Any] = {
        "id": id,
        "weights": "77aa01fe" * 2,
        "aliases": [],
        "size_bytes": int(size_gib * GIB),
        "context_tokens": 262144,
        "capabilities": ["text", "vision"],
        "warm": [],
        "cold": [],
    }
    return {**fields, **changes}


def job(kind: str, model: str, peer: str, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": f"job_{peer}_1",
        "kind": kind,
        "state": "running",
        "peer": peer,
        "model": model,
        "device": 0,
        "stage": "loading",
        "done": 13_200_000_000,
        "total": 17_900_000_000,
        "unit": "bytes",
        "rate_per_s": 1.6e9,
        "eta_s": 2.9,
        "seconds": 8.3,
        "error": None,
        "placement": None,
    }
    return {**fields, **changes}


def some_models() -> dict[str, Any]:
    """What the fleet of four answers to the screen of the models."""
    error = {"code": "model_invalid", "message": "model.safetensors is cut off", "hint": "get it"}
    return {
        "GET /models": {
            "models": [
                listed("qwen3.6-27b", 51.2, warm=[warm("atlas", running=9, waiting=2)]),
                listed(
                    "qwen3.5-4b",
                    8.1,
                    warm=[warm("borea", pinned=True, running=3), warm("delta", running=None)],
                ),
                listed(
                    "qwen3.5-9b",
                    17.9,
                    warm=[warm("cirrus", state="loading", percent=74, running=2)],
                ),
                listed(
                    "qwen3.5-0.8b",
                    1.6,
                    context_tokens=32768,
                    capabilities=["text"],
                    cold=[{"peer": name, "eta_s": 2.2} for name in ("atlas", "borea", "cirrus")],
                ),
                listed("broken-2b", 4.4, cold=[{"peer": "atlas", "eta_s": None}]),
                listed("qwen3.6-35b-a3b", 66.9, cold=[{"peer": "atlas", "eta_s": 14.2}]),
                listed("qwen3.6-235b", 438.0, cold=[{"peer": "atlas", "eta_s": 90.0}]),
            ]
        },
        "GET /jobs?fleet=1": {
            "jobs": [
                job("load", "qwen3.5-9b", "cirrus"),
                job("load", "broken-2b", "atlas", state="failed", stage=None, error=error),
            ],
            "missing": [],
        },
    }


def request(id: str, **changes: Any) -> dict[str, Any]:
    """A request under way, as `GET /requests` tells it."""
    fields: dict[str, Any] = {
        "id": f"req_{id}",
        "peer": "atlas",
        "host": "atlas",
        "model": "qwen3.6-27b",
        "dialect": "openai",
        "key": "",
        "stage": "decode",
        "prompt_tokens": 3830,
        "completion_tokens": 43,
        "seconds": 1.22,
        "first_token_s": 0.62,
        "start": "warm",
        "queue_s": 0.01,
        "evicted": [],
        "failovers": 0,
    }
    return {**fields, **changes}


def some_requests() -> dict[str, Any]:
    """What the fleet of four answers to the screen of the requests."""
    new: dict[str, Any] = {
        "completion_tokens": 0,
        "first_token_s": None,
        "start": None,
        "queue_s": None,
    }
    prefill = {"stage": "prefill", "done": 41, "total": 100, "unit": "tokens"}
    loading = {"stage": "loading", "done": 74, "total": 100, "unit": "bytes", "peer": "borea"}
    queued = {"stage": "queued", "done": 1, "total": 0, "unit": "place"}
    return {
        "GET /requests?fleet=1": {
            "requests": [
                request("7f3a" * 6),
                request("7f39" * 6, prompt_tokens=98_104, seconds=6.8, **(new | prefill)),
                request(
                    "7f35" * 6,
                    model="qwen3.5-9b",
                    host="cirrus",
                    prompt_tokens=212,
                    seconds=4.0,
                    failovers=1,
                    **(new | loading),
                ),
                request("7f31" * 6, prompt_tokens=1412, seconds=0.9, **(new | queued)),
            ],
            "missing": [],
        }
    }


def plan(peer: str, **changes: Any) -> dict[str, Any]:
    """A plan with a victim, as `POST /models/plan` tells it."""
    victim = {"id": "qwen3.6-27b", "weights": "77", "bytes": 69 * GIB, "idle_s": 240.0}
    fields: dict[str, Any] = {
        "node": "at" * 8,
        "peer": peer,
        "device": 0,
        "device_name": "H100 80GB",
        "is_there": False,
        "context_tokens": 32768,
        "slots": 4,
        "bytes": int(74.3 * GIB),
        "parts": [
            {"name": "weights", "bytes": int(66.9 * GIB), "note": ""},
            {"name": "keys and values", "bytes": 6 * GIB, "note": "for 4 of 32,768 tokens"},
            {"name": "pictures", "bytes": int(1.4 * GIB), "note": "one at a time"},
        ],
        "free_bytes": 11 * GIB,
        "victims": [victim | {"reload_s": 11.4}],
        "free_after_bytes": int(5.7 * GIB),
        "seconds": 14.2,
    }
    return {**fields, **changes}


def closely(name: str, **changes: Any) -> dict[str, Any]:
    """What `GET /fleet/peers/NAME` tells of a peer of two devices, one of them busy."""
    parts = {"weights": 25.6, "cache": 20.5, "image": 1.4, "other": 2.2}
    busy = {
        "name": "NVIDIA H100 80GB",
        "kind": "gpu",
        "memory_bytes": 80 * GIB,
        "free_bytes": 20 * GIB,
        "utilisation": 0.92,
        "temperature_c": 61,
        "power_w": 412,
        "foreign_bytes": 10 * GIB,
        "models": [
            {
                "id": "qwen3.6-27b",
                "state": "ready",
                "parts": [{"what": what, "bytes": int(n * GIB)} for what, n in parts.items()],
            }
        ],
    }
    unknown = {"utilisation": None, "temperature_c": None, "power_w": None}
    rest: dict[str, Any] = {"free_bytes": 79 * GIB, "foreign_bytes": GIB, "models": []}
    fields: dict[str, Any] = {
        "node": name[:2] * 8,
        "name": name,
        "version": "0.1.0",
        "uptime_s": 7300.0,
        "api": f"{name}:13131",
        "key_id": "3fa2c1d0",
        "devices": [busy, {**busy, **unknown, **rest}],
        "rates": {
            "decode_tokens_per_s": 1904.0,
            "prompt_tokens_per_s": 8000.0,
            "running": 9,
            "waiting": 2,
            "ttft_p50_s": 0.21,
            "ttft_p95_s": 0.84,
            "cached_ratio": 0.63,
            "requests_5m": 412,
            "errors_5m": 0,
            "failovers_5m": 0,
            "evictions_5m": 1,
        },
        "round_trips": [{"peer": "borea", "ms": 0.42}, {"peer": "cirrus", "ms": 12.6}],
        "events": [{"time": MOMENT.timestamp(), "text": "loaded qwen3.6-27b in 11.4 s"}],
    }
    return {**fields, **changes}


def refusal(peer: str, reason: str, words: str, wait_s: float | None = None) -> dict[str, Any]:
    return {
        "node": peer[:2] * 8,
        "peer": peer,
        "device": 0,
        "device_name": "GeForce RTX 4090",
        "reason": reason,
        "words": words,
        "short_bytes": 0,
        "needed_bytes": 0,
        "wait_s": wait_s,
    }


def planned(
    model: str, plan: dict[str, Any] | None, refusals: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    return {"model": model, "plan": plan, "others": [], "refusals": list(refusals)}


@pytest.fixture
def feed() -> FakeFeed:
    return FakeFeed()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def acting() -> FakeActing:
    return FakeActing()


@pytest.fixture
def read_only() -> FakeReadOnly:
    """In the place of `acting`: looks on, and orders nothing."""
    return FakeReadOnly()


@pytest.fixture
def make_app(feed: FakeFeed, clock: Clock, acting: FakeActing) -> Callable[..., CortexApp]:
    """With a beat that does not come by itself in the time of a test."""

    def make(
        acting: Acting = acting, refresh_s: float = 1000.0, before: Any = None, **options: Any
    ) -> CortexApp:
        return CortexApp(feed, acting, Options("borea:13131", refresh_s, **options), clock, before)

    return make


@pytest.fixture
def before(clock: Clock) -> tuple[Sight, datetime]:
    """The fleet of four, as it was some minutes ago."""
    told = four_peers()
    return Sight(told, read_picture(told)), clock.now - timedelta(minutes=3)


@pytest.fixture
def told() -> Any:
    """How a peer's words about its fleet are made up."""
    return SimpleNamespace(
        model=model,
        peer=peer,
        fleet=fleet,
        four_peers=four_peers,
        warm=warm,
        listed=listed,
        job=job,
        some_models=some_models,
        request=request,
        some_requests=some_requests,
        plan=plan,
        refusal=refusal,
        planned=planned,
        closely=closely,
        moment=MOMENT,
    )


async def _until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """The feed speaks from another thread."""
    for _ in range(500):
        await pilot.pause(0.01)
        if condition():
            return
    raise AssertionError(_screen(pilot))


def _screen(pilot: Pilot[None]) -> str:
    """All that can be read, line by line."""
    app = pilot.app
    lines = app.screen._compositor.render_strips(app.size)  # pyright: ignore[reportPrivateUsage]
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def _shown(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).content)


@pytest.fixture
def eyes() -> Any:
    """What stands on the screen, and waiting for it."""
    return SimpleNamespace(until=_until, screen=_screen, shown=_shown)


_PICTURES = Path(__file__).parent / "pictures"


@pytest.fixture
def looks_like(tmp_path: Path) -> Any:
    """`await looks_like(pilot, "name")`: the screen, cell by cell, is the picture of that name.

    With WRITE_PICTURES=1 in the environment the pictures are written instead: then look at them.
    """

    async def compare(pilot: Pilot[None], name: str) -> None:
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()
        svg = pilot.app.export_screenshot(title=name)
        picture = _PICTURES / f"{name}.svg"
        if os.environ.get("WRITE_PICTURES"):
            picture.write_text(svg)
        elif not picture.exists() or picture.read_text() != svg:
            now = tmp_path / picture.name
            now.write_text(svg)
            raise AssertionError(f"{now} is not as {picture}; it reads:\n{_screen(pilot)}")

    return compare
