"""The document about the API: it tells of every route, with the types that are really read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
import pytest

from cortex.peer.api.openapi import openapi
from cortex.peer.api.routes import ROUTES
from cortex.peer.config import PeerConfig
from cortex.peer.dialects.chat.body import ChatBody
from tests.peer.in_memory import http, serving

MakeConfig = Callable[..., PeerConfig]
DOCUMENT = openapi(ROUTES, "1.2.3")


def values_of(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, each in cast(dict[str, Any], value).items():
            if name == key:
                yield each
            yield from values_of(each, key)
    elif isinstance(value, list):
        for each in cast(list[Any], value):
            yield from values_of(each, key)


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    refs = set(values_of(DOCUMENT, "$ref"))
    assert "#/components/schemas/ChatBody" in refs
    assert all(ref.removeprefix("#/components/schemas/") in schemas for ref in refs)


def test_every_field_that_is_read_is_told_of() -> None:
    told = DOCUMENT["components"]["schemas"]["ChatBody"]["properties"]
    assert list(told) == [field.encode_name for field in msgspec.structs.fields(ChatBody)]
    assert DOCUMENT["components"]["schemas"]["ChatBody"]["required"] == ["model", "messages"]


def test_every_route_for_clients_is_told_of_once() -> None:
    told = [(m.upper(), path) for path, methods in DOCUMENT["paths"].items() for m in methods]
    assert ("GET", "/v1/models/{id}") in told
    assert ("POST", "/v1/chat/completions") in told
    assert sorted(told) == sorted((r.method, r.template) for r in ROUTES if r.summary)
    ids = list(values_of(DOCUMENT, "operationId"))
    assert len(set(ids)) == len(ids)


async def test_a_peer_serves_the_document_and_a_page_that_needs_nobody_else(
    make_config: MakeConfig,
) -> None:
    async with serving(make_config()) as server, http(server) as session:
        document = json.loads(await (await session.get("/openapi.json")).read())
        page = await session.get("/docs")
        text = await page.text()
    assert document["paths"].keys() == DOCUMENT["paths"].keys()
    assert page.content_type == "text/html"
    assert 'fetch("/openapi.json")' in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//|url\(""", text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_base_address_answers_a_probe(make_config: MakeConfig, method: str) -> None:
    async with serving(make_config()) as server, http(server) as session:
        reply = await session.request(method, "/")
    assert reply.status == 200
