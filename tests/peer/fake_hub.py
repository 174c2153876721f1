"""A hub on loopback that serves one repository, as well or as badly as a test wants."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

COMMIT = "c0ffee" + 34 * "0"
WEIGHTS = "model.safetensors"
# Of the files that its tests put there, those that cortex does not read.
SHUNNED = ("pytorch_model.bin", "modeling.py", "README.md")


@dataclass(slots=True)
class FakeHub:
    """`files` are what it lists; `sends` is what it sends instead, `listed` what it lists instead.
    An answer ends after the next of `cuts` bytes, or if `hangs` goes on no further, and the next of
    `refusals` is a status and headers for whoever asks for a file; of `refuses_listing` for whoever
    asks for the list.
    """

    files: dict[str, bytes]
    sends: dict[str, bytes] = field(default_factory=dict[str, bytes])
    listed: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    large: set[str] = field(default_factory=lambda: {WEIGHTS})
    cuts: list[int] = field(default_factory=list[int])
    refusals: list[tuple[int, dict[str, str]]] = field(
        default_factory=list[tuple[int, dict[str, str]]]
    )
    refuses_listing: list[tuple[int, dict[str, str]]] = field(
        default_factory=list[tuple[int, dict[str, str]]]
    )
    has_ranges: bool = True
    hangs: bool = False
    leads_to: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    revisions: list[str] = field(default_factory=list[str])
    tokens: list[str] = field(default_factory=list[str])
    address: str = ""
    on_file: Callable[[str], Any] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("authorization", ""))
        if request.path.startswith("/api/"):
            self.revisions.append(
                unquote(request.raw_path).partition("/revision/")[2].removesuffix("?blobs=true")
            )
            if self.refuses_listing:
                status, headers = self.refuses_listing.pop(0)
                return web.Response(status=status, headers=headers)
            return web.json_response({"sha": COMMIT, "siblings": self.siblings()})
        _, _, rest = request.path.partition("/resolve/")
        commit, _, name = rest.partition("/")
        assert commit == COMMIT, "files are asked for by the commit that was listed"
        self.asked.append((name, request.headers.get("range", "")))
        if self.on_file is not None:
            await self.on_file(name)
        if self.leads_to and name == WEIGHTS:
            raise web.HTTPFound(f"{self.leads_to}{request.path}")
        return await self._send(request, name)

    async def _send(self, request: web.Request, name: str) -> web.StreamResponse:
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.Response(status=status, headers=headers)
        data = self.sends.get(name, self.files.get(name, b""))
        start = 0
        response = web.StreamResponse()
        if self.has_ranges and "range" in request.headers:
            start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
            response.set_status(206)
            response.headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        response.content_length = len(data) - start
        await response.prepare(request)
        if self.cuts and name == WEIGHTS:
            await response.write(data[start : start + self.cuts.pop(0)])
            if self.hangs:
                await asyncio.Event().wait()
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(data[start:])
        return response

    def siblings(self) -> list[dict[str, Any]]:
        return [self._sibling(name, data) for name, data in self.files.items()]

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        told: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git}
        if name in self.large:
            sha256 = hashlib.sha256(data).hexdigest()
            told |= {"blobId": 40 * "0", "lfs": {"sha256": sha256, "size": len(data)}}
        return told | self.listed.get(name, {})


@asynccontextmanager
async def serving_hub(fake: FakeHub) -> AsyncGenerator[None]:
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


@contextmanager
def hub_in_thread(fake: FakeHub) -> Generator[None]:
    """For tests that wait for processes meanwhile."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    ended = asyncio.Event()

    async def serve() -> None:
        async with serving_hub(fake):
            ready.set()
            await ended.wait()

    def run() -> None:
        """Whoever hangs is cancelled at the end."""
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
