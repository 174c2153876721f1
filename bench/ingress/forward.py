"""A proxy that passes bytes on unread: `python -m bench.ingress.forward PORT BACKEND_URL`."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator

import aiohttp
from aiohttp import web

_BACKEND = web.AppKey("backend", aiohttp.ClientSession)
_MAX_BODY_BYTES = 64 * 1024 * 1024


async def forward(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    headers = {"content-type": request.content_type}
    backend = request.app[_BACKEND]
    async with backend.request(request.method, request.path, data=body, headers=headers) as theirs:
        ours = web.StreamResponse(status=theirs.status)
        ours.content_type, ours.content_length = theirs.content_type, theirs.content_length
        await ours.prepare(request)
        async for data in theirs.content.iter_any():
            await ours.write(data)
        await ours.write_eof()
        return ours


async def keep_backend(app: web.Application) -> AsyncGenerator[None]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(sys.argv[2], connector=connector) as app[_BACKEND]:
        yield


def main() -> None:
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.cleanup_ctx.append(keep_backend)
    app.router.add_route("*", "/{path:.*}", forward)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
