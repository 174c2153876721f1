"""A peer over HTTP, as a Backend: requests out, its stream back as events.

It speaks the chat-completions dialect and reads the comments other clients skip. An error comes
back as the class it was on the other side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast, get_args

import aiohttp

from cortex.engine.errors import CortexError
from cortex.engine.types import (
    Capability,
    ChatRequest,
    Event,
    Finished,
    FinishReason,
    Piece,
    ScoredToken,
    TokenLogprob,
    Usage,
)

from ..errors import AnswerBrokeOff, NoPeer
from ..types import ModelInfo, Warmth, Whereabouts
from .bodies import count_body, to_body
from .chunks import ChunkReader
from .progress import AnsweredBy, Remark, from_comment
from .told_errors import error_of

_CONNECT_S = 5.0
_MAX_LINE_BYTES = 4 * 1024 * 1024
# What reading the JSON of some other program can raise.
_NOT_A_PEER = (ValueError, TypeError, KeyError, AttributeError)
_BROKE_OFF = "send the question again"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may say nothing before it counts as gone.

    `before_headers_s`: a peer says nothing until the prompt is made, which takes as long as its
    text process needs to start (two minutes, at the utmost) and as those before us in its queue.
    `in_stream_s`: a stream never rests longer than ten seconds.
    """

    before_headers_s: float = 300.0
    in_stream_s: float = 30.0


class RemotePeer:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: str,
        patience: Patience | None = None,
        *,
        api_key: str | None = None,
    ) -> None:
        self.name = self.answered_by = address
        self.api_key = api_key
        self._session = session
        self._base = f"http://{address}"
        self._patience = patience or Patience()
        self._headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_S, sock_read=self._patience.before_headers_s
        )

    async def models(self) -> tuple[ModelInfo, ...]:
        try:
            async with self._session.get(
                f"{self._base}/v1/models", headers=self._headers, timeout=self._timeout
            ) as response:
                body = await response.read()
                if response.status != 200:
                    raise error_of(_load_object(body), response.status)
            return tuple(_read_model(model) for model in _load_object(body).get("data", ()))
        except (aiohttp.ClientError, TimeoutError, *_NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        """What a picture adds to a prompt of that model, found out without its weights."""
        with_it, without = [await self._count(count_body(model, p)) for p in (picture, None)]
        return with_it - without

    async def _count(self, body: dict[str, Any]) -> int:
        try:
            async with self._session.post(
                f"{self._base}/v1/messages/count_tokens",
                data=json.dumps(body).encode(),
                headers={"content-type": "application/json", **self._headers},
                timeout=self._timeout,
            ) as response:
                told = _load_object(await response.read())
                if response.status != 200:
                    raise error_of(told, response.status)
            return int(told["input_tokens"])
        except (aiohttp.ClientError, TimeoutError, *_NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        try:
            async with self._session.post(
                f"{self._base}/v1/chat/completions",
                data=json.dumps(to_body(request)).encode(),
                headers={"content-type": "application/json", **self._headers},
                timeout=self._timeout,
                read_bufsize=_MAX_LINE_BYTES,
            ) as response:
                if response.status != 200:
                    raise error_of(_load_object(await response.read()), response.status)
                reader = StreamReader()
                while line := await self._read_line(response.content):
                    for event in reader.read_line(line):
                        yield event
                    self.answered_by = reader.answered_by or self.name
                reader.check_end()
        except (aiohttp.ClientError, TimeoutError, *_NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def _read_line(self, content: aiohttp.StreamReader) -> bytes:
        async with asyncio.timeout(self._patience.in_stream_s):
            return await content.readline()

    def _gone(self, error: Exception) -> CortexError:
        if isinstance(error, aiohttp.ClientConnectorError):
            return NoPeer(f"no peer answers at {self.name}", "start one there with: cortex peer")
        return AnswerBrokeOff(f"the peer at {self.name} broke off", _BROKE_OFF)


class StreamReader:
    """Lines of a chat-completions stream in, events out."""

    def __init__(self) -> None:
        self.answered_by = ""
        self._reasons: dict[int, FinishReason] = {}
        self._is_finished = False
        self._choices: dict[int, ChunkReader] = {}

    def read_line(self, line: bytes) -> list[Event]:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith(":"):
            return self._read_remark(from_comment(text[1:]))
        if not text.startswith("data:") or text[5:].strip() == "[DONE]":
            return []
        return self._read_chunk(_load_object(text[5:].encode()))

    def _read_remark(self, remark: Remark | None) -> list[Event]:
        if isinstance(remark, AnsweredBy):
            self.answered_by = remark.peer
            return []
        return [] if remark is None else [remark]

    def check_end(self) -> None:
        if not self._is_finished:
            raise AnswerBrokeOff("the peer's answer broke off before its end", _BROKE_OFF)

    def _read_chunk(self, chunk: dict[str, Any]) -> list[Event]:
        if "error" in chunk:
            raise error_of(chunk, 0)
        events: list[Event] = []
        for choice in chunk.get("choices", ()):
            index = int(choice.get("index", 0))
            reader = self._choices.setdefault(index, ChunkReader())
            deltas = reader.read(choice.get("delta", {}))
            logprobs = _read_logprobs(choice.get("logprobs"))
            if choice.get("finish_reason") is not None:
                reason = "length" if choice["finish_reason"] == "length" else "stop"
                self._reasons[index] = reason
                deltas += reader.end(is_whole=reason == "stop")
            if deltas or logprobs:
                events.append(Piece(tuple(deltas), (), logprobs, index))
        if chunk.get("usage") and self._reasons:
            self._is_finished = True
            events += self._endings(_read_usage(chunk["usage"]))
        return events

    def _endings(self, total: Usage) -> list[Finished]:
        """The first choice stands for the cost of all: how it is shared out is not told."""
        nothing = Usage(total.prompt_tokens, 0, total.cached_tokens)
        choices = sorted(self._reasons.items())
        return [
            Finished(reason, nothing if place else total, choice)
            for place, (choice, reason) in enumerate(choices)
        ]


def _read_model(plain: dict[str, Any]) -> ModelInfo:
    told = plain.get("capabilities", ())
    capabilities: tuple[Capability, ...] = ("text", "vision") if "vision" in told else ("text",)
    return ModelInfo(
        id=str(plain["id"]),
        dir=None,
        capabilities=capabilities,
        context_length=int(plain.get("context_length", 0)),
        created_s=int(plain.get("created", 0)),
        size_bytes=int(plain.get("size_bytes", 0)),
        where=tuple(map(_read_whereabouts, plain.get("where", ()))),
    )


def _read_whereabouts(plain: dict[str, Any]) -> Whereabouts:
    eta_s, state = plain.get("eta_s"), str(plain["state"])
    return Whereabouts(
        str(plain["peer"]),
        # A newer peer may know more words: what is neither here nor coming has to be loaded.
        cast(Warmth, state) if state in get_args(Warmth) else "cold",
        None if eta_s is None else float(eta_s),
        plain.get("pinned") is True,
    )


def _read_logprobs(plain: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(_read_scored(entry), tuple(map(_read_scored, entry["top_logprobs"])))
        for entry in (plain or {}).get("content") or ()
    )


def _read_scored(plain: dict[str, Any]) -> ScoredToken:
    return ScoredToken(bytes(plain["bytes"]), float(plain["logprob"]))


def _read_usage(plain: dict[str, Any]) -> Usage:
    prompt: dict[str, Any] = plain.get("prompt_tokens_details") or {}
    completion: dict[str, Any] = plain.get("completion_tokens_details") or {}
    return Usage(
        int(plain.get("prompt_tokens", 0)),
        int(plain.get("completion_tokens", 0)),
        int(prompt.get("cached_tokens", 0)),
        int(completion.get("reasoning_tokens", 0)),
    )


def _load_object(body: bytes) -> dict[str, Any]:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
