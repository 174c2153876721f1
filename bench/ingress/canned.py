"""What is asked and what is answered, the same for every contender; and the clock in the answers.

An event of a stream carries the moment at which the backend gave it away, so that whoever reads it
knows how long it was on its way. All processes are on one machine and read the same clock. What the
backend is to do stands in two fields of the request that every contender passes on: `max_tokens`
says how many events there are, `seed` in how many groups the streams are dealt out, whose turns are
spread evenly over an interval; 0 asks for the whole answer at once. It knows no sockets.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from PIL import Image

Kind = Literal["plain", "stream", "picture"]

# The model that ships with the fake engine.
MODEL = "fake"
PATH = "/v1/chat/completions"
EVENTS_PER_S = 50
WORDS = "The receipt names a total of 41.80 and was printed on a Tuesday."
NUM_WORD_TOKENS = 16

# A stamp is cut out of whatever surrounds it, in JSON or not.
_STAMP = re.compile(rb"@(\d+);")
# A stamp's tail may be in the next read: so many bytes of the last one are kept.
STAMP_BYTES = 24
_PICTURE_SIDE = 1870


class Place(msgspec.Struct, frozen=True):
    """Where the backend, or a peer in front of it, is to serve: told to its process as JSON."""

    port: int
    text_socket: str
    engine_socket: str
    # Of the backend, in how many groups streams are dealt out; of a peer, what it remembers.
    groups: tuple[int, ...] = ()
    state_dir: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """How a request wants to be answered."""

    num_events: int
    num_groups: int

    @property
    def is_at_once(self) -> bool:
        return self.num_groups == 0


AT_ONCE = Wish(NUM_WORD_TOKENS, 0)


def event_text(now_s: float) -> str:
    return f" word@{round(now_s * 1e6)};"


def stamps_s(data: bytes) -> tuple[list[float], bytes]:
    """The moments in what was read, and what must be put before the next read."""
    found = list(_STAMP.finditer(data))
    rest = data[found[-1].end() :] if found else data
    return [int(match[1]) / 1e6 for match in found], rest[-STAMP_BYTES:]


def request_body(kind: Kind, wish: Wish, *, picture: bytes = b"") -> bytes:
    """The JSON of a request as an official client would send it."""
    question: Any = "What does the receipt say, and when was it printed?"
    if kind == "picture":
        url = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
        question = [
            {"type": "text", "text": question},
            {"type": "image_url", "image_url": {"url": url}},
        ]
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You read receipts, and answer in one sentence."},
            {"role": "user", "content": question},
        ],
        "max_tokens": wish.num_events,
        "seed": wish.num_groups,
        "temperature": 0.7,
    }
    if kind == "stream":
        body["stream"] = True
    return json.dumps(body, separators=(",", ":")).encode()


def reply_body() -> bytes:
    """A whole chat completion."""
    usage = {"prompt_tokens": 40, "completion_tokens": NUM_WORD_TOKENS, "total_tokens": 56}
    message = {"role": "assistant", "content": WORDS}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    reply = {
        "id": "chatcmpl-canned",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(reply, separators=(",", ":")).encode()


def chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """One event of a streamed chat completion."""
    value = {
        "id": "chatcmpl-canned",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def noisy_png() -> bytes:
    """A picture of some 10 MB: noise, which no format makes smaller."""
    noise = random.Random(0).randbytes(_PICTURE_SIDE * _PICTURE_SIDE * 3)
    file = io.BytesIO()
    size = (_PICTURE_SIDE, _PICTURE_SIDE)
    Image.frombytes("RGB", size, noise).save(file, "png", compress_level=0)
    return file.getvalue()
