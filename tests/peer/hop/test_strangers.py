"""What the other side of a hop may do wrong: say nothing, read nothing, send what is not ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from cortex.engine.errors import ErrorInfo
from cortex.engine.fake import FakeConfig
from cortex.engine.stream import Event, Piece, Stage, Vector
from cortex.engine.types import ImagePart, TextPart
from cortex.engine.types import Message as Turn
from cortex.peer.config import PeerConfig
from cortex.peer.errors import HostOutdated, HostSilent, HostUnread, RequestTooLarge, from_info
from cortex.peer.hop.frames import pack, unpack
from cortex.peer.hop.host import HOP_PATH
from cortex.peer.hop.messages import (
    Ask,
    Beat,
    Cancel,
    CountAsk,
    Counted,
    Failed,
    Message,
    Part,
    Parts,
    Slice,
)
from cortex.peer.release import own_release

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
Hops = Any  # this folder's conftest
Fleet = Any
ClientSocket = aiohttp.ClientWebSocketResponse
REFUSED = ErrorInfo("overloaded", "full")


async def first(events: AsyncGenerator[Event | Vector], kind: type[Event]) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


async def closing(socket: ClientSocket) -> None:
    while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        pass
    assert socket.closed


@asynccontextmanager
async def scripted_host(
    hops: Hops, fleet: Fleet, play: Callable[[web.WebSocketResponse, Ask], Any]
) -> AsyncGenerator[None]:
    """A host that does what `play` does with each request, and never beats."""

    async def receive(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(timeout=0.1)
        await socket.prepare(request)
        async for received in socket:
            if received.type is aiohttp.WSMsgType.BINARY:
                message = unpack(received.data)
                if isinstance(message, Ask):
                    await play(socket, message)
        return socket

    async with hops.serving([web.get(HOP_PATH, receive)]) as (_, address):
        fleet.addresses[hops.node] = [address]
        yield


async def say(socket: web.WebSocketResponse, ask: Ask, event: Event) -> None:
    await socket.send_bytes(pack(Parts((Part(ask.request_id, event),))))


async def test_silent_host_is_lost_after_five_ticks(hops: Hops):
    async def say_one_thing(socket: web.WebSocketResponse, ask: Ask) -> None:
        await say(socket, ask, Stage("queued"))

    async with hops.fleet() as fleet, scripted_host(hops, fleet, say_one_thing):
        async with aclosing(fleet.ask(hops.request())) as events:
            await first(events, Stage)
            began_s = time.monotonic()
            with pytest.raises(HostSilent, match=r"said nothing for 0\.25 s"):
                await first(events, Piece)
        assert time.monotonic() - began_s >= 4 * hops.tick_s
        await hops.until(lambda: fleet.lost == [hops.node])


async def test_peer_that_was_held_up_itself_blames_nobody(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        async with aclosing(fleet.ask(hops.request(max_tokens=1000))) as events:
            await first(events, Piece)
            time.sleep(20 * hops.tick_s)  # noqa: ASYNC251
            for _ in range(10):
                await first(events, Piece)
        assert fleet.lost == []


async def test_idle_connection_is_kept_alive_by_beats(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20 * hops.tick_s * 1000))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        async with aclosing(fleet.ask(hops.request())) as events:
            await first(events, Piece)
        assert fleet.lost == []


async def test_silent_asker_is_given_up_with_its_requests(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with (
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn) as host,
        hops.guest(fleet) as socket,
    ):
        await socket.send_bytes(pack(Ask("a", hops.model, hops.request(max_tokens=1000))))
        await hops.heard(socket)
        await closing(socket)
        assert not list(host.node.live)


async def test_a_request_whose_id_is_taken_is_passed_over_until_that_one_has_ended(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    ask = pack(Ask("a", hops.model, hops.request(max_tokens=10_000)))
    async with (
        hops.fleet(tick_s=1.0) as fleet,
        hops.host(fleet, make_config(), children.spawn, tick_s=1.0) as host,
        hops.guest(fleet) as socket,
    ):

        async def count(request_id: str) -> None:
            await socket.send_bytes(pack(CountAsk(request_id, hops.model, hops.request())))
            while not isinstance(heard := await hops.heard(socket), Counted):
                assert not isinstance(heard, Failed)
            assert heard.request_id == request_id

        await socket.send_bytes(ask)
        await hops.until(lambda: len(host.node.live) == 1)
        await socket.send_bytes(ask)
        await count("b")  # so the host has heard the second
        assert len(host.node.live) == 1
        await socket.send_bytes(pack(Cancel("a")))
        await hops.until(lambda: not host.node.live)
        await count("a")


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xc1", b"\x81" * 100_000, pack(Beat())[:-1], msgspec.msgpack.encode({"type": "Ask"})],
)
async def test_garbage_ends_the_connection_and_not_the_peer(
    hops: Hops, make_config: MakeConfig, memory_children: Children, garbage: bytes
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        async with hops.guest(fleet) as socket:
            await socket.send_bytes(garbage)
            await closing(socket)
        async with aclosing(fleet.ask(hops.request())) as events:
            await first(events, Piece)


async def test_text_and_oversized_messages_end_the_connection(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        async with hops.guest(fleet) as socket:
            await socket.send_str("hello")
            await closing(socket)
        async with hops.guest(fleet) as socket:
            await socket.send_bytes(b"a" * 600_000)
            await closing(socket)
        async with hops.guest(fleet) as socket:
            await socket.send_bytes(pack(Slice("a", total_bytes=9, offset=3, data=b"abc")))
            await closing(socket)


async def test_messages_of_unknown_kinds_are_passed_over(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with (
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn),
        hops.guest(fleet) as socket,
    ):
        await socket.send_bytes(msgspec.msgpack.encode({"type": "FromTheFuture", "what": [1]}))
        known = msgspec.msgpack.decode(pack(CountAsk("a", hops.model, hops.request())))
        await socket.send_bytes(msgspec.msgpack.encode(known | {"newer": True}))
        assert isinstance(await hops.heard(socket), Counted)


def with_a_newer_role(request: dict[str, Any]) -> None:
    request["messages"][0]["role"] = "oracle"


def with_a_newer_field(request: dict[str, Any]) -> None:
    request["must_obey"] = "this"


@pytest.mark.parametrize("change", [with_a_newer_role, with_a_newer_field])
@pytest.mark.parametrize("kind", [Ask, CountAsk])
async def test_request_in_words_of_a_newer_peer_is_refused_alone(
    hops: Hops,
    make_config: MakeConfig,
    memory_children: Children,
    kind: type[Ask | CountAsk],
    change: Callable[[dict[str, Any]], None],
):
    children = memory_children()
    async with (
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn),
        hops.guest(fleet) as socket,
    ):
        told = msgspec.msgpack.decode(pack(kind("a", hops.model, hops.request())))
        change(told["request"])
        await socket.send_bytes(msgspec.msgpack.encode(told))
        refused = await hops.heard(socket)
        assert isinstance(refused, Failed) and refused.request_id == "a"
        error = from_info(refused.error)
        assert isinstance(error, HostOutdated)
        assert f"peer 'borea' runs cortex {own_release()}" in error.message
        await socket.send_bytes(pack(CountAsk("b", hops.model, hops.request())))
        assert isinstance(await hops.heard(socket), Counted)


async def test_answer_in_words_of_a_newer_peer_ends_alone(hops: Hops):
    async def say_newer_things(socket: web.WebSocketResponse, ask: Ask) -> None:
        """A stage to the first that asks; when the second has, to that one alone what is known."""
        asked.append(ask)
        if len(asked) < 2:
            await say(socket, ask, Stage("distilling"))
            return
        old, new = (Part(each.request_id, Piece((), (2,))) for each in asked)
        told = msgspec.msgpack.decode(pack(Parts((old, new))))
        told["parts"][0]["event"]["type"] = "Foretold"
        await socket.send_bytes(msgspec.msgpack.encode(told))

    asked: list[Ask] = []
    async with hops.fleet() as fleet, scripted_host(hops, fleet, say_newer_things):
        async with aclosing(fleet.ask(hops.request())) as odd:
            assert await first(odd, Stage) == Stage("distilling")
            async with aclosing(fleet.ask(hops.request())) as plain:
                assert (await first(plain, Piece)).token_ids == (2,)
            with pytest.raises(HostUnread, match="not known here"):
                await first(odd, Piece)
        assert fleet.lost == []


def parts(message: Message) -> tuple[Part, ...]:
    assert isinstance(message, Parts), message
    return message.parts


async def test_what_an_abandoned_attempt_still_says_is_dropped(hops: Hops):
    async def say_old_and_new(socket: web.WebSocketResponse, ask: Ask) -> None:
        asked.append(ask)
        await say(socket, asked[0], Piece((), (len(asked),)))
        if len(asked) > 1:
            await socket.send_bytes(pack(Failed(asked[0].request_id, REFUSED)))
            await say(socket, ask, Piece((), (3,)))

    asked: list[Ask] = []
    async with hops.fleet() as fleet, scripted_host(hops, fleet, say_old_and_new):
        async with aclosing(fleet.ask(hops.request())) as abandoned:
            assert (await first(abandoned, Piece)).token_ids == (1,)
        async with aclosing(fleet.ask(hops.request())) as events:
            assert (await first(events, Piece)).token_ids == (3,)


async def test_one_step_for_many_requests_is_one_message(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with (
        hops.fleet(tick_s=60) as fleet,
        hops.host(fleet, make_config(), children.spawn, tick_s=60),
        hops.guest(fleet) as socket,
    ):
        for number in range(8):
            request = hops.request(f"{number}", max_tokens=1000, ignore_eos=True)
            await socket.send_bytes(pack(Ask(f"{number}", hops.model, request)))
        sizes: list[int] = []
        while len(sizes) < 40:
            pieces = [p for p in parts(await hops.heard(socket)) if isinstance(p.event, Piece)]
            sizes += [len(pieces)] if pieces else []
        assert max(sizes) == 8 and sizes[20:].count(8) > 15


async def test_asker_that_reads_nothing_costs_a_bounded_amount_and_holds_up_nobody(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    request = hops.request(max_tokens=2000, ignore_eos=True, top_logprobs=20)
    async with (
        hops.fleet(tick_s=60) as fleet,
        hops.host(fleet, make_config(), children.spawn, tick_s=60) as host,
        hops.guest(fleet) as deaf,
    ):
        for number in range(8):
            await deaf.send_bytes(pack(Ask(f"{number}", hops.model, request)))
        await hops.until(lambda: len(children.wanted) == 8)
        # Begun later, and as long: when it has ended, the engine has made all of theirs.
        assert await outcome(fleet.ask(request)) is None
        # What was made waits where it melts together, and not for the socket.
        assert len(list(host.node.live)) == 8


async def test_long_request_holds_up_no_stream(
    hops: Hops, make_config: MakeConfig, memory_children: Children, png: bytes
):
    """The picture is none, which the host says once all 48 MiB of it have come."""
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    large = hops.request()
    turn = Turn("user", (ImagePart(b"a" * (48 * 1024 * 1024)), TextPart("what is it?")))
    large = msgspec.structs.replace(large, messages=(turn,))
    gaps_s: list[float] = []
    async with (
        hops.fleet(tick_s=0.5) as fleet,
        hops.host(fleet, make_config(), children.spawn, tick_s=0.5),
        aclosing(fleet.ask(hops.request(max_tokens=5000))) as stream,
    ):
        await first(stream, Piece)
        asked = asyncio.create_task(outcome(fleet.ask(large)))
        while not asked.done():
            began_s = time.monotonic()
            await first(stream, Piece)
            gaps_s.append(time.monotonic() - began_s)
        assert type(asked.result()).__name__ in ("InvalidImage", "VisionUnsupported")
        assert len(gaps_s) > 5 and max(gaps_s) < 1.0
        assert fleet.lost == []


async def test_request_over_the_hosts_limit_is_refused_alone(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    config = make_config(max_body_bytes=1000)
    large = hops.request("a" * 2_000_000)
    async with (
        hops.fleet() as fleet,
        hops.host(fleet, config, children.spawn),
        aclosing(fleet.ask(hops.request(max_tokens=5000))) as stream,
    ):
        await first(stream, Piece)
        assert isinstance(await outcome(fleet.ask(large)), RequestTooLarge)
        await first(stream, Piece)


async def test_room_for_long_requests_is_bounded_and_given_back(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    config = make_config(max_intake_bytes=40_000_000)

    def begun(request_id: str) -> bytes:
        return pack(Slice(request_id, total_bytes=30_000_000, offset=0, data=b"abc"))

    async with (
        hops.fleet() as fleet,
        hops.host(fleet, config, children.spawn),
        hops.guest(fleet) as one,
        hops.guest(fleet) as other,
    ):
        await one.send_bytes(begun("a"))
        await one.send_bytes(pack(CountAsk("b", hops.model, hops.request())))
        assert isinstance(await hops.heard(one), Counted)  # so the host has heard the slice
        await other.send_bytes(begun("c"))
        refused = await hops.heard(other)
        assert isinstance(refused, Failed) and refused.error.code == "overloaded"
        await one.send_bytes(pack(Cancel("a")))
        await one.send_bytes(pack(CountAsk("d", hops.model, hops.request())))
        assert isinstance(await hops.heard(one), Counted)
        await other.send_bytes(begun("e"))
        await other.send_bytes(pack(CountAsk("f", hops.model, hops.request())))
        assert isinstance(await hops.heard(other), Counted)


async def outcome(events: AsyncGenerator[Event | Vector]) -> Exception | None:
    async with aclosing(events):
        try:
            async for _ in events:
                pass
        except Exception as error:
            return error
    return None
