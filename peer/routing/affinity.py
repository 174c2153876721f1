"""Which peer a conversation belongs to, so that its prefix is remembered where it is asked again.

Every peer finds the same order by itself, without a word said: rendezvous hashing of the
conversation's key over the nodes. All turns of a conversation have the same key. Who is busy is not
known here. Pure.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

from cortex.engine.types import ChatRequest, ImagePart, Message, RawText

from ..gossip.ids import ModelId, NodeId

_KEY_BYTES = 8
# Of the first turn, or of a raw prompt: what follows may differ from call to call.
_HEAD_BYTES = 1024
_RAW_TOKEN_BYTES = 4


def conversation_key(model: ModelId, request: ChatRequest) -> bytes:
    """The client's own word for it; else its beginning, which every later turn repeats."""
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    parts = (_bytes(request.routing_key),) if request.routing_key else _beginning(request)
    for part in (model, *parts):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def ranked(key: bytes, speed_steps: Sequence[tuple[NodeId, int]]) -> list[NodeId]:
    """Nodes with the steps of their speeds, the one that the key belongs to first.

    A node that is a step faster, which is twice as fast, has twice as many keys. An unknown speed
    is 0, and counts as the slowest known.
    """
    slowest = min((step for _, step in speed_steps if step > 0), default=1)
    scores = {node: _score(key, node, step or slowest) for node, step in speed_steps}
    return sorted(scores, key=lambda node: (scores[node], node), reverse=True)


def _score(key: bytes, node: NodeId, speed_step: int) -> float:
    """Weighted rendezvous hashing: -weight / ln(u) for a hash u between 0 and 1."""
    number = int.from_bytes(hashlib.blake2b(key + node, digest_size=8).digest(), "big")
    uniform = (number + 0.5) / 2**64
    return -(2.0**speed_step) / math.log(uniform)


def _beginning(request: ChatRequest) -> Iterator[bytes]:
    if request.raw is not None:
        yield _raw_head(request)
        return
    for tool in request.tools:
        yield _bytes(f"{tool.name}\0{tool.description}\0{tool.parameters}")
    for message in _until_first_user(request.messages):
        yield message.role.encode()
        for part in message.content:
            data = part.data if isinstance(part, ImagePart) else _bytes(part.text)
            yield data[:_HEAD_BYTES] if message.role == "user" else data


def _until_first_user(messages: Iterable[Message]) -> Iterator[Message]:
    """What the system says wherever it stands before the first question, and that question."""
    for message in messages:
        yield message
        if message.role == "user":
            return


def _raw_head(request: ChatRequest) -> bytes:
    if isinstance(request.raw, RawText):
        return _bytes(request.raw.text[:_HEAD_BYTES])
    assert request.raw is not None
    head = request.raw.token_ids[: _HEAD_BYTES // _RAW_TOKEN_BYTES]
    return b",".join(b"%d" % token_id for token_id in head)


def _bytes(text: str) -> bytes:
    """Clients may send halves of characters, which have no UTF-8."""
    return text.encode("utf-8", "surrogatepass")
