"""The backend of all contenders, in one process: `python -m bench.ingress.backend PLACE`.

It gives the same canned answers in two languages: HTTP on a port for proxies, and a peer's frames
on two sockets in place of its two children.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from .backend_frames import CannedEngine, CannedText, Send, ServiceLink
from .backend_http import HttpAnswers, HttpConnection
from .canned import Place


async def run(place: Place) -> None:
    loop = asyncio.get_running_loop()
    answers = HttpAnswers(place.groups)
    async with asyncio.TaskGroup() as tasks:

        def make_engine(send: Send) -> CannedEngine:
            engine = CannedEngine(send, place.groups)
            for ticker in engine.tickers.values():
                tasks.create_task(ticker.run())
            return engine

        for ticker in answers.tickers.values():
            tasks.create_task(ticker.run())
        await loop.create_unix_server(lambda: ServiceLink(CannedText), place.text_socket)
        await loop.create_unix_server(lambda: ServiceLink(make_engine), place.engine_socket)
        await loop.create_server(lambda: HttpConnection(answers), "127.0.0.1", place.port)


def main() -> None:
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Place)))


if __name__ == "__main__":
    main()
