"""A fleet that is only told: one address that answers as a peer does to whoever looks on.

All of its peers change every second, as busy ones do; nothing computes, and nobody else is there.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_GIB = 1024**3


class ToldFleet:
    """A server in threads of its own, for as long as it is entered."""

    def __init__(self, num_peers: int) -> None:
        self._server = _Server(num_peers)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ToldFleet:
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._server.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, num_peers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Telling)
        self.num_peers = num_peers
        self.ended = threading.Event()


class _Telling(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/fleet/events":
            self._tell()
        else:
            self._answer(_closely(self.path.rpartition("/")[2]))

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _tell(self) -> None:
        assert isinstance(self.server, _Server)
        self.send_response(200)
        self.end_headers()
        peers = [_peer(number, 0) for number in range(self.server.num_peers)]
        told = {"fleet": "3fa2c1d0", "self": peers[0]["node"], "peers": peers, "notices": []}
        chunk, second = _named("snapshot", told), 0
        while True:
            try:
                self.wfile.write(chunk)
            except OSError:
                return
            if self.server.ended.wait(1.0):
                return
            second += 1
            numbers = range(self.server.num_peers)
            chunk = b"".join(_named("peer", _peer(number, second)) for number in numbers)


def _named(event: str, told: dict[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(told)}\n\n".encode()


def _peer(number: int, second: int) -> dict[str, Any]:
    step = second * 7 + number
    free_bytes = (20 + step % 40) * _GIB
    device = {"name": "NVIDIA H100 80GB", "memory_bytes": 80 * _GIB, "free_bytes": free_bytes}
    model: dict[str, Any] = {
        "id": "qwen3.6-27b",
        "state": "ready",
        "percent": None,
        "computes_in": "fast mode, bfloat16",
        "size_bytes": 51 * _GIB,
        "running": step % 16,
        "waiting": step % 5,
    }
    return {
        "node": f"{number:016x}",
        "name": f"peer-{number:03}",
        "state": "up",
        "api": f"10.0.0.{number % 250}:13131",
        "address": f"10.0.0.{number % 250}:13132",
        "devices": [device, device],
        "models": [model],
        "stored": [{"id": "qwen3.6-27b"}, {"id": "qwen3.5-4b"}],
        "load": {
            "inflight": step % 16,
            "queued": step % 5,
            "decode_tokens_per_s": 500 + step * 37 % 1500,
            "first_token_ms": 200 + step % 90,
            "kv_percent": 5,
            "age_s": 0.4,
        },
        "silent_s": step % 9 / 10,
        "build": "0.1.0",
        "roles": [],
        "cores": 64,
    }


def _closely(node: str) -> dict[str, Any]:
    parts = [
        {"what": "weights", "bytes": 25 * _GIB},
        {"what": "cache", "bytes": 20 * _GIB},
        {"what": "other", "bytes": 2 * _GIB},
    ]
    device: dict[str, Any] = {
        "name": "NVIDIA H100 80GB",
        "kind": "gpu",
        "memory_bytes": 80 * _GIB,
        "free_bytes": 30 * _GIB,
        "foreign_bytes": 0,
        "utilisation": 0.92,
        "temperature_c": 61,
        "power_w": 412,
        "models": [{"id": "qwen3.6-27b", "state": "ready", "parts": parts}],
    }
    rates = {
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
        "evictions_5m": 0,
    }
    return {
        "node": node,
        "name": node,
        "version": "0.1.0",
        "uptime_s": 7300.0,
        "api": None,
        "key_id": "3fa2c1d0",
        "devices": [device, device],
        "rates": rates,
        "round_trips": [],
        "events": [],
    }
