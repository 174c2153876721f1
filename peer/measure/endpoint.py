"""An OpenAI endpoint over HTTP, asked and timed.

What goes wrong with a request is named in its timeline, because a benchmark counts failures; only
what makes every request pointless is raised.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from ..errors import InvalidApiKey, NoPeer, spoken
from .reading import Clock, TimelineReader, load_object, name_error, objects, read_timeline
from .timeline import Timeline

_CONNECT_S = 5.0
# The first request may load a model, and the last of many waits for all before it.
_SILENCE_S = 600.0
_MAX_LINE_BYTES = 4 * 1024 * 1024


class Endpoint:
    """`url` is what clients call the base: it ends in /v1."""

    def __init__(self, session: aiohttp.ClientSession, url: str, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self._session = session
        self._clock = clock

    async def models(self) -> list[str]:
        """The ids it lists, those of models that are said to chat first.

        Raises InvalidApiKey, and NoPeer where nothing answers as an endpoint does.
        """
        try:
            async with self._session.get(f"{self.url}/models") as response:
                self._check_key(response)
                if response.status != 200:
                    raise NoPeer(
                        f"{self.url}/models answers with status {response.status}",
                        "--url is the base that clients are given; most end in /v1",
                    )
                listed = objects(load_object(await response.read()).get("data"))
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise NoPeer(
                f"no endpoint answers at {self.url} ({spoken(error)})",
                "start one with: cortex peer; or name another with --url",
            ) from error
        # Others say nothing of it, or in other words: then it is as they list them.
        listed.sort(key=lambda model: not _is_said_to_chat(model))
        return [str(model["id"]) for model in listed if "id" in model]

    async def ask(self, path: str, body: dict[str, Any]) -> Timeline:
        """Send one request and read its stream to the end; failures are in the timeline.

        Raises InvalidApiKey: no other request would do better.
        """
        data = json.dumps(body).encode()
        reader = TimelineReader(self._clock())
        try:
            async with self._session.post(
                f"{self.url}/{path}",
                data=data,
                headers={"content-type": "application/json"},
                read_bufsize=_MAX_LINE_BYTES,
            ) as response:
                self._check_key(response)
                if response.status != 200:
                    told = load_object(await response.read())
                    return reader.timeline(self._clock(), name_error(told, response.status))
                return await read_timeline(_lines(response.content), self._clock, reader)
        except TimeoutError:
            return reader.timeline(self._clock(), f"silent for {_SILENCE_S:g} s")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return reader.timeline(self._clock(), type(error).__name__)

    def _check_key(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 401:
            raise InvalidApiKey(
                f"the endpoint at {self.url} wants an API key that it knows",
                "set CORTEX_API_KEY to a key of that endpoint",
            )


def _is_said_to_chat(model: dict[str, Any]) -> bool:
    said = model.get("capabilities")
    return isinstance(said, list) and "text" in said


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    while line := await content.readline():
        yield line


@asynccontextmanager
async def open_endpoint(url: str, clock: Clock, key: str | None = None) -> AsyncGenerator[Endpoint]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    # Whoever measures decides how many requests run at once, not the pool of connections.
    connector = aiohttp.TCPConnector(limit=0)
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        yield Endpoint(session, url, clock)
