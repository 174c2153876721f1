"""The one door for commands and screens: a running peer, or a private node of their own.

Whichever it is, a Backend takes the same ChatRequest and gives the same events.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
import msgspec

from cortex.engine.stream import Event
from cortex.engine.types import ChatRequest

from ..addresses import normalise_address
from ..config import PeerConfig
from ..errors import NoPeer, spoken
from ..node import Node
from ..onlooker.asking import Door
from ..serving.announcement import find_announcements
from ..types import ModelInfo
from .remote import RemotePeer
from .steadfast import Steadfast, remotes
from .surroundings import Surroundings

# A peer next door answers at once or is not well.
_LOCAL_PROBE_S = 0.3
_NAMED_PROBE_S = 5.0
_DRAINS = "it drains"
_NOBODY = os.strerror(errno.ECONNREFUSED)
# What a probe finds of a peer that may be asked, the best first.
_ANSWERS = (None, _DRAINS)


class Backend(Protocol):
    """Something that answers. Of `models` the first is the default. `answered_by` names the peer
    that made the last answer, or is its address.

    Closing the generator that `chat` returns stops the answer.
    """

    @property
    def name(self) -> str: ...

    @property
    def answered_by(self) -> str: ...

    async def models(self) -> tuple[ModelInfo, ...]: ...

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event]: ...


class _Health(msgspec.Struct):
    """What a peer says of itself at /healthz, as far as it is read here."""

    status: str = ""


# What a backend is called that is this process itself.
PRIVATE = "private"


class _PrivateBackend:
    """A node of this process's own: nobody else sees it."""

    name = answered_by = PRIVATE

    def __init__(self, node: Node) -> None:
        self._node = node

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self._node.models()

    def chat(self, request: ChatRequest) -> AsyncGenerator[Event]:
        return self._node.chat(request)


@asynccontextmanager
async def open_backend(
    config: PeerConfig,
    peer: str | None,
    *,
    on_notice: Callable[[str], None],
    on_passed_over: Callable[[str], None],
    api_key: str | None = None,
) -> AsyncGenerator[Backend]:
    """A peer at a named address, else a running local one, else a private node.

    A peer of this machine is asked with the key of its note where `api_key` is None. Where one
    runs and does not answer, `on_passed_over` is told: the private node may have other models.
    Raises NoPeer where a named peer does not answer.
    """
    async with aiohttp.ClientSession() as session:
        try:
            remote = await _found(session, config, peer, api_key, on_notice)
        except NoPeer as silent:
            if peer is not None:
                raise
            on_passed_over(
                f"{silent.message}; going on without it, with the models of this machine."
            )
            remote = None
        if remote is not None:
            yield _steadfast(session, config, remote, api_key, on_notice)
            return
    async with private_backend(config) as backend:
        yield backend


def _steadfast(
    session: aiohttp.ClientSession,
    config: PeerConfig,
    remote: RemotePeer,
    api_key: str | None,
    on_notice: Callable[[str], None],
) -> Steadfast:
    """The peer that was found, and others in its place when it is gone."""
    around = Surroundings(session, config, Door(remote.name, remote.api_key), api_key)
    return Steadfast(around.doors, remotes(session), on_notice, around.look, name=remote.name)


@asynccontextmanager
async def find_peer(
    config: PeerConfig,
    peer: str | None,
    *,
    on_notice: Callable[[str], None],
    api_key: str | None = None,
) -> AsyncGenerator[RemotePeer | None]:
    """As `open_backend`, for whoever needs a peer with an address: None where none runs.

    Raises NoPeer where none answers.
    """
    async with aiohttp.ClientSession() as session:
        yield await _found(session, config, peer, api_key, on_notice)


async def _found(
    session: aiohttp.ClientSession,
    config: PeerConfig,
    peer: str | None,
    api_key: str | None,
    on_notice: Callable[[str], None],
) -> RemotePeer | None:
    address = await _choose(session, config, peer)
    if address is None:
        return None
    on_notice(f"asking the peer at {address}")
    return RemotePeer(session, address, api_key=api_key or _noted_key(config, address))


@asynccontextmanager
async def private_backend(config: PeerConfig) -> AsyncGenerator[Backend]:
    """A node of this process's own, whether or not a peer is running."""
    async with Node(config) as node:
        yield _PrivateBackend(node)


async def _choose(
    session: aiohttp.ClientSession, config: PeerConfig, peer: str | None
) -> str | None:
    if peer is None:
        return await find_local_peer(session, config)
    address = normalise_address(peer)
    problem = await _probe(session, address, _NAMED_PROBE_S)
    if problem not in _ANSWERS:
        raise NoPeer(
            f"no peer answers at {address} ({problem})",
            "start one there with: cortex peer; or leave --peer out",
        )
    return address


async def find_local_peer(session: aiohttp.ClientSession, config: PeerConfig) -> str | None:
    """The address of the youngest peer on this machine that is well; else of one that drains, for
    others of its fleet may answer through it. None where none runs: where nobody listens, the
    number of a note's process is another's by now.

    Raises NoPeer where none answers of those that run.
    """
    addresses = [note.address for note in find_announcements(config.locations)]
    silent: dict[str, str | None] = {}
    # One that is loaded to the brim is worth waiting for: what is done without it takes longer.
    for patience_s in (_LOCAL_PROBE_S, _NAMED_PROBE_S):
        problems = await asyncio.gather(*(_probe(session, a, patience_s) for a in addresses))
        found = dict(zip(reversed(problems), reversed(addresses), strict=True))
        for answer in _ANSWERS:
            if answer in found:
                return found[answer]
        silent = {a: p for a, p in zip(addresses, problems, strict=True) if p != _NOBODY}
        addresses = [*silent]
    if not silent:
        return None
    address, problem = next(iter(silent.items()))
    raise NoPeer(
        f"the peer at {address} does not answer ({problem})",
        "look at its log, or name another: --peer HOST:PORT, of cortex bench --url URL",
    )


def _noted_key(config: PeerConfig, address: str) -> str | None:
    notes = find_announcements(config.locations)
    return next((note.key for note in notes if note.address == address), None)


async def _probe(session: aiohttp.ClientSession, address: str, timeout_s: float) -> str | None:
    """None where a peer is well, _DRAINS where it drains, else what is the matter."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            session.get(f"http://{address}/healthz") as response,
        ):
            if response.status == 200:
                return None
            drains = response.status == 503 and _says_draining(await response.read())
            return _DRAINS if drains else f"it says {response.status}"
    except TimeoutError:
        return f"silent for {timeout_s:g} s"
    except (aiohttp.ClientError, ValueError, OSError) as error:
        return spoken(error)


def _says_draining(body: bytes) -> bool:
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(body, type=_Health).status == "draining"
    return False
