"""The hub over HTTP: what a repository lists, and a file's bytes from any place on.

What may pass is raised as HubAway, for whoever asks to try again. Neither the token nor the signed
addresses that the hub leads to are in any message, and the token stays behind where it leads to
another host.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from cortex.engine.errors import ModelNotFound

from ..config import HubConfig
from ..errors import HubFailed, PermissionDenied
from .listing import HubFile, Listing, read_listing

_CONNECT_S = 10.0
# For each read, never for the whole: a link may be slow, a hub that says nothing is away.
READ_S = 20.0
_PIECE_BYTES = 1024 * 1024
_MAX_LISTING_BYTES = 16 * 1024 * 1024
_LONGEST_REST_S = 30.0
# Of what a hub in distress may ask for.
_LONGEST_WAIT_S = 300.0
_WITH_TOKEN = "start the peer with HF_TOKEN, or after hf auth login"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-")


class HubAway(Exception):
    """Nobody answers, or not now, or no further; `wait_s` is when to come again, where told."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s


class Tries:
    """How often something may fail in a row, with ever longer rests between; `hint` is for whoever
    is told that it has failed for good.
    """

    def __init__(
        self, most: int, host: str, sleep: Callable[[float], Awaitable[None]], hint: str
    ) -> None:
        self._most = most
        self._host = host
        self._sleep = sleep
        self._hint = hint
        self._num_failed = 0

    def went_on(self) -> None:
        self._num_failed = 0

    async def failed(self, error: HubAway) -> None:
        """Rest. Raises HubFailed where that was the last try."""
        self._num_failed += 1
        if self._num_failed >= self._most:
            raise HubFailed(f"{self._host} fails: {error.why}", self._hint) from error
        own_s = min(2.0 ** (self._num_failed - 1), _LONGEST_REST_S)
        await self._sleep(own_s if error.wait_s is None else min(error.wait_s, _LONGEST_WAIT_S))


class Hub:
    """Use as `async with open_hub(config) as hub`."""

    def __init__(self, session: aiohttp.ClientSession, config: HubConfig) -> None:
        self._session = session
        self._base = config.endpoint.rstrip("/")
        self._has_token = config.token is not None
        self.host = URL(self._base).host or self._base

    async def listing(self, repository: str, revision: str) -> Listing:
        """Raises HubAway, or what the hub refuses with."""
        path = f"/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
        body = bytearray()
        async with self._get(path, repository) as reply:
            async for piece in reply.content.iter_chunked(_PIECE_BYTES):
                body += piece
                if len(body) > _MAX_LISTING_BYTES:
                    raise HubFailed(f"{self.host} lists without end", "check HF_ENDPOINT")
        return await asyncio.to_thread(read_listing, bytes(body))

    async def pieces(
        self, repository: str, commit: str, file: HubFile, start: int
    ) -> AsyncGenerator[tuple[int, bytes]]:
        """The file's bytes, each piece with its place: from `start` on, or all of them again where
        the hub does not go on in the middle. Raises HubAway, or what the hub refuses with.
        """
        headers = {"accept-encoding": "identity"}
        if start:
            headers["range"] = f"bytes={start}-"
        path = f"/{repository}/resolve/{commit}/{quote(file.name)}"
        async with self._get(path, repository, headers) as reply:
            at = _place(reply)
            if at not in (0, start):
                raise HubAway("it sends another part than was asked for")
            async for piece in reply.content.iter_chunked(_PIECE_BYTES):
                yield at, piece
                at += len(piece)

    @asynccontextmanager
    async def _get(
        self, path: str, repository: str, headers: dict[str, str] | None = None
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        try:
            url = URL(self._base + path, encoded=True)
            async with self._session.get(url, headers=headers, proxy=_proxy(url)) as reply:
                self._check(reply, repository)
                yield reply
        except aiohttp.InvalidURL:
            raise _no_address() from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The error's own words may hold a signed address.
            why = getattr(error, "strerror", None)
            if isinstance(error, TimeoutError):
                why = "it says nothing"
            raise HubAway(why if isinstance(why, str) else type(error).__name__) from None

    def _check(self, reply: aiohttp.ClientResponse, repository: str) -> None:
        """An unknown repository is told strangers as one that they may not see, with a 401."""
        status, code = reply.status, reply.headers.get("x-error-code", "")
        if status in (200, 206):
            return
        if status in (408, 429) or status >= 500:
            wait = reply.headers.get("retry-after", "")
            raise HubAway(f"it answers {status}", float(wait) if wait.isdecimal() else None)
        if status == 403 or code == "GatedRepo":
            raise PermissionDenied(
                f"{self.host} does not open '{repository}' to this peer",
                f"ask for it at {self.host}/{repository}, and {_WITH_TOKEN}",
            )
        if status == 401 and self._has_token:
            raise PermissionDenied(
                f"{self.host} does not take the peer's token", f"renew it, and {_WITH_TOKEN}"
            )
        if code == "RevisionNotFound":
            raise ModelNotFound(f"'{repository}' has no such revision", "try without --revision")
        if status in (401, 404):
            raise ModelNotFound(
                f"{self.host} shows no '{repository}'",
                f"check the name; for one that is not public, {_WITH_TOKEN}",
                param="model",
            )
        raise HubFailed(f"{self.host} answers {status}", "check HF_ENDPOINT")


@asynccontextmanager
async def open_hub(config: HubConfig) -> AsyncGenerator[Hub]:
    async with aiohttp.ClientSession(
        headers={} if config.token is None else {"authorization": f"Bearer {config.token}"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=READ_S),
        read_bufsize=_PIECE_BYTES,
        # A signed address must stay as it is, to the letter.
        requote_redirect_url=False,
    ) as session:
        try:
            hub = Hub(session, config)
        except ValueError:
            raise _no_address() from None
        yield hub


def _proxy(url: URL) -> str | None:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say of an address that is asked.

    aiohttp's `trust_env` would read ~/.netrc too, and refuses a token beside what that holds.
    Raises HubFailed.
    """
    proxies = getproxies()
    name = url.scheme if url.scheme in proxies else "all"
    proxy = None if proxy_bypass(url.host or "") else proxies.get(name)
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        variable = f"{name.upper()}_PROXY"
        raise HubFailed(f"{variable} is no proxy of HTTP", "give it as http://HOST:PORT")
    return proxy


def _no_address() -> HubFailed:
    return HubFailed("the hub's address is none", "check HF_ENDPOINT")


def _place(reply: aiohttp.ClientResponse) -> int:
    if reply.status != 206:
        return 0
    found = _CONTENT_RANGE.match(reply.headers.get("content-range", ""))
    return int(found[1]) if found else -1
