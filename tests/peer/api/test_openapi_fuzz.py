"""Requests made from the peer's own OpenAPI document: what it promises, and what it rules out.

What the document says is right is tried, and so is what it says is wrong. Routes that end or
change the peer's work are left alone: they are about this very peer.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex.peer.config import Locations, PeerConfig
from tests.strict.sse import check_messages_error, check_openai_error

Serve = Callable[[PeerConfig], str]
_TIMEOUT_S = 60
_EXAMPLES = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(serve_peer: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("openapi")
    places = Locations(root / "data", root / "state", root / "run")
    return serve_peer(PeerConfig(places, engine="fake", port=0))


@pytest.fixture(scope="module")
def operations(address: str) -> list[Any]:
    """What the document describes below /v1, as schemathesis reads it."""
    status, text = _send(address, "GET", "/openapi.json", None)
    assert status == 200
    schema = schemathesis.openapi.from_dict(json.loads(text))
    results: list[Any] = list(cast(Any, schema).get_all_operations())
    found = [result.ok() for result in results]
    return [operation for operation in found if operation.path.startswith("/v1/")]


def _send(address: str, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _body_of(case: Any, model: str | None) -> bytes | None:
    """The case's body, for a model that is served here where one is given."""
    if case.method.upper() == "GET":
        return None
    body: Any = case.body
    if model is not None and isinstance(body, dict):
        body = cast(dict[str, Any], body) | {"model": model}
    try:
        return json.dumps(body).encode()
    except TypeError:  # the case has no body, or one that is no JSON
        return b""


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@settings(
    max_examples=_EXAMPLES,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
@given(data=st.data())
def test_what_the_document_describes_is_answered_or_refused_in_its_dialect(
    address: str, operations: list[Any], mode: schemathesis.GenerationMode, data: st.DataObject
) -> None:
    operation = data.draw(st.sampled_from(operations))
    case = data.draw(operation.as_strategy(generation_mode=mode))
    body = _body_of(case, data.draw(st.sampled_from(["fake", "fake", None])))
    status, answer = _send(address, case.method.upper(), case.formatted_path, body)
    assert status < 500, answer
    if status >= 400:
        check = check_messages_error if "/messages" in operation.path else check_openai_error
        check(json.loads(answer))


def test_every_route_of_a_dialect_is_described(operations: list[Any]) -> None:
    described = {operation.path for operation in operations}
    assert {
        *("/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"),
        *("/v1/responses", "/v1/messages", "/v1/messages/count_tokens"),
    } <= described
