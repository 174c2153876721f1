"""The embeddings dialect: a body becomes a request for each of its texts, vectors become a reply.

The reply comes in pieces, one vector at a time: as JSON text they weigh several times what they
are.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from cortex.engine.stream import Vector
from cortex.engine.types import ChatRequest, VectorWish

from ..asked import Arrival
from ..decoding import read_body
from ..names_of_others import refuse_truncation
from ..prompts import read_raw_prompts
from ..routing import first_key
from .body import EmbeddingsBody

# As many as clients of the API that this dialect comes from send at once.
MAX_INPUTS = 2048
_VALUE_BYTES = 4


@dataclass(frozen=True, slots=True)
class AskedEmbeddings:
    """One request a text, and how the vectors are to be written."""

    requests: tuple[ChatRequest, ...]
    is_base64: bool


def parse_embeddings(body: bytes, arrival: Arrival) -> AskedEmbeddings:
    """A whole body.

    Raises CortexErrors only, each naming its field, whatever the bytes.
    """
    asked = read_body(body, EmbeddingsBody, has_token_ids=True)
    refuse_truncation(asked.truncate_prompt_tokens)
    routing_key = first_key(arrival.routing_key, asked.user)
    requests = tuple(
        ChatRequest(
            model=asked.model,
            messages=(),
            seed=0,
            now_s=arrival.wall_clock_s,
            routing_key=routing_key,
            raw=raw,
            vector=VectorWish(asked.dimensions, path),
            priority=asked.priority or 0,
        )
        for path, raw in read_raw_prompts(asked.input, "input", MAX_INPUTS).items()
    )
    return AskedEmbeddings(requests, asked.encoding_format == "base64")


def reply_pieces(model: str, vectors: Sequence[Vector], *, is_base64: bool) -> Iterator[bytes]:
    """The reply's JSON text, from its beginning to its end."""
    yield b'{"object":"list","data":['
    for index, vector in enumerate(vectors):
        values = _base64(vector) if is_base64 else _numbers(vector)
        item = {"object": "embedding", "index": index, "embedding": values}
        yield (b"," if index else b"") + msgspec.json.encode(item)
    num_tokens = sum(vector.prompt_tokens for vector in vectors)
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    yield (
        b'],"model":'
        + msgspec.json.encode(model)
        + b',"usage":'
        + msgspec.json.encode(usage)
        + b"}"
    )


def _base64(vector: Vector) -> str:
    """What the dialect wants is what a vector is: float32, lowest byte first."""
    return base64.b64encode(vector.data).decode("ascii")


def _numbers(vector: Vector) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector.data) // _VALUE_BYTES}f", vector.data)
