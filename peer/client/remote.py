"""A peer over HTTP, as a Backend: requests out, its stream back as events.

It speaks the chat-completions dialect and reads the comments other clients skip. An error comes
back as the class it was on the other side.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast, get_args

import aiohttp

from cortex.engine.errors import CortexError
from cortex.engine.stream import Event
from cortex.engine.types import Capability, ChatRequest

from ..errors import AnswerBrokeOff, NoPeer
from ..onlooker.asking import NOT_A_PEER
from ..onlooker.reading import text
from ..types import ModelInfo, Warmth, Whereabouts
from .bodies import count_body, to_body
from .chunks import BROKE_OFF, StreamReader, load_object
from .told_errors import error_of

_CONNECT_S = 5.0
_MAX_LINE_BYTES = 4 * 1024 * 1024


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
        async with self._asked("/v1/models") as response:
            told = load_object(await response.read())
            return tuple(_read_model(model) for model in told.get("data", ()))

    async def picture_tokens(self, model: str, picture: bytes) -> int:
        """What a picture adds to a prompt of that model, found out without its weights."""
        with_it, without = [await self._count(count_body(model, p)) for p in (picture, None)]
        return with_it - without

    async def _count(self, body: dict[str, Any]) -> int:
        async with self._asked("/v1/messages/count_tokens", body) as response:
            return int(load_object(await response.read())["input_tokens"])

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        async with self._asked("/v1/chat/completions", to_body(request)) as response:
            reader = StreamReader()
            while line := await self._read_line(response.content):
                for event in reader.read_line(line):
                    yield event
                self.answered_by = reader.answered_by or self.name
            reader.check_end()

    @asynccontextmanager
    async def _asked(
        self, path: str, body: dict[str, Any] | None = None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The reply to a POST of that body, or to a GET; reading what is no peer's is its end too.

        Raises what the peer refuses with, NoPeer or AnswerBrokeOff.
        """
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                f"{self._base}{path}",
                json=body,
                headers=self._headers,
                timeout=self._timeout,
                read_bufsize=_MAX_LINE_BYTES,
            ) as response:
                if response.status != 200:
                    raise error_of(load_object(await response.read()), response.status)
                yield response
        except (aiohttp.ClientError, TimeoutError, *NOT_A_PEER) as error:
            raise self._gone(error) from error

    async def _read_line(self, content: aiohttp.StreamReader) -> bytes:
        async with asyncio.timeout(self._patience.in_stream_s):
            return await content.readline()

    def _gone(self, error: Exception) -> CortexError:
        if isinstance(error, aiohttp.ClientConnectorError):
            return NoPeer(f"no peer answers at {self.name}", "start one there with: cortex peer")
        return AnswerBrokeOff(f"the peer at {self.name} broke off", BROKE_OFF)


def _read_model(plain: dict[str, Any]) -> ModelInfo:
    told = plain.get("capabilities", ("text",))
    known: tuple[Capability, ...] = get_args(Capability)
    return ModelInfo(
        id=text(plain["id"]),
        dir=None,
        capabilities=tuple(each for each in known if each in told),
        context_length=int(plain.get("context_length", 0)),
        created_s=int(plain.get("created", 0)),
        size_bytes=int(plain.get("size_bytes", 0)),
        where=tuple(map(_read_whereabouts, plain.get("where", ()))),
    )


def _read_whereabouts(plain: dict[str, Any]) -> Whereabouts:
    eta_s, state = plain.get("eta_s"), str(plain["state"])
    return Whereabouts(
        text(plain["peer"]),
        # A newer peer may know more words: what is neither here nor coming has to be loaded.
        cast(Warmth, state) if state in get_args(Warmth) else "cold",
        None if eta_s is None else float(eta_s),
        plain.get("pinned") is True,
    )
