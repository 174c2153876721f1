"""The seed that an answer is drawn by, from the request to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cortex.engine.frames import unpack_value
from cortex.engine.types import Prompt
from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import serving
from tests.peer.in_memory import http

MakeConfig = Callable[..., PeerConfig]
QUESTION = [{"role": "user", "content": "hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": QUESTION, "max_tokens": 2},
    "/v1/completions": {"prompt": "hello", "max_tokens": 2},
    "/v1/responses": {"input": "hello", "max_output_tokens": 16},
    "/v1/messages": {"messages": QUESTION, "max_tokens": 2},
}


async def seeds_at_the_engine(
    make_config: MakeConfig, memory_children: Any, *asked: tuple[str, dict[str, Any]]
) -> list[int]:
    children = memory_children()
    async with serving(make_config(), children.spawn) as server, http(server) as session:
        for path, body in asked:
            async with session.post(path, json={"model": "fake"} | body) as response:
                assert response.status == 200
    prompts = [unpack_value(Prompt, generate.prompt) for generate in children.generates]
    return [prompt.sampling.seed for prompt in prompts]


async def test_who_sends_no_seed_gets_another_draw_each_time_in_every_dialect(
    make_config: MakeConfig, memory_children: Any
):
    asked = [*BODIES.items()] * 2
    seeds = await seeds_at_the_engine(make_config, memory_children, *asked)
    assert len(set(seeds)) == len(asked)


async def test_a_seed_that_was_sent_is_the_engines(make_config: MakeConfig, memory_children: Any):
    able = [(path, body | {"seed": 3}) for path, body in BODIES.items() if path != "/v1/messages"]
    assert await seeds_at_the_engine(make_config, memory_children, *able) == [3] * len(able)
