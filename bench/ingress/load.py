"""The load, in a process of its own: `python -m bench.ingress.load JOB`, figures on its output.

Each kind of load is one function: a closed loop for requests a second, an open one for latency,
many streams for their lag, one picture for memory. The ingress's CPU time and memory are read from
/proc meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import msgspec

from ..machine import cpu_s, forget_peak, peak_bytes, resident_bytes
from . import canned, frames_load
from .canned import EVENTS_PER_S, Wish
from .exchange import EventExchange, Exchange, request_bytes
from .figures import Closed, Figures, Open, Picture, Streams, lag_of, latency_of

_WARM_S = 0.5
# Streams that have just begun are not in their stride: so long is not counted.
_STREAM_WARM_S = 1.5
# After a reply so much later its memory has been given back, or is kept.
_SETTLE_S = 0.3
_NUM_OPEN_CONNECTIONS = 32
_NUM_PICTURES = 5
_PATIENCE_S = 60.0

E_ = TypeVar("E_", bound=Exchange)


class Job(msgspec.Struct, frozen=True):
    """What to do to whom. `pid` is the ingress; `path` "/" is asked with a GET. The sockets are the
    backend's, for who asks it in frames.
    """

    kind: str
    port: int
    pid: int
    path: str = canned.PATH
    connections: int = 32
    seconds: float = 3.0
    per_s: int = 100
    groups: int = 8
    text_socket: str = ""
    engine_socket: str = ""


async def closed(job: Job) -> Closed:
    """Each connection asks again as soon as it has its answer."""
    request = _plain_request(job)
    num_ended = 0

    def again(exchange: Exchange, now_s: float) -> None:
        nonlocal num_ended
        num_ended += 1
        exchange.send(request)

    exchanges = [await _connect(job, lambda: Exchange(again)) for _ in range(job.connections)]
    for exchange in exchanges:
        exchange.send(request)
    await asyncio.sleep(_WARM_S)
    began_s, before_s, num_before = time.monotonic(), cpu_s(job.pid), num_ended
    await asyncio.sleep(job.seconds)
    took_s = time.monotonic() - began_s
    used_s, num_requests = cpu_s(job.pid) - before_s, num_ended - num_before
    _leave(exchanges)
    return Closed(num_requests / took_s, used_s / took_s, used_s / max(1, num_requests))


async def open_loop(job: Job) -> Open:
    """So many requests a second, whether the last ones have been answered or not."""
    request = _plain_request(job)
    latencies_s: list[float] = []
    idle: list[Exchange] = []

    def done(exchange: Exchange, now_s: float) -> None:
        latencies_s.append(now_s - exchange.sent_s)
        idle.append(exchange)

    exchanges = [await _connect(job, lambda: Exchange(done)) for _ in range(_NUM_OPEN_CONNECTIONS)]
    idle += exchanges
    due_s = time.monotonic()
    num_requests = round((_WARM_S + job.seconds) * job.per_s)
    for _ in range(num_requests):
        due_s += 1 / job.per_s
        await asyncio.sleep(due_s - time.monotonic())
        if not idle:  # all are waiting for an answer: one more then
            exchanges.append(await _connect(job, lambda: Exchange(done)))
            idle.append(exchanges[-1])
        idle.pop().send(request)
    async with asyncio.timeout(_PATIENCE_S):
        while len(idle) < len(exchanges):
            _check(exchanges)
            await asyncio.sleep(0.01)
    _leave(exchanges)
    return latency_of(latencies_s[round(_WARM_S * job.per_s) :])


async def frames(job: Job) -> Open:
    """The same to the backend in frames, one request at a time: each is done long before the next
    is due.
    """
    client = await frames_load.connect(job.text_socket, job.engine_socket)
    await client.load()
    latencies_s: list[float] = []
    due_s = time.monotonic()
    for _ in range(round((_WARM_S + job.seconds) * job.per_s)):
        due_s += 1 / job.per_s
        await asyncio.sleep(due_s - time.monotonic())
        latencies_s.append(await client.ask())
    await client.close()
    return latency_of(latencies_s[round(_WARM_S * job.per_s) :])


async def streams(job: Job) -> Streams:
    """Many streams at once, each at its pace; the time in which all of them run is counted."""
    seconds = _STREAM_WARM_S + job.seconds + _STREAM_WARM_S
    wish = Wish(round(seconds * EVENTS_PER_S), job.groups)
    request = request_bytes(job.path, canned.request_body("stream", wish))
    exchanges = [
        await _connect(job, lambda: EventExchange(lambda exchange, now_s: None))
        for _ in range(job.connections)
    ]
    for exchange in exchanges:
        exchange.send(request)
    await asyncio.sleep(_STREAM_WARM_S)
    from_s, before_s = time.monotonic(), cpu_s(job.pid)
    await asyncio.sleep(job.seconds)
    until_s, after_s = time.monotonic(), cpu_s(job.pid)
    # What was given away in that time may still be on its way.
    await asyncio.sleep(_STREAM_WARM_S / 2)
    _leave(exchanges)
    arrivals_s = [pair for exchange in exchanges for pair in exchange.arrivals_s]
    reads = [read for exchange in exchanges for read in exchange.reads]
    num_events = sum(number for read_s, number in reads if from_s <= read_s < until_s)
    lasted_s = until_s - from_s
    lag = lag_of(arrivals_s, from_s, until_s)
    return Streams(num_events / lasted_s / job.connections, (after_s - before_s) / lasted_s, *lag)


async def picture(job: Job) -> Picture:
    """A large picture to a process that has seen only small requests, and again: its cost at most.

    Once would not do: what the first one leaves in pieces, those after it pay for.
    """
    body = canned.request_body("picture", canned.AT_ONCE, picture=canned.noisy_png())
    request = request_bytes(job.path, body)
    del body
    ended: asyncio.Queue[float] = asyncio.Queue()
    exchange = await _connect(job, lambda: Exchange(lambda _, now_s: ended.put_nowait(now_s)))
    await asyncio.sleep(_SETTLE_S)
    forget_peak(job.pid)
    before_bytes = resident_bytes(job.pid)
    took_s: list[float] = []
    for _ in range(_NUM_PICTURES):
        exchange.send(request)
        async with asyncio.timeout(_PATIENCE_S):
            took_s.append(await ended.get() - exchange.sent_s)
        await asyncio.sleep(_SETTLE_S)
    at_most_bytes = peak_bytes(job.pid) - before_bytes
    kept_bytes = resident_bytes(job.pid) - before_bytes
    _leave([exchange])
    return Picture(len(request), at_most_bytes, kept_bytes, median(took_s))


def _plain_request(job: Job) -> bytes:
    body = b"" if job.path == "/" else canned.request_body("plain", canned.AT_ONCE)
    return request_bytes(job.path, body)


async def _connect(job: Job, make: Callable[[], E_]) -> E_:
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(make, "127.0.0.1", job.port)
    return exchange


def _leave(exchanges: list[E_]) -> None:
    """Close all. Raises BadReply where one of them got no good answer."""
    _check(exchanges)
    for exchange in exchanges:
        exchange.close()


def _check(exchanges: list[E_]) -> None:
    for exchange in exchanges:
        if exchange.error is not None:
            raise exchange.error


_LOADS = {
    "closed": closed,
    "open": open_loop,
    "frames": frames,
    "streams": streams,
    "picture": picture,
}


def main() -> None:
    job = msgspec.json.decode(sys.argv[1], type=Job)
    figures: Figures = asyncio.run(_LOADS[job.kind](job))
    sys.stdout.buffer.write(msgspec.json.encode(figures))


if __name__ == "__main__":
    main()
