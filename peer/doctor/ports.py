"""Whether the fleet's port is there to be had, for UDP and TCP, before a peer needs it."""

from __future__ import annotations

from cortex.engine.errors import CortexError

from ..config import FLEET_PORT
from ..fleet.udp import bind_fleet
from .findings import Finding, fail, ok, warn


def look_at_port(host: str, port: int | None) -> Finding:
    """To be asked where no peer runs: it would have the port. None is the default one."""
    try:
        sockets = bind_fleet(host, port)
    except CortexError as error:
        return fail("port", error.message, error.hint)
    taken = sockets.port
    sockets.close()
    if port is None and taken != FLEET_PORT:
        text = f"fleet port {FLEET_PORT} is in use, {taken} would be taken"
        return warn("port", text, f"end what uses it, or let {taken} through every firewall")
    return ok("port", f"fleet port {taken} on {host} is free for UDP and TCP")
