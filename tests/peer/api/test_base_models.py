"""A model without a chat template behind the API: what it is asked by each route."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from tests.peer.in_memory import http, serving

MakeConfig = Callable[..., PeerConfig]
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def config(make_config: MakeConfig, tmp_path: Path) -> PeerConfig:
    """Of a peer that has such a model."""
    ignored = shutil.ignore_patterns("chat_template.jinja")
    shutil.copytree(embedded_dir(make_config()), tmp_path / "models" / "base", ignore=ignored)
    return make_config(models_dirs=(tmp_path / "models",))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "Once upon", "max_tokens": 3}),
        ("/v1/completions", {"prompt": [5, 6], "max_tokens": 3}),
        ("/v1/embeddings", {"input": "Once upon"}),
    ],
)
async def test_plain_text_is_continued_and_embedded(
    config: PeerConfig, path: str, body: dict[str, Any]
):
    asked = {"model": "base"} | body
    async with (
        serving(config) as server,
        http(server) as session,
        session.post(path, json=asked) as response,
    ):
        assert response.status == 200, await response.text()


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 3}),
        ("/v1/messages/count_tokens", {"messages": HELLO}),
    ],
)
async def test_a_chat_is_refused_in_every_dialect_with_the_route_for_plain_text(
    config: PeerConfig, path: str, body: dict[str, Any], is_streamed: bool
):
    asked = {"model": "base", "stream": is_streamed} | body
    async with (
        serving(config) as server,
        http(server) as session,
        session.post(path, json=asked) as response,
    ):
        told = (await response.json())["error"]

    assert response.status == 400
    assert "base has no chat template" in told["message"]
    assert "/v1/completions" in told["message"]
