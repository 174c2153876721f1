"""Whoever watches a stream without an end of its own: woken by news, told when the peer ends."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from aiohttp import web

_ONLOOKERS: web.AppKey[set[Onlooker]] = web.AppKey("onlookers")


class Onlooker:
    def __init__(self) -> None:
        self.is_dismissed = False
        self.news = asyncio.Event()

    def dismiss(self) -> None:
        self.is_dismissed = True
        self.news.set()


def set_up(app: web.Application) -> None:
    """Let streams end at once when the app does."""
    app[_ONLOOKERS] = set()
    app.on_shutdown.append(_dismiss)


async def _dismiss(app: web.Application) -> None:
    for onlooker in app[_ONLOOKERS]:
        onlooker.dismiss()


@contextmanager
def onlooking(app: web.Application) -> Generator[Onlooker]:
    onlooker = Onlooker()
    app[_ONLOOKERS].add(onlooker)
    try:
        yield onlooker
    finally:
        app[_ONLOOKERS].discard(onlooker)
