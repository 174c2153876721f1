"""What one hop adds to an event: `python -m bench.hop [--out bench/results/hop.json]`.

Two processes on this machine's loopback, with certificates from both sides: a host with the fake
engine in children of its own, and an asker with a hop to it. The host notes when its node gives an
event, the asker when it has it; one monotonic clock serves both, so that their difference is what
the hop added. The same requests are put to the host's own node as well, for the whole of a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from cortex.engine.stream import Event, Piece, Resume, Vector
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.errors import NoPeer
from cortex.peer.fleet.trust import Trust, host_name
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.hop.host import HopHost
from cortex.peer.hop.messages import LeaseAsk, Leased
from cortex.peer.hop.pool import HopPool
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring
from cortex.peer.measure.statistics import percentile
from cortex.peer.models.shelf import Shelf
from cortex.peer.node import Node
from cortex.peer.observing.live import LiveRequest
from cortex.peer.orders.values import Order, Report
from cortex.peer.types import ModelInfo

from .report import arguments, written

HOST, ASKER = NodeId(b"the-host"), NodeId(b"an-asker")
MODEL = ModelId(b"weights.")
BAR_P50_MS = 1.5
_TOKENS, _INTERVAL_MS = 100, 20
_STREAMS = (1, 16, 64)
_LIMIT_S = 120.0

# By request: at which moment how many tokens of it had been given.
Stamps = dict[str, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Added:
    """What the hop added to each event, and how much longer a whole request took over it."""

    streams: int
    events: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    request_local_ms: float
    request_over_hop_ms: float


def added_ms(given: Mapping[str, Sequence[tuple[int, int]]], had: Stamps) -> list[float]:
    """Of each event the asker had, how long after the host gave it.

    Events may have come joined: then what counts is when the last token among them was given.
    """
    taken: list[float] = []
    for request, stamps in had.items():
        given_ns = {num_tokens: at_ns for num_tokens, at_ns in given[request]}
        taken += [(at_ns - given_ns[num_tokens]) / 1e6 for num_tokens, at_ns in stamps]
    return taken


class WeighedShelf(Shelf):
    """Every model on it has the weights that the asker means."""

    async def find(self, name: str) -> ModelInfo:
        return replace(await super().find(name), weights=MODEL)


class StampingNode(Node):
    """Notes when each event of a request leaves it. The request's routing key names it."""

    def __init__(self, config: PeerConfig) -> None:
        super().__init__(config)
        self.shelf = WeighedShelf(lambda: self.config)
        self.stamps: Stamps = {}

    async def serve(
        self,
        request: ChatRequest,
        live: LiveRequest | None = None,
        resume: Resume | None = None,
        num_losses: int = 0,
    ) -> AsyncGenerator[Event | Vector]:
        async with aclosing(super().serve(request, live, resume, num_losses)) as events:
            async for event in stamped(events, self.stamps.setdefault(request.routing_key, [])):
                yield event


async def stamped(
    events: AsyncGenerator[Event | Vector], stamps: list[tuple[int, int]]
) -> AsyncGenerator[Event | Vector]:
    num_tokens = 0
    async for event in events:
        if isinstance(event, Piece) and event.token_ids:
            num_tokens += len(event.token_ids)
            stamps.append((num_tokens, time.monotonic_ns()))
        yield event


def ask(name: str) -> ChatRequest:
    message = Message("user", (TextPart(f"bench {name}"),))
    return ChatRequest(
        "fake",
        (message,),
        seed=1,
        now_s=0,
        max_tokens=_TOKENS,
        ignore_eos=True,
        routing_key=name,
    )


def trust(node: NodeId) -> Trust:
    return Trust(Keyring(new_fleet_key(bytes)), node)


async def be_host(streams: Sequence[int]) -> None:
    """The host's process: says its port, serves until a line comes, says its stamps."""
    with tempfile.TemporaryDirectory() as folder:
        places = Locations(Path(folder) / "data", Path(folder) / "state")
        config = PeerConfig(
            places,
            engine="fake",
            fake_token_interval_ms=_INTERVAL_MS,
            max_live_requests=2 * max(streams),
        )
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(StampingNode(config))
            await node.preload("fake")
            runner = await _serving(HopHost("bench", node, _refuse_lease, _refuse_order))
            stack.push_async_callback(runner.cleanup)
            print(runner.addresses[0][1], flush=True)
            for num_streams in streams:
                await asyncio.to_thread(sys.stdin.readline)  # the asker has had its turn
                print(await _local_ms(node, num_streams), flush=True)
            print(json.dumps(node.stamps), flush=True)


async def _serving(host: HopHost) -> web.AppRunner:
    app = web.Application()
    app.add_routes(host.routes())
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust(HOST).server_context()).start()
    return runner


async def _refuse_order(_: Order) -> AsyncGenerator[Report]:
    raise NoPeer("this bench is not steered")
    yield  # a generator, though it never gets here


async def _refuse_lease(_: LeaseAsk) -> Leased:
    raise NoPeer("this bench decides nothing")


async def _local_ms(node: Node, streams: int) -> float:
    took = [_took_ms(node.serve(ask(f"local {streams} {n}")), []) for n in range(streams)]
    return statistics.median(await asyncio.gather(*took))


async def _took_ms(events: AsyncGenerator[Event | Vector], stamps: list[tuple[int, int]]) -> float:
    """How long a request took, in all; its events are noted."""
    began_ns = time.monotonic_ns()
    async with aclosing(events):
        async for _ in stamped(events, stamps):
            pass
    return (time.monotonic_ns() - began_ns) / 1e6


async def measure(streams: Sequence[int]) -> list[Added]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.hop", "--as-host", "--streams", *map(str, streams)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(_LIMIT_S):
            address = Address("127.0.0.1", int(await process.stdout.readline()))
            taken: list[tuple[Stamps, float, float]] = []
            for num_streams in streams:
                had, over_hop_ms = await _over_hop(address, num_streams)
                process.stdin.write(b"\n")
                taken.append((had, float(await process.stdout.readline()), over_hop_ms))
            given = msgspec.json.decode(await process.stdout.readline(), type=Stamps)
            return [figures(given, *one) for one in taken]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _over_hop(address: Address, streams: int) -> tuple[Stamps, float]:
    """When the asker had which event, and how long one request took."""
    names = [f"hop {streams} {n}" for n in range(streams)]
    had: Stamps = {name: [] for name in names}
    dialler = Dialler(lambda _: [address], trust(ASKER).client_context, host_name)
    async with HopPool(dialler, lambda _: None) as hops:
        await hops.count(HOST, MODEL, ask("the connection is made"))
        took = [_took_ms(hops.ask(HOST, MODEL, ask(name)), had[name]) for name in names]
        return had, statistics.median(await asyncio.gather(*took))


def figures(given: Stamps, had: Stamps, local_ms: float, over_hop_ms: float) -> Added:
    taken = added_ms(given, had)
    return Added(
        streams=len(had),
        events=len(taken),
        p50_ms=statistics.median(taken),
        p99_ms=percentile(taken, 99),
        max_ms=max(taken),
        request_local_ms=local_ms,
        request_over_hop_ms=over_hop_ms,
    )


def report(measured: Sequence[Added]) -> dict[str, Any]:
    return {
        "tokens": _TOKENS,
        "token_interval_ms": _INTERVAL_MS,
        "bar_p50_ms": BAR_P50_MS,
        "is_met": all(one.p50_ms <= BAR_P50_MS for one in measured),
        "measured": msgspec.to_builtins(measured),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=_STREAMS)
    parser.add_argument("--as-host", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_host:
        asyncio.run(be_host(args.streams))
        return
    measured = asyncio.run(measure(args.streams))
    for one in measured:
        print(
            f"{one.streams:>3} streams  p50 {one.p50_ms:.3f} ms  p99 {one.p99_ms:.3f} ms"
            f"  request {one.request_local_ms:.0f} ms, over it {one.request_over_hop_ms:.0f} ms"
        )
    what = "ms that one hop adds to an event, on loopback with TLS"
    written(args.out, what, **report(measured))


if __name__ == "__main__":
    main()
