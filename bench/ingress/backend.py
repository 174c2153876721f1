"""The backend of all contenders, in one process: `python -m bench.ingress.backend --port N …`.

It gives the same canned answers in two languages: HTTP on a port for proxies, and a peer's frames
on two sockets in place of its two children.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from .backend_frames import CannedEngine, CannedText, Send, ServiceLink
from .backend_http import HttpAnswers, HttpConnection


async def run(port: int, text_socket: Path, engine_socket: Path, groups: list[int]) -> None:
    loop = asyncio.get_running_loop()
    answers = HttpAnswers(groups)
    async with asyncio.TaskGroup() as tasks:

        def make_engine(send: Send) -> CannedEngine:
            engine = CannedEngine(send, groups)
            for ticker in engine.tickers.values():
                tasks.create_task(ticker.run())
            return engine

        for ticker in answers.tickers.values():
            tasks.create_task(ticker.run())
        await loop.create_unix_server(lambda: ServiceLink(CannedText), str(text_socket))
        await loop.create_unix_server(lambda: ServiceLink(make_engine), str(engine_socket))
        await loop.create_server(lambda: HttpConnection(answers), "127.0.0.1", port)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--text-socket", type=Path, required=True)
    parser.add_argument("--engine-socket", type=Path, required=True)
    parser.add_argument("--groups", type=int, nargs="+", required=True)
    args = parser.parse_args()
    asyncio.run(run(args.port, args.text_socket, args.engine_socket, args.groups))


if __name__ == "__main__":
    main()
