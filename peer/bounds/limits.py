"""How much one client may send and hold: of a request's parts, and of connections.

Values alone; defaults are written here, once.
"""

from __future__ import annotations

from dataclasses import dataclass

from cortex.engine.bounds import MAX_STOP_CHARS, MAX_STOPS


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one body may hold. Each thing costs far more as an object than as the few bytes it
    can be written in, and even the smallest picture becomes some 200 kB of pixels.
    """

    # Of a whole conversation: agents send each screenshot again with every turn.
    max_images: int = 100
    # Of each picture, as the file that was sent.
    max_image_bytes: int = 20 * 1024 * 1024
    max_messages: int = 4096
    max_parts: int = 4096
    max_tools: int = 1024
    # Each choice costs the engine what a request does.
    max_choices: int = 32
    max_stops: int = MAX_STOPS
    max_stop_chars: int = MAX_STOP_CHARS


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`header_s` is what a client has for a request's headers, from the connection's beginning on.

    `idle_s` is how long a connection may rest between two requests, and `write_s` how long its
    reader may take nothing of what waits for it. Of a peer that ends, one that rests is kept for
    `farewell_s` more, for its client may be sending.
    """

    header_s: float = 20.0
    idle_s: float = 300.0
    farewell_s: float = 1.0
    write_s: float = 60.0
    max_connections: int = 512
