"""Who else would answer if the peer that is asked were gone: what it knows, and what runs here."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from ..config import PeerConfig
from ..onlooker.asking import NOT_A_PEER, Door
from ..onlooker.feed import others
from ..onlooker.pictures import read_picture
from ..serving.announcement import find_announcements

_PATIENCE_S = 1.0


class Surroundings:
    """`api_key` opens all doors but those of this machine's peers, whose notes hold theirs."""

    def __init__(
        self, session: aiohttp.ClientSession, config: PeerConfig, first: Door, api_key: str | None
    ) -> None:
        self._session = session
        self._config = config
        self._first = first
        self._api_key = api_key
        self._others: list[str] = []

    async def doors(self) -> list[Door]:
        notes = find_announcements(self._config.locations)
        here = [Door(note.address, self._api_key or note.key) for note in notes]
        found = [self._first, *here, *(Door(at, self._api_key) for at in self._others)]
        return list({door.address: door for door in reversed(found)}.values())[::-1]

    async def look(self, door: Door) -> None:
        """Remember whom the peer behind that door knows, while it can be asked."""
        try:
            async with (
                asyncio.timeout(_PATIENCE_S),
                self._session.get(f"http://{door.address}/fleet", headers=door.headers) as response,
            ):
                self._others = others(read_picture(json.loads(await response.read())))
        except (aiohttp.ClientError, TimeoutError, OSError, *NOT_A_PEER):
            return
