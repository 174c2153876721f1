"""What a peer tells of its fleet, as a test makes it up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

GIB = 1024**3
MOMENT = datetime(2026, 11, 21, 14, 2, 25).astimezone()


def model(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "weights": "77" * 8,
        "state": "ready",
        "percent": None,
        "computes_in": "fast mode, bfloat16",
        "size_bytes": 51 * GIB,
        "context_tokens": 262144,
        "running": 9,
        "waiting": 0,
        **changes,
    }


def peer(name: str, **changes: Any) -> dict[str, Any]:
    device = {"name": "NVIDIA H100 80GB", "memory_bytes": 80 * GIB, "free_bytes": 20 * GIB}
    device |= {"utilisation": 0.88}
    return {
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
        **changes,
    }


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
    return {
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
        **changes,
    }


def listed(id: str, size_gib: float, **changes: Any) -> dict[str, Any]:
    """A model of `GET /models`; on no peer's disk unless told so."""
    return {
        "id": id,
        "weights": "77aa01fe" * 2,
        "aliases": [],
        "size_bytes": int(size_gib * GIB),
        "context_tokens": 262144,
        "capabilities": ["text", "vision"],
        "warm": [],
        "cold": [],
        **changes,
    }


def job(kind: str, model: str, peer: str, **changes: Any) -> dict[str, Any]:
    return {
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
        **changes,
    }


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
    return {
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
        **changes,
    }


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
    return {
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
        **changes,
    }


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
    return {
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
        **changes,
    }


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
