"""A port where a peer's numbers and health are told without a key: whoever watches it needs none.

Nothing else is to be had there, so that it may be open to more than the API is.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from aiohttp import web

from ..api.app import make_metrics_app
from ..bounds.limits import ConnectionLimits
from ..config import METRICS_PORT, PeerConfig
from .listening import Door, listen, opened


def listen_for_numbers(config: PeerConfig) -> AbstractContextManager[socket.socket | None]:
    """Raises PortInUse or CannotListen."""
    if config.metrics_host is None:
        return nullcontext()
    return listen(config.metrics_host, config.metrics_port, METRICS_PORT, "--metrics-port")


@asynccontextmanager
async def telling_numbers(
    app: web.Application, listener: socket.socket | None, limits: ConnectionLimits
) -> AsyncGenerator[int | None]:
    """The numbers of the app behind the socket while the block lasts; on which port."""
    if listener is None:
        yield None
        return
    async with opened(make_metrics_app(app), limits, Door(listener)):
        yield listener.getsockname()[1]
