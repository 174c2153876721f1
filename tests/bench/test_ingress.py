"""The ingress bench: stamps found again, shares and ratios by hand-made rounds, both languages."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.ingress import canned
from bench.ingress.backend_frames import (
    CannedEngine,
    CannedText,
    Send,
    ServiceLink,
    prepared,
    wish_of,
)
from bench.ingress.backend_http import HttpAnswers, HttpConnection
from bench.ingress.canned import AT_ONCE, Wish
from bench.ingress.exchange import EventExchange, Exchange, request_bytes
from bench.ingress.figures import (
    Closed,
    Figures,
    Measured,
    Open,
    Picture,
    Streams,
    added,
    lag_of,
    latency_of,
    middle,
    ratio,
)
from bench.ingress.frames_load import connect
from bench.ingress.telling import Bar, bars, rows
from bench.ingress.ticking import Ticker
from cortex.engine.messages import (
    Cancel,
    Estimate,
    Estimated,
    Generate,
    Message,
    Prepare,
    Prepared,
    Step,
    Wanted,
)
from cortex.engine.types import ChatRequest, ImagePart, TextPart
from cortex.engine.types import Message as Turn


def measured(contender: str, load: str, *figures: Figures) -> list[Measured]:
    return [Measured(contender, load, number, one) for number, one in enumerate(figures)]


def closed(requests_per_s: float) -> Closed:
    return Closed(requests_per_s, core_share=1.0, cpu_s=1 / requests_per_s)


def test_a_stamp_is_read_back_out_of_an_event_whatever_is_around_it() -> None:
    event = canned.chunk({"content": canned.event_text(12.345678)})
    assert canned.stamps_s(event)[0] == [12.345678]


def test_a_stamp_torn_over_two_reads_is_found_once() -> None:
    data = canned.event_text(1.5).encode() + canned.event_text(2.5).encode()
    for cut in range(len(data)):
        first, rest = canned.stamps_s(data[:cut])
        second, _ = canned.stamps_s(rest + data[cut:])
        assert first + second == [1.5, 2.5]


def test_a_lag_counts_by_when_its_event_was_given_away() -> None:
    arrivals_s = [(0.9, 1.5), (1.0, 1.25), (1.5, 4.0), (2.0, 2.1)]
    assert lag_of(arrivals_s, 1.0, 2.0) == (pytest.approx(1.375), pytest.approx(2.4775))


def test_streams_without_stamps_have_no_lag() -> None:
    assert lag_of([], 1.0, 2.0) == (None, None)


def test_latency_is_told_by_its_half_and_its_tail() -> None:
    assert latency_of([n / 100 for n in range(101)]) == Open(0.5, 0.99)


def test_a_ratio_is_taken_within_each_round_that_both_have() -> None:
    rounds = measured("ours", "closed", closed(100), closed(300), closed(1000))
    rounds += measured("theirs", "closed", closed(10), closed(10))
    assert ratio(rounds, "ours", "theirs", "closed", "requests_per_s") == 20


def test_what_is_added_is_what_the_backend_alone_does_not_take() -> None:
    rounds = measured("ours", "open", Open(0.003, 0.010), Open(0.005, 0.020))
    rounds += measured("direct", "open", Open(0.001, 0.001), Open(0.001, 0.002))
    assert added(rounds, "ours", "direct", "p50_s") == pytest.approx(0.003)


def test_what_was_never_measured_has_no_figure() -> None:
    assert middle([], "ours", "closed", "requests_per_s") is None
    assert ratio([], "ours", "theirs", "closed", "requests_per_s") is None
    assert added([], "ours", "direct", "p50_s") is None


def test_a_picture_is_told_in_times_its_own_size() -> None:
    assert Picture(10, peak_bytes=25, kept_bytes=5, took_s=0.1).peak_share == 2.5


def test_bars_are_met_from_their_side_and_not_by_what_was_not_measured() -> None:
    assert Bar("a", 1.0, 2.0, is_upper=True).is_met
    assert not Bar("a", 3.0, 2.0, is_upper=True).is_met
    assert Bar("a", 3.0, 2.0, is_upper=False).is_met
    assert Bar("a", None, 2.0, is_upper=False).is_met is None
    assert "MISSED" in str(Bar("a", 3.0, 2.0, is_upper=True))


def test_the_bars_are_those_of_our_ingress_alone() -> None:
    rounds = measured("cortex ingress", "closed", closed(4000))
    rounds += measured("litellm", "closed", closed(100))
    rounds += measured("forwarding proxy", "closed", closed(8000))
    rounds += measured("cortex ingress", "streams", Streams(50.0, 0.3, 0.001, 0.007))
    told = {bar.what: bar.is_met for bar in bars(rounds)}
    assert told["requests/s, times litellm's"] and told["requests/s, by the forwarding proxy's"]
    assert told["of one core for 128 streams"]
    assert told["lag p99 of 128 streams, ms"] is False
    assert told["added latency p50, ms"] is None


def test_a_row_leaves_blank_what_a_contender_did_not_do() -> None:
    (row,) = rows(measured("aiohttp hello", "closed", closed(20_000)))
    assert row[:3] == ("aiohttp hello", "20,000", "0.050")
    assert set(row[3:]) == {""}


def asked(wish: Wish, *parts: TextPart | ImagePart) -> ChatRequest:
    turn = Turn("user", parts)
    return ChatRequest(
        canned.MODEL, (turn,), seed=wish.num_groups, now_s=0, max_tokens=wish.num_events
    )


def ask_frames(
    wish: Wish, ended: asyncio.Event | None = None
) -> tuple[CannedEngine, list[Message]]:
    """The backend's engine with one request, which its text process has prepared; and what it
    sends. `ended` is set with the request's end.
    """
    sent: list[Message] = []

    def send(message: Message) -> None:
        sent.append(message)
        if ended is not None and isinstance(message, Step) and message.parts[0].finish:
            ended.set()

    CannedText(sent.append).hear(Prepare("r", "dir", asked(wish), 4096))
    (answer,) = sent
    assert isinstance(answer, Prepared)
    sent.clear()
    engine = CannedEngine(send, groups=(2,))
    engine.hear(Generate(canned.MODEL, (Wanted("r.0", 1),), answer.prompt))
    return engine, sent


def steps(sent: Sequence[Message]) -> list[Step]:
    return [message for message in sent if isinstance(message, Step)]


def test_a_prompt_says_what_its_request_wants_and_weighs_what_a_picture_does() -> None:
    plain = prepared("r", asked(AT_ONCE, TextPart("hello")))
    seen = prepared("r", asked(Wish(7, 2), ImagePart(b"png")))
    assert wish_of(plain.prompt) == AT_ONCE
    assert wish_of(seen.prompt) == Wish(7, 2)
    assert len(memoryview(seen.prompt)) > 1024 * 1024 * 3 > len(memoryview(plain.prompt))


async def test_a_whole_answer_is_one_step() -> None:
    _, sent = ask_frames(AT_ONCE)
    ((part,),) = [step.parts for step in steps(sent)]
    assert part.finish == "stop" and len(part.token_ids) == canned.NUM_WORD_TOKENS


async def run_until(done: asyncio.Event, *tickers: Ticker) -> None:
    tasks = [asyncio.create_task(ticker.run()) for ticker in tickers]
    async with asyncio.timeout(10):
        await done.wait()
    for task in tasks:
        task.cancel()


async def test_a_stream_of_frames_has_its_events_and_one_end() -> None:
    ended = asyncio.Event()
    engine, sent = ask_frames(Wish(3, 2), ended)
    await run_until(ended, *engine.tickers.values())
    parts = [part for step in steps(sent) for part in step.parts]
    assert [part.finish for part in parts] == [None, None, "length"]


async def test_a_stream_called_off_gets_no_more_events() -> None:
    engine, sent = ask_frames(Wish(3, 2))
    engine.hear(Cancel("r.0", 1))
    assert engine.alive().queued == 0
    assert not steps(sent)


def test_an_engine_that_does_nothing_says_what_its_model_costs() -> None:
    engine, sent = ask_frames(Wish(3, 2))
    engine.hear(Estimate("job", "dir"))
    assert isinstance(sent[-1], Estimated)
    assert sent[-1].job_id == "job"


async def test_streams_are_dealt_out_evenly_and_take_turns() -> None:
    turns: list[list[str]] = []
    done = asyncio.Event()

    def give(names: Sequence[str], now_s: float) -> Sequence[str]:
        turns.append(list(names))
        if len(turns) == 4:
            done.set()
        return names

    ticker = Ticker(2, give)
    for name in "abc":
        ticker.add(name)
    await run_until(done, ticker)
    assert turns[:2] * 2 == turns[:4]
    assert sorted(turns[:2]) == [["a", "c"], ["b"]]


async def ask_http(wish: Wish, kind: canned.Kind) -> EventExchange:
    """One request to the backend over loopback, and the connection it was asked on."""
    loop = asyncio.get_running_loop()
    answers = HttpAnswers((2,))
    server = await loop.create_server(lambda: HttpConnection(answers), "127.0.0.1", 0)
    ended = asyncio.Event()

    def done(exchange: Exchange, now_s: float) -> None:
        ended.set()

    async with server:
        address = server.sockets[0].getsockname()
        _, exchange = await loop.create_connection(lambda: EventExchange(done), *address)
        exchange.send(request_bytes(canned.PATH, canned.request_body(kind, wish)))
        await run_until(ended, *answers.tickers.values())
        exchange.close()
    return exchange


async def test_a_whole_answer_over_http_is_read_to_its_end() -> None:
    exchange = await ask_http(AT_ONCE, "plain")
    assert exchange.error is None
    assert exchange.arrivals_s == []


async def test_a_stream_over_http_has_its_events_with_their_stamps() -> None:
    exchange = await ask_http(Wish(3, 2), "stream")
    assert len(exchange.arrivals_s) == 3
    assert all(given_s <= read_s for given_s, read_s in exchange.arrivals_s)
    # Beside them one that says who speaks and one that says why it ends.
    assert sum(number for _, number in exchange.reads) == 5


async def test_an_answer_that_is_no_success_ends_the_measurement() -> None:
    def ignore(exchange: Exchange, now_s: float) -> None:
        pass

    exchange = Exchange(ignore)
    exchange.data_received(b"HTTP/1.1 503 Overloaded\r\ncontent-length: 2\r\n\r\nno")
    assert "503" in str(exchange.error)


def test_a_request_asks_for_what_the_wish_says() -> None:
    body = json.loads(canned.request_body("stream", Wish(400, 8)))
    assert (body["max_tokens"], body["seed"], body["stream"]) == (400, 8, True)


async def test_the_backend_asked_in_frames_answers_in_two_round_trips(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    sockets = str(tmp_path / "text"), str(tmp_path / "engine")

    def make_engine(send: Send) -> CannedEngine:
        return CannedEngine(send, groups=())

    services = CannedText, make_engine
    servers = [
        await loop.create_unix_server(functools.partial(ServiceLink, service), socket)
        for service, socket in zip(services, sockets, strict=True)
    ]
    client = await connect(*sockets)
    async with asyncio.timeout(10):
        await client.load()
        assert [await client.ask() > 0 for _ in range(2)] == [True, True]
        await client.close()
    for server in servers:
        server.close()
        await server.wait_closed()
