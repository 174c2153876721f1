"""A model without a chat template, and one without a head, behind the API: what each route says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from cortex.peer.serving.server import serving as serving_with
from tests.peer.in_memory import MemoryChildren, http, serving

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


@pytest.fixture
def headless(make_config: MakeConfig, tmp_path: Path) -> PeerConfig:
    """Of a peer that has a model with a template and without a head, and none beside it."""
    folder = shutil.copytree(embedded_dir(make_config()), tmp_path / "models" / "embedder")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(described | {"model_type": "llama"}))
    header = b'{"norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    models_dirs = (tmp_path / "models",)
    return make_config(engine="torch", models_dirs=models_dirs, embedded_dir=tmp_path / "none")


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": [5, 6], "max_tokens": 3}),
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 3}),
        ("/v1/messages/count_tokens", {"messages": HELLO}),
    ],
)
async def test_text_of_a_model_without_a_head_is_refused_and_nothing_is_loaded_for_it(
    headless: PeerConfig, path: str, body: dict[str, Any], is_streamed: bool
):
    children = MemoryChildren()
    asked = {"model": "embedder", "stream": is_streamed} | body
    async with serving_with(headless, children.spawn) as server, http(server) as session:
        async with session.post(path, json=asked) as response:
            told = (await response.json())["error"]
        assert response.status == 400
        assert "embedder writes no text" in told["message"]
        assert "/v1/embeddings" in told["message"]
        assert children.num_loads == 0

        vector = {"model": "embedder", "input": "Hello"}
        async with session.post("/v1/embeddings", json=vector) as response:
            assert response.status == 200, await response.text()
        assert children.num_loads == 1


async def test_what_a_model_can_be_asked_for_is_listed(config: PeerConfig, headless: PeerConfig):
    models: dict[str, list[str]] = {}
    for each in (config, headless):
        async with (
            serving(each) as server,
            http(server) as session,
            session.get("/v1/models") as response,
        ):
            listed = (await response.json())["data"]
        models |= {model["id"]: model["capabilities"] for model in listed}

    assert models["fake"] == ["text", "vision"]
    assert models["base"] == ["completion"]
    assert models["embedder"] == ["embedding"]
