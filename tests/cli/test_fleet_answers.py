"""Peers as processes, asked through a gateway: its answers are those of a peer on its own, in every
dialect, whatever becomes of the hosts meanwhile.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import signal
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from threading import Lock
from typing import Any, cast

import pytest

from bench.live.peers import Peers, free_ports, peers_in, until
from bench.live.process import PeerProcess
from cortex.peer.keys.fleet_key import new_fleet_key

PATIENCE_S = 60.0
HERE = ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1")
ENGINE = ("--engine", "fake", "--model", "fake", "--fake-token-interval-ms", "10")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 9}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "parameters": SCHEMA}
# What differs from answer to answer, or by what a host has in its memory.
IDS = {"id", "item_id", "call_id", "request_id"}
VARYING = IDS | {"created", "created_at", "completed_at", "sequence_number", "cached_tokens"}
GROWING = {"content", "reasoning_content", "text", "arguments", "delta", "partial_json", "thinking"}

HARMS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)

Wish = tuple[str, dict[str, Any]]


def chat(text: str = "Tell me a tale.", **fields: Any) -> Wish:
    messages = [{"role": "user", "content": text}]
    body = {"messages": messages, "max_tokens": 40, "min_tokens": 40, "seed": 7, "temperature": 0.9}
    return "/v1/chat/completions", body | fields


def picture() -> str:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x80" * 32) * 32)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
    return f"data:image/png;base64,{data}"


def shown(url: str) -> list[dict[str, Any]]:
    return [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "?"},
                {"type": "image_url", "image_url": {"url": url}},
            ],
        }
    ]


ANSWERED: dict[str, Wish] = {
    "chat": chat(n=2, logprobs=True),
    "chat about a picture": chat(messages=shown(picture())),
    "chat with calls": chat(
        tools=[{"type": "function", "function": FUNCTION}], tool_choice="required", max_tokens=80
    ),
    "chat that reasons": chat(reasoning_effort="high"),
    "chat by a schema": chat(
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": SCHEMA}},
        max_tokens=80,
        min_tokens=0,
    ),
    "completions": ("/v1/completions", {"prompt": ["Once", "There"], "max_tokens": 30, "seed": 1}),
    "responses": (
        "/v1/responses",
        {
            "input": "Weather?",
            "max_output_tokens": 60,
            "temperature": 0,
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": "required",
        },
    ),
    "messages": (
        "/v1/messages",
        {
            "messages": [{"role": "user", "content": "Weather?"}],
            "max_tokens": 60,
            "temperature": 0,
            "tools": [{"name": "weather", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any"},
        },
    ),
}
OTHERS: dict[str, Wish] = {
    "embeddings": ("/v1/embeddings", {"input": ["one", "two"]}),
    "a count": ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "hi"}]}),
    "a bad picture": chat(messages=shown("data:image/png;base64,aGVsbG8=")),
    "a prompt too long": chat("x" * 40_000),
    "a bad schema": chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "w", "schema": {"type": "string", "pattern": "(["}},
        }
    ),
    "no such model": chat(model="fakee"),
    "too many dimensions": ("/v1/embeddings", {"input": "one", "dimensions": 100_000}),
}


@dataclass(frozen=True)
class Reply:
    status: int
    host: str
    told: dict[tuple[Any, ...], Any]


@dataclass(frozen=True)
class Lab:
    """A gateway and three hosts; `lone` is of another fleet, and nobody disturbs it."""

    peers: Peers
    gateway: PeerProcess
    lone: PeerProcess

    def heal(self) -> None:
        for peer in self.peers.all:
            peer.signal(signal.SIGCONT)
            if not peer.is_running:
                peer.start()
                peer.wait()
        until(self.peers.all_see_all, PATIENCE_S, "all see each other")
        until(self._are_all_warm, PATIENCE_S, "all hold the model")

    def named(self, name: str) -> PeerProcess:
        return next(peer for peer in self.peers.all if peer.name == name)

    def _are_all_warm(self) -> bool:
        models = self.gateway.get("/v1/models")["data"]
        return [place["state"] for model in models for place in model["where"]] == ["warm"] * 3


@pytest.fixture(scope="module")
def whole_lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    folder = tmp_path_factory.mktemp("peers")
    ours, theirs = (new_fleet_key(random.Random(seed).randbytes) for seed in (1, 2))
    with peers_in(folder / "a", ours) as peers, peers_in(folder / "b", theirs) as others:
        lone = others.make("lone", *HERE, *ENGINE, "--fleet-port", "0")
        others.start()
        ports = free_ports(3)
        joins = [word for port in ports for word in ("--join", f"127.0.0.1:{port}")]
        for name, port in zip(("ada", "bob", "cyd"), ports, strict=True):
            peers.make(name, *HERE, *ENGINE, "--fleet-port", str(port), *joins)
        open_to = ("--host", "127.0.0.1", "--metrics-host", "127.0.0.1", "--metrics-port", "0")
        port = ("--fleet-port", "0")
        gateway = peers.make("door", *HERE, *open_to, *port, *joins, command="gateway")
        peers.start()
        yield Lab(peers, gateway, lone)


@pytest.fixture
def lab(whole_lab: Lab) -> Lab:
    whole_lab.heal()
    return whole_lab


def ask(
    peer: PeerProcess,
    wish: Wish,
    *,
    is_streamed: bool = False,
    on_line: Callable[[int, str], None] = lambda number, host: None,
) -> Reply:
    """`on_line` is told of each line of data, by its number, and of the host."""
    path, body = wish
    body = {"model": "fake", **body} | ({"stream": True} if is_streamed else {})
    data: list[bytes] = []
    with closing(
        http.client.HTTPConnection(peer.host, peer.port, timeout=PATIENCE_S)
    ) as connection:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        host = reply.getheader("x-cortex-peer", "")
        for line in reply if is_streamed and reply.status == 200 else [b"data: " + reply.read()]:
            if line.startswith(b"data: "):
                data.append(line[6:])
                on_line(len(data), host)
    return Reply(reply.status, host, told([json.loads(d) for d in data if d[:1] == b"{"]))


def told(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], Any]:
    """What events say together, however it was cut into events."""
    said: dict[tuple[Any, ...], Any] = {}
    for event in events:
        for path, value in leaves(event, ()):
            is_more = path[-1] in GROWING and isinstance(value, str)
            said[path] = said.get(path, "") + value if is_more else value
    return said


def leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        parts = cast(dict[str, Any], value)
        which = (parts.get("type"), parts.get("index"), parts.get("output_index"))
        for name, part in parts.items():
            if name not in VARYING:
                yield from leaves(part, (*path, which, name))
    elif isinstance(value, list):
        for part in cast(list[Any], value):
            yield from leaves(part, path)
    elif value is not None:
        yield path, value


@pytest.mark.parametrize("name", [*ANSWERED, *OTHERS])
def test_a_gateway_answers_as_a_peer_on_its_own_does(lab: Lab, name: str) -> None:
    wish = (ANSWERED | OTHERS)[name]
    alone = ask(lab.lone, wish)
    through = ask(lab.gateway, wish)
    assert (through.status, through.told) == (alone.status, alone.told)
    if name in ANSWERED:
        assert alone.status == 200 and through.host in ("ada", "bob", "cyd")
        streamed = ask(lab.gateway, wish, is_streamed=True)
        assert streamed.told == ask(lab.lone, wish, is_streamed=True).told


@pytest.mark.parametrize(
    "harm", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=lambda harm: harm.name
)
def test_answers_go_on_elsewhere_in_every_dialect(lab: Lab, harm: signal.Signals) -> None:
    """A host comes to harm in the middle of an answer, and with it all others that it makes."""
    wishes = list(ANSWERED.values())
    alone = [ask(lab.lone, wish, is_streamed=True) for wish in wishes]
    plain = ask(lab.lone, chat())
    victims: list[PeerProcess] = []
    turn = Lock()

    def hurt(number: int, host: str) -> None:
        with turn:
            # An answer's head may have left before anybody knew who makes it.
            if number >= 8 and host and not victims:
                victims.append(lab.named(host))
                victims[0].signal(harm)

    with ThreadPoolExecutor(len(wishes) + 1) as pool:
        asking = [
            pool.submit(ask, lab.gateway, wish, is_streamed=True, on_line=hurt) for wish in wishes
        ]
        asking_plainly = pool.submit(ask, lab.gateway, chat())
        assert [each.result().told for each in asking] == [each.told for each in alone]
        assert asking_plainly.result().told == plain.told
    assert victims
    if harm is signal.SIGTERM:
        assert victims[0].end() == 0


def test_where_nobody_else_holds_the_model_the_client_is_told_so_soon(
    lab: Lab,
) -> None:
    """Both hosts that are left come to their end while they answer."""
    for peer in lab.peers.all:
        if peer.name in ("bob", "cyd"):
            peer.leave()
    words: list[str] = []

    def hurt(number: int, host: str) -> None:
        words.append(host)
        if number == 5:
            lab.named("ada").signal(signal.SIGKILL)

    reply = ask(lab.gateway, chat(), is_streamed=True, on_line=hurt)
    assert set(words) == {"ada"}
    [message] = [value for path, value in reply.told.items() if path[-1] == "message"]
    assert message.startswith("the answer of 'fake' broke off on ada, and no other peer takes it")
    assert "0x" not in message, "objects of the program are no concern of clients"
