"""What somebody is told whose base URL, or health check, is another server's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from cortex.peer.api.errors import from_http
from cortex.peer.config import PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of
from cortex.peer.serving.server import serving
from tests.peer.in_memory import http

MakeConfig = Callable[..., PeerConfig]
KEYS = (ApiKey("asker", digest_of("ask")),)
# Behind a proxy nobody steers by being of this machine.
FROM_AFAR = {"x-forwarded-for": "192.0.2.7"}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/v1/messages", "/v1 once too often"),
        ("/v1//chat/completions", "a slash too many"),
        ("/api/chat", "Ollama's and LM Studio's own API"),
        ("/api/v0/models", "Ollama's and LM Studio's own API"),
        ("/health", "GET /healthz and GET /readyz"),
        ("/v1/rerank", "GET /docs lists the routes"),
        ("/chat/completions", "the API begins at /v1"),
        ("/tokenize", "GET /docs lists its routes"),
    ],
)
def test_a_path_that_leads_nowhere_is_answered_with_the_one_that_was_meant(path: str, hint: str):
    error = from_http(web.HTTPNotFound(), "GET", path)
    assert error is not None
    assert (error.message, hint in error.hint) == (f"there is nothing at {path}", True)
    assert ("begins at /v1" in error.hint) == (hint.endswith(("at /v1", "its routes")))


async def ask(config: PeerConfig, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    async with (
        serving(config) as server,
        http(server) as session,
        session.get(path, headers=headers) as response,
    ):
        return response.status, (await response.json())["error"]


@pytest.mark.parametrize("path", ["/health", "/v1/v1/models", "/v1//models", "/api/tags"])
async def test_that_a_path_leads_nowhere_is_told_without_a_key(make_config: MakeConfig, path: str):
    status, error = await ask(make_config(engine="none", keys=KEYS), path)
    assert (status, error["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/metrics"])
async def test_a_route_that_wants_a_key_goes_on_wanting_it(make_config: MakeConfig, path: str):
    """Before it is told that it does not take a GET, too."""
    status, error = await ask(make_config(engine="none", keys=KEYS), path)
    assert (status, error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"x-api-key": "ask"}, 403)])
async def test_a_client_whose_base_url_lacks_v1_is_told_so_before_the_way_to_an_admin_key(
    make_config: MakeConfig, headers: dict[str, str], status: int
):
    config = make_config(engine="none", keys=KEYS)
    answered, error = await ask(config, "/models", **FROM_AFAR, **headers)
    assert answered == status
    told = error["message"]
    assert 0 < told.index("its base URL ends with /v1") < told.index("new-key --admin")
    answered, error = await ask(config, "/requests", **FROM_AFAR, **headers)
    assert (answered, "/v1" in error["message"]) == (status, False)
