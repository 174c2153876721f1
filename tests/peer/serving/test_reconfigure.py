"""A config that changes under a running peer: what holds for whom, and from when on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from cortex.peer.api.terms import TermsNow
from cortex.peer.bounds.limits import Limits
from cortex.peer.config import ModelConfig, PeerConfig, VisionConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.models.names import ModelNames
from cortex.peer.serving.server import Server, serving

MakeConfig = Callable[..., PeerConfig]
Children = Callable[..., Any]
DEADLINE_S = 30
HELLO = [{"role": "user", "content": "hello"}]
KEYS = (ApiKey("ci", digest_of("k")),)


class Asked:
    """A peer in this process, and a client of it."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server, self._session = server, session

    async def change(self, **fields: Any) -> None:
        await self.server.reconfigure(replace(self.server.node.config, **fields))

    async def chat(self, key: str = "", **fields: Any) -> tuple[int, Any]:
        body = {"model": "fake", "messages": HELLO, "max_tokens": 2} | fields
        headers = {"x-api-key": key} if key else {}
        async with self._session.post(
            "/v1/chat/completions", json=body, headers=headers
        ) as response:
            return response.status, await response.json()

    async def models(self) -> list[str]:
        async with self._session.get("/v1/models") as response:
            return [model["id"] for model in (await response.json())["data"]]

    async def picture_tokens(self, uri: str) -> int:
        content = [{"type": "image_url", "image_url": {"url": uri}}]
        status, told = await self.chat(messages=[{"role": "user", "content": content}])
        return told["usage"]["prompt_tokens"] if status == 200 else -status


@asynccontextmanager
async def asked(config: PeerConfig, children: Children) -> AsyncGenerator[Asked]:
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config, children().spawn) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
    ):
        yield Asked(server, session)


async def test_names_change(make_config: MakeConfig, memory_children: Children):
    async with asked(make_config(), memory_children) as peer:
        assert (await peer.chat(model="gpt-4o"))[0] == 404
        await peer.change(names=ModelNames({"gpt-4o": "fake"}))
        assert await peer.models() == ["fake", "gpt-4o"]
        assert (await peer.chat(model="gpt-4o"))[0] == 200
        await peer.change(names=ModelNames(default="fake"))
        assert await peer.models() == ["fake"]
        assert (await peer.chat(model="anything"))[0] == 200


async def test_limits_and_keys_change(make_config: MakeConfig, memory_children: Children):
    async with asked(make_config(), memory_children) as peer:
        await peer.change(limits=Limits(max_messages=1))
        assert (await peer.chat())[0] == 200
        assert (await peer.chat(messages=HELLO * 2))[0] == 400
        await peer.change(keys=KEYS, max_concurrent=1, requests_per_minute=1)
        assert (await peer.chat())[0] == 401
        assert (await peer.chat("k"))[0] == 200
        assert (await peer.chat("k"))[0] == 429
        await peer.change(requests_per_minute=None)
        assert (await peer.chat("k"))[0] == 200


async def test_folders_and_contexts_change(
    make_config: MakeConfig, memory_children: Children, make_models: Callable[..., Path]
):
    folder = make_models("late")
    async with asked(make_config(models_dirs=()), memory_children) as peer:
        assert await peer.models() == ["fake"]
        await peer.change(models_dirs=(folder,))
        assert await peer.models() == ["late", "fake"]
        assert (await peer.chat(model="late"))[0] == 200
        await peer.change(models=(ModelConfig("fake", context_tokens=16),))
        status, told = await peer.chat(messages=[{"role": "user", "content": "word " * 99}])
        assert (status, told["error"]["code"]) == (400, "context_length_exceeded")


async def test_the_size_of_pictures_changes(
    make_config: MakeConfig, memory_children: Children, png_uri: str
):
    async with asked(make_config(), memory_children) as peer:
        usual = await peer.picture_tokens(png_uri)
        await peer.change(vision=VisionConfig(min_pixels=512 * 512))
        large = await peer.picture_tokens(png_uri)
        assert large > usual
        await peer.change(models=(ModelConfig("fake", min_pixels=768 * 768),))
        assert await peer.picture_tokens(png_uri) > large
        await peer.change(vision=VisionConfig(max_image_pixels=4))
        assert await peer.picture_tokens(png_uri) == -400


async def test_what_was_pinned_or_unpinned_by_hand_stays_so(
    make_config: MakeConfig, memory_children: Children
):
    pinned = (ModelConfig("fake", pinned=True),)
    async with asked(make_config(models=pinned), memory_children) as peer:
        await peer.chat()

        def is_pinned() -> bool:
            [placed] = peer.server.node.placement.ready
            return placed.is_pinned

        peer.server.node.steering.pin("fake", is_pinned=False)
        await peer.change(requests_per_minute=9)
        assert not is_pinned()
        await peer.change(models=())
        peer.server.node.steering.pin("fake", is_pinned=True)
        await peer.change(requests_per_minute=8)
        assert is_pinned()
        await peer.change(models=pinned)
        await peer.change(models=())
        assert not is_pinned()


async def test_a_request_under_way_is_judged_by_what_held_when_it_came(
    make_config: MakeConfig, memory_children: Children
):
    async with asked(make_config(), memory_children) as peer:
        begun = asyncio.Event()
        peer.server.node.watch(begun.set)
        asking = asyncio.create_task(peer.chat(max_tokens=200))
        await begun.wait()
        await peer.change(keys=KEYS, limits=Limits(max_messages=0))
        assert (await asking)[0] == 200
        assert (await peer.chat())[0] == 401


def test_terms_are_of_one_config_and_no_other(make_config: MakeConfig):
    config = make_config()
    terms = TermsNow(lambda: config)
    before = terms.take()
    assert terms.take() is before
    config = replace(config, limits=Limits(max_messages=1), keys=KEYS, cors_origins=("https://a",))
    after = terms.take()
    assert (before.limits.max_messages, before.keyring.is_open, before.origins) == (
        (Limits().max_messages, True, frozenset())
    )
    assert (after.limits.max_messages, after.keyring.is_open, after.origins) == (
        (1, False, {"https://a"})
    )
