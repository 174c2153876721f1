"""The embeddings dialect: bodies to requests, vectors to replies."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import CortexError, InvalidRequest
from cortex.engine.frames import pack_value, unpack_value
from cortex.engine.stream import Vector
from cortex.engine.types import ChatRequest, RawText, RawTokens, VectorWish
from cortex.peer.dialects.asked import Arrival
from cortex.peer.dialects.embeddings.parse import (
    MAX_INPUTS,
    AskedEmbeddings,
    parse_embeddings,
    reply_pieces,
)
from cortex.peer.errors import UnsupportedParameter

Raw = RawText | RawTokens
ARRIVAL = Arrival(now_s=7, random_seed=11, id_hex="0f")


def parse(**fields: Any) -> AskedEmbeddings:
    return parse_embeddings(json.dumps({"model": "m", "input": "a"} | fields).encode(), ARRIVAL)


@pytest.mark.parametrize(
    ("given", "raw"),
    [
        ("a", {"input": RawText("a")}),
        (["a"], {"input[0]": RawText("a")}),
        (["a", ""], {"input[0]": RawText("a"), "input[1]": RawText("")}),
        ([5, 6], {"input": RawTokens((5, 6))}),
        ([[5], [6, 7]], {"input[0]": RawTokens((5,)), "input[1]": RawTokens((6, 7))}),
    ],
)
def test_every_form_of_input_is_read_and_named(given: Any, raw: dict[str, Raw]):
    parsed = parse(input=given)

    assert [request.raw for request in parsed.requests] == list(raw.values())
    wishes = [request.vector for request in parsed.requests]
    assert wishes == [VectorWish(None, path) for path in raw]


def test_wishes_are_those_of_every_input_and_unknown_fields_are_ignored():
    fields: dict[str, Any] = {"user": "u", "input_type": "query", "task": {"x": 1}}
    parsed = parse(input=["a", "b"], dimensions=3, encoding_format="base64", **fields)

    assert parsed.is_base64
    for request in parsed.requests:
        assert request.vector is not None and request.vector.dimensions == 3
        assert (request.model, request.now_s, request.routing_key) == ("m", 7, "u")
        assert unpack_value(ChatRequest, pack_value(request)) == request


def test_a_cut_of_the_texts_is_refused_where_it_is_asked_for():
    assert parse(truncate_prompt_tokens=-1).requests
    with pytest.raises(UnsupportedParameter, match="no prompt is cut here") as refused:
        parse(truncate_prompt_tokens=512)
    assert refused.value.param == "truncate_prompt_tokens"


def test_null_means_absent():
    parsed = parse(dimensions=None, encoding_format=None, user=None, truncate_prompt_tokens=None)

    assert not parsed.is_base64
    assert parsed.requests[0].vector == VectorWish()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5, "a"]}, "input"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": [[5], [2.5]]}, "input[1][0]"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "3"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"encoding_format": 1}, "encoding_format"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)

    assert caught.value.param == param


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    body=st.binary(max_size=20)
    | st.fixed_dictionaries(
        {"model": _json, "input": _json},
        optional={"dimensions": _json, "encoding_format": _json, "user": _json},
    ).map(lambda fields: json.dumps(fields).encode())
)
def test_any_body_is_read_or_refused(body: bytes):
    try:
        parsed = parse_embeddings(body, ARRIVAL)
    except CortexError:
        return
    assert all(request.raw is not None and request.vector for request in parsed.requests)


@given(
    vectors=st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False))),
    model=st.text(),
    is_base64=st.booleans(),
)
def test_replies_hold_the_values_to_the_bit(
    vectors: list[list[float]], model: str, is_base64: bool
):
    packed = [Vector(struct.pack(f"<{len(v)}f", *v), n) for n, v in enumerate(vectors)]

    reply: Any = json.loads(b"".join(reply_pieces(model, packed, is_base64=is_base64)))

    def values(told: Any) -> list[float]:
        if not is_base64:
            return told
        data = base64.b64decode(told, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    assert [values(item["embedding"]) for item in reply["data"]] == vectors
    assert [item["index"] for item in reply["data"]] == list(range(len(vectors)))
    num_tokens = sum(range(len(vectors)))
    assert reply["usage"] == {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    assert (reply["object"], reply["model"]) == ("list", model)
