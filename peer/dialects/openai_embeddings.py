"""The embeddings dialect: a body becomes a request for each of its texts, vectors become a reply.

The reply comes in pieces, one vector at a time: as JSON text they weigh several times what they
are.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import ChatRequest, Vector, VectorWish

from . import openai_sampling as wishes
from .fields import Fields, parse_object, refuse
from .raw_prompts import read_raw_prompts

# As many as clients of the API that this dialect comes from send at once.
MAX_INPUTS = 2048
_VALUE_BYTES = 4


@dataclass(frozen=True, slots=True)
class ParsedEmbeddings:
    """One request a text, and how the vectors are to be written."""

    requests: tuple[ChatRequest, ...]
    is_base64: bool


def parse_embeddings(body: bytes, *, now_s: int) -> ParsedEmbeddings:
    """A whole body.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    try:
        return _read(parse_object(body), now_s)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _read(body: Fields, now_s: int) -> ParsedEmbeddings:
    model = body.text("model")
    if not model:
        refuse("model", "required: the id of a model", "GET /v1/models lists them")
    encoding = body.text("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        refuse("encoding_format", "must be float or base64")
    dimensions = body.integer("dimensions", 1)
    routing_key, priority = wishes.read_routing_key(body), wishes.read_priority(body)
    inputs = read_raw_prompts(body, "input", MAX_INPUTS)
    requests = tuple(
        ChatRequest(
            model=model,
            messages=(),
            seed=0,
            now_s=now_s,
            routing_key=routing_key,
            raw=raw,
            vector=VectorWish(dimensions, path),
            priority=priority,
        )
        for path, raw in inputs.items()
    )
    return ParsedEmbeddings(requests, encoding == "base64")


def reply_pieces(model: str, vectors: Sequence[Vector], *, is_base64: bool) -> Iterator[bytes]:
    """The reply's JSON text, from its beginning to its end."""
    yield b'{"object":"list","data":['
    for index, vector in enumerate(vectors):
        values = _base64(vector) if is_base64 else _numbers(vector)
        item = {"object": "embedding", "index": index, "embedding": values}
        yield (b"," if index else b"") + _dumps(item)
    num_tokens = sum(vector.prompt_tokens for vector in vectors)
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    yield b'],"model":' + _dumps(model) + b',"usage":' + _dumps(usage) + b"}"


def _base64(vector: Vector) -> str:
    """What the dialect wants is what a vector is: float32, lowest byte first."""
    return base64.b64encode(vector.data).decode("ascii")


def _numbers(vector: Vector) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector.data) // _VALUE_BYTES}f", vector.data)


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
