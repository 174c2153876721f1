"""A node without a port: when its children live, and what a prompt may cost."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from cortex.engine.errors import InvalidImage, Overloaded
from cortex.engine.frames import pack_message
from cortex.engine.messages import Message as WireMessage
from cortex.engine.stream import Accepted, Event, Piece, Stage
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from cortex.peer.answering import Answering
from cortex.peer.children import text_side
from cortex.peer.client.backends import open_backend
from cortex.peer.config import PeerConfig
from cortex.peer.gossip.ids import ModelId
from cortex.peer.heavy import off_loop
from cortex.peer.node import Node

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30


def ask(*parts: TextPart | ImagePart) -> ChatRequest:
    message = Message("user", parts or (TextPart("hello"),))
    return ChatRequest("fake", (message,), seed=1, now_s=0, max_tokens=4)


async def until(events: AsyncGenerator[Event], kind: type[Event]) -> None:
    async for event in events:
        if isinstance(event, kind):
            return


def answerings() -> list[Answering]:
    """Every one in this process: those of other tests too, where something still holds them."""
    return [thing for thing in gc.get_objects() if type(thing) is Answering]


async def test_listing_models_starts_no_process(make_config: MakeConfig):
    async with Node(make_config()) as node:
        assert [model.id for model in await node.models()] == ["fake"]
        assert (node.health.engines[0].state, node.health.text.state) == ("stopped", "stopped")
        node.wake()
        assert (node.health.engines[0].state, node.health.text.state) == ("starting", "starting")


async def test_private_node_answers_all_the_same(make_config: MakeConfig):
    async with (
        asyncio.timeout(DEADLINE_S),
        open_backend(make_config(), None, on_notice=print, on_passed_over=print) as backend,
        aclosing(backend.chat(ask())) as events,
    ):
        await until(events, Piece)


async def test_answered_request_leaves_nothing_for_the_collector(make_config: MakeConfig):
    async with asyncio.timeout(DEADLINE_S), Node(make_config()) as node:
        gc.collect()
        before = {id(thing) for thing in answerings()}
        gc.disable()
        try:
            async with aclosing(node.chat(ask())) as events:
                async for _ in events:
                    pass
            assert not [thing for thing in answerings() if id(thing) not in before]
        finally:
            gc.enable()


async def test_wait_for_a_load_is_told_with_what_earlier_loads_took(make_config: MakeConfig):
    config = make_config()
    async with asyncio.timeout(DEADLINE_S), Node(config) as node:
        await node.shelf.weigh()
        (model,) = node.stored
        weights, stages = ModelId(model.weights), list[Stage]()
        node.history.add(weights, model.size_bytes, 3600.0)
        async with aclosing(node.chat(ask())) as events:
            async for event in events:
                if isinstance(event, Stage) and event.name in ("starting", "loading"):
                    stages.append(event)
        assert any(stage.eta_s and 3500 < stage.eta_s <= 3600 for stage in stages)
        learned_s = node.history.eta_s(weights)
        assert learned_s is not None and learned_s < 3600, "this one has been measured"
    async with Node(config) as later:
        assert later.history.eta_s(weights) == learned_s
        assert later.stored == (model,), "its weights keep their name"


async def test_children_are_out_of_reach_of_the_terminals_ctrl_c(make_config: MakeConfig):
    async with asyncio.timeout(DEADLINE_S), Node(make_config()) as node:
        await node.preload("fake")
        for pid in (node.health.engines[0].pid, node.health.text.pid):
            assert pid is not None
            assert os.getpgid(pid) == pid


def test_more_prompts_are_under_way_where_there_is_more_memory(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    for free_gib, given_gib in ((2, 1), (256, 16)):
        monkeypatch.setattr("cortex.peer.node.available_memory_bytes", lambda n=free_gib: n << 30)
        assert Node(make_config()).max_prepared_bytes == given_gib << 30
        assert Node(make_config(max_prepared_bytes=7)).max_prepared_bytes == 7


async def test_prompts_under_way_are_bounded_by_their_bytes(make_config: MakeConfig, png: bytes):
    seen = ask(ImagePart(png))
    # One picture of 256x256 pixels is 192 KiB: there is room for one, and not for two.
    config = make_config(max_prepared_bytes=300_000, fake_token_interval_ms=50_000)
    async with asyncio.timeout(DEADLINE_S), Node(config) as node:
        async with aclosing(node.chat(seen)) as first:
            await until(first, Accepted)
            with pytest.raises(Overloaded, match="300000 bytes"):
                async with aclosing(node.chat(seen)) as second:
                    await until(second, Accepted)
        async with aclosing(node.chat(seen)) as third:
            await until(third, Accepted)


@pytest.mark.parametrize(("size_bytes", "is_elsewhere"), [(10, False), (2**21, True)])
async def test_work_on_many_bytes_is_done_on_another_thread(size_bytes: int, is_elsewhere: bool):
    thread = await off_loop(size_bytes, threading.get_ident)
    assert (thread != threading.get_ident()) == is_elsewhere


@pytest.mark.parametrize(("num_letters", "is_elsewhere"), [(10, False), (1_500_000, True)])
async def test_large_request_is_packed_off_the_loop(
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    num_letters: int,
    is_elsewhere: bool,
):
    threads: list[int] = []

    def pack_and_note(message: WireMessage) -> bytearray:
        threads.append(threading.get_ident())
        return pack_message(message)

    monkeypatch.setattr(text_side, "pack_message", pack_and_note)
    # A picture of so many letters is refused; what matters is where it was packed.
    async with asyncio.timeout(DEADLINE_S), Node(make_config()) as node:
        with pytest.raises(InvalidImage):
            async with aclosing(node.chat(ask(ImagePart(b"a" * num_letters)))) as events:
                await until(events, Accepted)
    [thread] = threads
    assert (thread != threading.get_ident()) == is_elsewhere
