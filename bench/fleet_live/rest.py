"""What a fleet costs at rest, who loads a cold model, and whether strain looks like death."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

import aiohttp

from ..live.peers import Peers, until
from ..live.process import PeerProcess
from .meeting import fleet_of

NUM_INGRESSES, NUM_REQUESTS = 10, 100
IDLE_S = 30.0
FLOOD_S, FLOOD_BYTES = 60.0, 64 << 20
BURN_S = 30.0
_GOSSIP = re.compile(
    r'^cortex_gossip_bytes_total\{direction="(?:out|sent)"[^}]*\} (\S+)$', re.MULTILINE
)


def cold_burst(peers: Peers) -> Mapping[str, float]:
    """All at once, and then: who has loaded it?"""
    settings = peers.folder / "cortex.toml"
    # Room for all at one peer: where there is none, another one loads the model as it should.
    settings.write_text(f"[engine]\nmax_requests = {2 * NUM_REQUESTS}\n")
    fleet_of(peers, NUM_INGRESSES, "--config", str(settings))
    until(lambda: all(_knows_all(peer) for peer in peers.all), 60.0, "all know all models")
    refused = asyncio.run(_burst(peers))
    time.sleep(2.0)
    told = peers.all[0].fleet()["peers"]
    loaders = sum(bool(peer["models"]) for peer in told)
    what = f"{NUM_REQUESTS} first requests on {NUM_INGRESSES} ingresses"
    return {f"loaders of {what}": loaders, f"refused of {what}": refused}


def _knows_all(peer: PeerProcess) -> bool:
    told = peer.fleet()["peers"]
    return len(told) == NUM_INGRESSES and all(other["stored"] for other in told)


async def _burst(peers: Peers) -> int:
    """How many were not answered."""
    async with aiohttp.ClientSession() as session:
        asked = (
            _ask(session, peers.all[number % NUM_INGRESSES], number)
            for number in range(NUM_REQUESTS)
        )
        return NUM_REQUESTS - sum(await asyncio.gather(*asked))


async def _ask(session: aiohttp.ClientSession, peer: PeerProcess, number: int) -> bool:
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": f"first {number}"}],
        "max_tokens": 4,
    }
    url = f"http://{peer.host}:{peer.port}/v1/chat/completions"
    async with session.post(url, json=body) as reply:
        if reply.status != 200:
            print(f"  {peer.name}: {reply.status} {(await reply.text())[:200]}")
        return reply.status == 200


def idle_bytes_per_s(peers: Peers) -> Mapping[str, float]:
    fleet_of(peers, 3)
    time.sleep(5.0)
    before = [_said_bytes(peer) for peer in peers.all]
    time.sleep(IDLE_S)
    said = [_said_bytes(peer) - old for peer, old in zip(peers.all, before, strict=True)]
    return {"idle, bytes/s/peer": max(said) / IDLE_S}


def _said_bytes(peer: PeerProcess) -> float:
    found = _GOSSIP.search(peer.text("/metrics"))
    assert found is not None, "the peer tells how much it gossips"
    return float(found[1])


def suspicions_under_load(peers: Peers) -> Mapping[str, float]:
    fleet_of(peers, 3)
    flooded = _suspicions(peers, lambda: asyncio.run(_flood(peers.all[0])))
    burnt = _suspicions(peers, _burn)
    return {
        "suspicions during 64 MiB a second for 60 s": flooded,
        "suspicions during 30 s of busy processors": burnt,
    }


def _suspicions(peers: Peers, act: Callable[[], None]) -> int:
    """How often somebody held somebody else for anything but up."""
    seen: list[str] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.25):
            for peer in peers.all[1:]:
                seen.extend(state for state in peer.states().values() if state != "up")

    watcher = threading.Thread(target=watch)
    watcher.start()
    act()
    is_over.set()
    watcher.join()
    return len(seen)


async def _flood(peer: PeerProcess) -> None:
    """A large body each second; what is answered is no matter."""
    body = b'{"model": "fake", "messages": "' + bytes(FLOOD_BYTES - 64).replace(b"\0", b"x") + b'"}'
    headers = {"content-type": "application/json"}
    url = f"http://{peer.host}:{peer.port}/v1/chat/completions"
    end_s = time.monotonic() + FLOOD_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end_s:
            begun_s = time.monotonic()
            async with session.post(url, data=body, headers=headers) as reply:
                await reply.read()
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - begun_s)))


def _burn() -> None:
    """More busy loops than processors: what loading a model is to its neighbours."""
    program = f"import time; end = time.monotonic() + {BURN_S}\nwhile time.monotonic() < end: pass"
    loops = [
        subprocess.Popen([sys.executable, "-c", program]) for _ in range(2 * (os.cpu_count() or 1))
    ]
    for loop in loops:
        loop.wait()
