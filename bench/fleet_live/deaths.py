"""What a death does: how soon nobody asks a peer any more, and how long a stream waits, for its
next word or for the word that there is none.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..live.peers import Peers, free_ports, until
from ..live.process import PeerProcess
from .meeting import fleet_of, settle

# A stream's pieces come so often; its death comes after so many.
TOKEN_MS = 20
TOKENS_BEFORE = 25
MAX_TOKENS = 100
NUM_ROUNDS = 3
NUM_PEERS = 3
Harm = Callable[[PeerProcess], None]
HARMS: Mapping[str, Harm] = {
    "kill -9": PeerProcess.kill,
    "SIGSTOP": lambda victim: victim.signal(signal.SIGSTOP),
}


def routed_around(peers: Peers) -> Mapping[str, float]:
    fleet_of(peers, NUM_PEERS, "--model", "fake")
    killed_s = statistics.median(_killed_s(peers) for _ in range(NUM_ROUNDS))
    halted_s = statistics.median(_halted_s(peers) for _ in range(NUM_ROUNDS))
    return {
        "killed and asked: out of routing, s": killed_s,
        "halted: out of routing, s": halted_s,
    }


def _killed_s(peers: Peers) -> float:
    """From the question that found nobody there: several are asked, because not all go there."""
    victim, *others = peers.all
    victim.kill()
    begun_s = time.monotonic()
    for number in range(8):
        begun_s = time.monotonic()
        others[0].post("/v1/chat/completions", _body(f"question {number}", 1, stream=False))
        if not _is_up(victim, others[:1]):
            break
    until(lambda: not _is_up(victim, others[:1]), 30.0, "the dead are avoided")
    taken_s = time.monotonic() - begun_s
    settle(peers)
    return taken_s


def _halted_s(peers: Peers) -> float:
    victim, *others = peers.all
    victim.signal(signal.SIGSTOP)
    try:
        return until(lambda: not _is_up(victim, others), 30.0, "the halted are avoided")
    finally:
        victim.signal(signal.SIGCONT)
        settle(peers)


def _is_up(peer: PeerProcess, observers: Sequence[PeerProcess]) -> bool:
    return any(other.states()[peer.name] == "up" for other in observers)


def gaps(peers: Peers) -> Mapping[str, float]:
    fleet_of(peers, NUM_PEERS, "--model", "fake", "--fake-token-interval-ms", str(TOKEN_MS))
    until(lambda: all(_holds(peer) for peer in peers.all), 30.0, "all tell of their model")
    return {
        f"gap in a stream after {name}, s": statistics.median(
            _gap_s(peers, f"{name} {number}", harm) for number in range(NUM_ROUNDS)
        )
        for name, harm in (*HARMS.items(), ("kill -9 of its engine", _kill_engine))
    }


def errors(peers: Peers) -> Mapping[str, float]:
    """Where nobody else has the model: until the client is told so."""
    port, gateway_port = free_ports(2)
    alone = ("--no-mdns", "--fleet-host", "127.0.0.1", "--join", f"127.0.0.1:{port}")
    engine = ("--engine", "fake", "--model", "fake", "--fake-token-interval-ms", str(TOKEN_MS))
    holder = peers.make("holder", *alone, *engine, "--port", "0", "--fleet-port", str(port))
    here = ("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
    gateway = peers.make(
        "gateway", *alone, *here, "--fleet-port", str(gateway_port), command="gateway"
    )
    return {
        f"error without another holder after {name}, s": statistics.median(
            _error_s(peers, gateway, holder, harm) for _ in range(NUM_ROUNDS)
        )
        for name, harm in HARMS.items()
    }


def _error_s(peers: Peers, gateway: PeerProcess, holder: PeerProcess, harm: Harm) -> float:
    settle(peers)
    until(lambda: len(gateway.get("/v1/models")["data"]) > 0, 30.0, "the model is known")
    harmed_s = 0.0
    for number, _ in enumerate(_answer(gateway, "a question")):
        if number == TOKENS_BEFORE:
            harm(holder)
            harmed_s = time.monotonic()
    error_s = time.monotonic() - harmed_s
    holder.signal(signal.SIGCONT)
    return error_s


def _kill_engine(victim: PeerProcess) -> None:
    (engine,) = victim.get("/healthz")["engines"]
    os.kill(engine["pid"], signal.SIGKILL)


def _holds(peer: PeerProcess) -> bool:
    return all(other["models"] for other in peer.fleet()["peers"])


def _gap_s(peers: Peers, topic: str, harm: Harm) -> float:
    ingress = peers.all[0]
    question, victim = next(
        (question, peer)
        for question in (f"{topic} {number}" for number in range(64))
        for peer in peers.all[1:]
        if next(iter(_answer(ingress, question)))[0] == peer.name
    )
    longest_s, last_s = 0.0, 0.0
    try:
        for number, _ in enumerate(_answer(ingress, question)):
            now_s = time.monotonic()
            if number >= TOKENS_BEFORE:
                longest_s = max(longest_s, now_s - last_s)
            last_s = now_s
            if number == TOKENS_BEFORE - 1:
                harm(victim)
    finally:
        victim.signal(signal.SIGCONT)
    settle(peers)
    until(lambda: all(_holds(peer) for peer in peers.all), 30.0, "all tell of their model")
    return longest_s


def _answer(peer: PeerProcess, question: str) -> Iterator[tuple[str, str]]:
    """Its host with each piece."""
    connection = http.client.HTTPConnection(peer.host, peer.port, timeout=30)
    body = json.dumps(_body(question, MAX_TOKENS, stream=True))
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    reply = connection.getresponse()
    host = reply.headers["x-cortex-peer"]
    for line in reply:
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            choices = event.get("choices")  # none in an error, nor in the last words
            if choices and (text := choices[0]["delta"].get("content")):
                yield host, text
    connection.close()


def _body(question: str, max_tokens: int, *, stream: bool) -> dict[str, object]:
    return {
        "model": "fake",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "seed": 1,
        "stream": stream,
    }
