"""Whoever watches a stream without an end of its own: woken by news, told when the peer ends, and
sent away where keys have changed and what it came with opens no more.

Each keeps a connection for as long as it likes: of those that may only ask there are no more than
leave room for questions, and of one key or address only a few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aiohttp import web

from cortex.engine.errors import Overloaded

from .access import API_KEY, is_member, is_still_admitted
from .context import NODE
from .terms import TERMS, TERMS_NOW

_ONLOOKERS: web.AppKey[set[Onlooker]] = web.AppKey("onlookers")

_MOST_OF_ONE = 16
_PART_OF_CONNECTIONS = 4


class Onlooker:
    """It looks often whether `is_dismissed`, whatever the news."""

    def __init__(self, request: web.Request) -> None:
        self.asker = _asker(request)
        self.news = asyncio.Event()
        self._request = request
        self._terms = request[TERMS]
        self._is_dismissed = False

    @property
    def is_dismissed(self) -> bool:
        terms = self._request.app[TERMS_NOW].take()
        if terms is not self._terms:
            self._terms = terms
            self._is_dismissed |= not is_still_admitted(self._request, terms)
        return self._is_dismissed

    def dismiss(self) -> None:
        self._is_dismissed = True
        self.news.set()


def set_up(app: web.Application) -> None:
    """Let streams end at once when the app does."""
    app[_ONLOOKERS] = set()
    app.on_shutdown.append(_dismiss)


async def _dismiss(app: web.Application) -> None:
    for onlooker in app[_ONLOOKERS]:
        onlooker.dismiss()


@contextmanager
def onlooking(request: web.Request) -> Generator[Onlooker]:
    """Raises Overloaded where there are as many as there may be."""
    onlookers = request.app[_ONLOOKERS]
    onlooker = Onlooker(request)
    if onlooker.asker is not None:
        most = request.app[NODE].config.connections.max_connections // _PART_OF_CONNECTIONS
        askers = [one.asker for one in onlookers if one.asker is not None]
        num_of_one = askers.count(onlooker.asker)
        if len(askers) >= max(most, 1) or num_of_one >= _MOST_OF_ONE:
            raise Overloaded(
                f"too many streams of events are open: {num_of_one} of {onlooker.asker},"
                f" {len(askers)} in all",
                "close one that is no longer read",
            )
    onlookers.add(onlooker)
    try:
        yield onlooker
    finally:
        onlookers.discard(onlooker)


def _asker(request: web.Request) -> str | None:
    """None for a member of the fleet and for an admin key: the operator looks on all the same."""
    key = request.get(API_KEY)
    if is_member(request) or (key is not None and key.is_admin):
        return None
    return f"key '{key.name}'" if key is not None else request.remote or "nobody"
