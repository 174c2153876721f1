"""What real clients sent, sent again: every captured request is answered, in its dialect's order.

The captures lie beside the checkout and belong to nobody here: they are read, never copied, and
where they are absent these tests are skipped. Prompts have their real size; each request is sent
as it was, and once more with `stream` the other way round.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from cortex.peer.config import Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from tests.strict import chat, completions, messages, responses
from tests.strict.sse import Json, hold, is_count, parse

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "clients"
pytestmark = pytest.mark.skipif(not _FOLDER.is_dir(), reason=f"no captured requests in {_FOLDER}")

_MARKER = re.compile(r"<client text, (\d+) characters>")
_FILLER = "The quick brown fox jumps over the lazy dog. "
_SEEING, _BLIND = "eyes", "blind"
# What our own connection says, and what the capture left out.
_OWN_HEADERS = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")
_CONTEXT_TOKENS = 262_144
_TIMEOUT_S = 300

Serve = Callable[[PeerConfig], str]


@dataclass(frozen=True, slots=True)
class Request:
    """One captured request. `path` is without its query; `body` is None where there was none."""

    method: str
    target: str
    headers: dict[str, str]
    body: Json | None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_streamed(self) -> bool:
        return self.body is not None and self.body.get("stream") is True


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def _read_all() -> dict[str, Json]:
    """Every captured request as it lies in its file, by the file's name and its place there."""
    found: dict[str, Json] = {}
    for path in sorted(_FOLDER.glob("*.json")):
        told: Json = json.loads(path.read_text(encoding="utf-8"))
        plain = cast(list[Json], told.get("requests") or [told["request"]])
        found |= {f"{path.stem}-{place}": request for place, request in enumerate(plain)}
    return found


_CAPTURED = _read_all()


def captured(name: str, **changes: Any) -> Request:
    """The request for the models that are served here, its prompt as long as it was."""
    request = _CAPTURED[name]
    body: Json | None = request.get("body") or None
    if body is not None:
        text = _MARKER.sub(_blown_up, json.dumps(body))
        body = json.loads(text)
        assert body is not None
        body |= {"model": _SEEING if _has_picture(text) else _BLIND} | changes
    headers = {k: v for k, v in request["headers"].items() if k.lower() not in _OWN_HEADERS}
    target = request["path"].replace("mock-1", _BLIND)
    return Request(request["method"], target, headers, body)


def _blown_up(marker: re.Match[str]) -> str:
    num_characters = int(marker[1])
    return (_FILLER * (num_characters // len(_FILLER) + 1))[:num_characters]


def _has_picture(text: str) -> bool:
    return '"image_url"' in text or '"image"' in text or '"input_image"' in text


def turned(request: Request) -> Request:
    """The same request with `stream` the other way round."""
    assert request.body is not None
    body = request.body | {"stream": not request.is_streamed}
    return Request(request.method, request.target, request.headers, body)


def send(address: str, request: Request) -> Reply:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    try:
        body = None if request.body is None else json.dumps(request.body).encode()
        connection.request(request.method, request.target, body, request.headers)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read())
    finally:
        connection.close()


def check(request: Request, reply: Reply) -> Any:
    """The reply is what the dialect says; gives it as the strict readers do."""
    assert 200 <= reply.status < 300, f"{reply.status} {reply.body[:500]!r}"
    assert reply.headers["x-request-id"] == reply.headers["request-id"]
    if request.method == "HEAD":
        assert reply.body == b""
        return None
    if request.path in _READERS:
        return _check_answer(request, reply)
    value = json.loads(reply.body)
    if request.path.startswith("/v1/models"):
        _check_models(request, value)
    elif request.path == "/v1/embeddings":
        _check_vectors(request, value)
    elif request.path == "/v1/messages/count_tokens":
        assert value.keys() == {"input_tokens"} and value["input_tokens"] > 0
    else:
        raise AssertionError(f"nothing here knows {request.path}")
    return value


def _check_answer(request: Request, reply: Reply) -> Any:
    assert request.body is not None
    read_whole, read_stream = _READERS[request.path]
    if not request.is_streamed:
        assert reply.headers["content-type"].startswith("application/json")
        value = json.loads(reply.body)
        assert value["model"] == request.body["model"]
        return read_whole(value)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-length" not in reply.headers
    read = read_stream(request.body, reply.body)
    assert read.error is None, read.error
    return read


def _wants_usage(body: Json) -> bool:
    options: Json | None = body.get("stream_options")
    return bool(options and options.get("include_usage"))


def _read_chat(body: Json, stream: bytes) -> chat.ChatReply:
    reply = chat.read_stream(
        parse(stream), num_choices=body.get("n") or 1, include_usage=_wants_usage(body)
    )
    assert reply.model == body["model"]
    return reply


def _read_completions(body: Json, stream: bytes) -> completions.TextReply:
    return completions.read_stream(parse(stream), include_usage=_wants_usage(body))


def _read_responses(body: Json, stream: bytes) -> responses.ResponsesReply:
    reply = responses.read_stream(parse(stream))
    assert reply.response["model"] == body["model"]
    return reply


def _read_messages(body: Json, stream: bytes) -> messages.MessagesReply:
    reply = messages.read_stream(parse(stream))
    assert reply.model == body["model"]
    return reply


_READERS: dict[str, tuple[Callable[[Json], Any], Callable[[Json, bytes], Any]]] = {
    "/v1/chat/completions": (chat.read_whole, _read_chat),
    "/v1/completions": (completions.read_whole, _read_completions),
    "/v1/responses": (responses.read_whole, _read_responses),
    "/v1/messages": (messages.read_whole, _read_messages),
}


def _check_models(request: Request, value: Json) -> None:
    is_list = request.path == "/v1/models"
    for model in value["data"] if is_list else [value]:
        assert (model["object"], model["type"]) == ("model", "model")
        assert is_count(model["max_input_tokens"]) and is_count(model["created"])
        # The messages SDK types the field as an object, the others as a list.
        is_object = isinstance(model.get("capabilities", {}), dict)
        asks_messages = any(name.lower() == "anthropic-version" for name in request.headers)
        assert is_object == asks_messages
    if is_list:
        ids = [model["id"] for model in value["data"]]
        assert (value["first_id"], value["last_id"]) == (ids[0], ids[-1])


def _check_vectors(request: Request, value: Json) -> None:
    assert request.body is not None
    asked: Any = request.body["input"]
    is_one = isinstance(asked, str) or isinstance(asked[0], int)
    num_asked = 1 if is_one else len(asked)
    assert [entry["index"] for entry in value["data"]] == list(range(num_asked))
    for entry in value["data"]:
        vector = entry["embedding"]
        if request.body.get("encoding_format") == "base64":
            data = base64.b64decode(vector, validate=True)
            vector = struct.unpack(f"<{len(data) // 4}f", data)
        hold(vector and all(isinstance(number, float) for number in vector), "no vector")


@pytest.fixture(scope="module")
def address(serve_peer: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A peer with the fake engine: a model that sees and one that does not, of a long context."""
    root = tmp_path_factory.mktemp("captured")
    places = Locations(root / "data", root / "state", root / "run")
    config = PeerConfig(
        places,
        models_dirs=(root / "models",),
        engine="fake",
        port=0,
        context_limit_tokens=_CONTEXT_TOKENS,
    )
    for name in (_SEEING, _BLIND):
        _copy_model(embedded_dir(config), root / "models" / name)
    (root / "models" / _BLIND / "preprocessor_config.json").unlink()
    return serve_peer(config)


def _copy_model(source: Path, to: Path) -> None:
    """A model with more context than it was made for."""
    shutil.copytree(source, to)
    described: Json = json.loads((to / "config.json").read_text(encoding="utf-8"))
    place = described.get("text_config", described)
    place["max_position_embeddings"] = _CONTEXT_TOKENS
    (to / "config.json").write_text(json.dumps(described), encoding="utf-8")


def _names(*paths: str) -> list[str]:
    """The captured requests to these paths, or all of them."""
    return [
        name
        for name, request in _CAPTURED.items()
        if not paths or request["path"].partition("?")[0] in paths
    ]


@pytest.mark.parametrize("name", _names())
def test_every_captured_request_is_answered_as_it_was_sent(name: str, address: str) -> None:
    request = captured(name)
    check(request, send(address, request))


@pytest.mark.parametrize("name", _names(*_READERS))
def test_every_captured_request_is_answered_with_stream_turned(name: str, address: str) -> None:
    request = turned(captured(name))
    check(request, send(address, request))


@pytest.mark.parametrize("name", _names("/v1/messages"))
def test_count_tokens_of_a_captured_request_is_its_prompt_total(name: str, address: str) -> None:
    request = captured(name, max_tokens=1, stream=False)
    told = check(request, send(address, request))
    body = {k: v for k, v in (request.body or {}).items() if k not in ("max_tokens", "stream")}
    counting = Request("POST", "/v1/messages/count_tokens", request.headers, body)
    counted = check(counting, send(address, counting))
    assert counted["input_tokens"] == messages.prompt_total(told.usage)


def _is_held(body: Json) -> bool:
    """Whether the answer has to be JSON, or a call."""
    outer: list[Json] = [body, body.get("text") or {}, body.get("output_config") or {}]
    formats: list[Json | None] = [
        told.get(name) for told in outer for name in ("response_format", "format")
    ]
    kinds = [told["type"] for told in formats if told is not None]
    return _forces_call(body) or any(kind.startswith("json") for kind in kinds)


def _forces_call(body: Json) -> bool:
    choice: Any = body.get("tool_choice") or ""
    kind = choice if isinstance(choice, str) else choice["type"]
    return kind in ("function", "required", "tool", "any")


def _said_and_called(reply: Any) -> tuple[str, int]:
    """The words of a reply, and how many calls there are in it."""
    if isinstance(reply, chat.ChatReply):
        [choice] = reply.choices
        return choice.content, len(choice.calls)
    if isinstance(reply, responses.ResponsesReply):
        return reply.text, len(reply.calls)
    assert isinstance(reply, messages.MessagesReply)
    texts = [block["text"] for block in reply.content if block["type"] == "text"]
    return "".join(texts), sum(block["type"] == "tool_use" for block in reply.content)


@pytest.mark.parametrize("name", [n for n in _names(*_READERS) if _is_held(_CAPTURED[n]["body"])])
def test_a_captured_wish_for_json_or_a_call_is_granted(name: str, address: str) -> None:
    request = captured(name)
    for sent in (request, turned(request)):
        words, num_calls = _said_and_called(check(sent, send(address, sent)))
        assert num_calls >= 1 or not _forces_call(_CAPTURED[name]["body"])
        # Where tools may be called, a call is an answer too.
        assert num_calls or isinstance(json.loads(words), dict)


_LIMITS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/messages": "max_tokens",
}


@pytest.fixture(scope="module")
def nano(serve_peer: Serve, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A peer with the torch engine and cortex-nano under both names, of a long context."""
    root = tmp_path_factory.mktemp("nano")
    places = Locations(root / "data", root / "state", root / "run")
    config = PeerConfig(
        places,
        models_dirs=(root / "models",),
        port=0,
        context_limit_tokens=_CONTEXT_TOKENS,
        cpu_threads=1,
    )
    for name in (_SEEING, _BLIND):
        _copy_model(embedded_dir(config), root / "models" / name)
    return serve_peer(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", _names(*_LIMITS, "/v1/messages/count_tokens", "/v1/models"))
def test_every_captured_request_is_answered_by_a_real_model(name: str, nano: str) -> None:
    """A few tokens each, in both modes."""
    request = captured(name)
    if request.path not in _LIMITS:
        check(request, send(nano, request))
        return
    limit = {_LIMITS[request.path]: 4, "model": _SEEING}
    short = captured(name, **limit)
    check(short, send(nano, short))
    check(turned(short), send(nano, turned(short)))


def _turns(body: Json) -> tuple[str, list[Json]]:
    name = "messages" if "messages" in body else "input"
    return name, body.get(name, [])


def _is_said(turn: Json) -> bool:
    """Whether it is the model's."""
    return turn.get("role", turn.get("type")) in ("assistant", "reasoning", "function_call")


def _later_turns() -> list[str]:
    agents = [name for name in _names(*_LIMITS) if "-turn-" in name]
    return [name for name in agents if any(map(_is_said, _turns(_CAPTURED[name]["body"])[1]))]


def _first_turn(request: Request) -> Request:
    """The request that its client sent before the model had said anything."""
    assert request.body is not None
    name, turns = _turns(request.body)
    start = [_is_said(turn) for turn in turns].index(True)
    body = request.body | {name: turns[:start]}
    return Request(request.method, request.target, request.headers, body)


def _input_tokens(reply: Any) -> tuple[int, int]:
    """Those of the whole prompt, and those of it that were reused."""
    usage = reply.response["usage"] if hasattr(reply, "response") else reply.usage
    if "prompt_tokens" in usage:
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
    if "cache_read_input_tokens" in usage:
        return messages.prompt_total(usage), usage["cache_read_input_tokens"]
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("name", _later_turns())
def test_the_next_turn_of_a_captured_conversation_reads_the_last_one_from_the_cache(
    name: str, nano: str
) -> None:
    path = captured(name).path
    second = captured(name, **{_LIMITS[path]: 1, "model": _SEEING, "stream": False})
    first = _first_turn(second)
    num_first, _ = _input_tokens(check(first, send(nano, first)))
    _, num_reused = _input_tokens(check(second, send(nano, second)))
    # The last token of a prompt is read when its answer begins, and is kept with the answer.
    assert num_reused >= num_first - 1
