"""What every child process shares: the inherited socket, the message loop, the heartbeat, the end.

A child knows its parent only as a socket. It says Alive at once and every second, hands every
message it reads to its service, and ends when the socket closes, within a second whatever still
runs. Where it cannot go on it says why before it ends. What the messages mean is the service's
affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Protocol

from .core_dumps import leave_no_core_dump
from .errors import CortexError, DevicePoisoned, EngineFailed, to_info
from .frames import MAX_FRAME_BYTES, Buffer, pack_parts, read_message
from .messages import Alive, Ending, Message

ALIVE_INTERVAL_S = 1.0
END_DEADLINE_S = 0.7
# How a child ends whose device is lost to it: nobody needs to look for a bug.
POISONED_EXIT_CODE = 86
# A parent that lets this much pile up has stopped reading: as good as gone.
_MAX_UNREAD_BYTES = 2 * MAX_FRAME_BYTES

Send = Callable[[Message], None]

_log = logging.getLogger(__name__)


class Service(Protocol):
    """What a child does. All methods are called on the event loop's thread and return soon."""

    async def handle(self, message: Message) -> None:
        """Act on a message, or start to: the next one is read when this returns."""
        ...

    def alive(self) -> Alive: ...

    async def run(self) -> None:
        """What the service does of itself; its end is the child's, and so is its error."""
        ...

    async def close(self) -> None:
        """The parent is gone: stop tasks and tell threads to end, without waiting for long."""
        ...


def run_child(fd: int, make_service: Callable[[Send], Service], log_level: str = "WARNING") -> None:
    """Serve the parent at the other end of `fd` until it closes; call it from the main thread.

    `make_service` is called on the running loop and gets `send`, which any thread may call.
    """
    leave_no_core_dump()
    _log_ours(log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c at the terminal is the parent's
    asyncio.run(_adopt(fd, make_service))


def _log_ours(level: str) -> None:
    """Log to standard error, from that level on.

    The libraries underneath are heard from warnings on: what they say for debugging quotes what a
    client sent, as the notes that pictures carry.
    """
    logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
    for name in ("cortex", "__main__"):  # the module that was started is called so
        logging.getLogger(name).setLevel(level)


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    make_service: Callable[[Send], Service],
) -> None:
    """The life of a child on given streams: until the reader's end, or an error of the service."""
    try:
        await _live(reader, writer, make_service(_sender(writer)))
    except Exception as error:
        _write(writer, pack_parts(Ending(to_info(error))))
        raise
    finally:
        writer.close()


async def _live(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Service
) -> None:
    lives = (_beat(writer, service), _read(reader, service), service.run())
    tasks = [asyncio.create_task(life) for life in lives]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await service.close()


def log_unexpected(logger: logging.Logger, event: str, error: BaseException) -> None:
    """Log a bug: where it happened and its type, not its text, which may hold client data."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s type=%s\n%s", event, type(error).__name__, where)


async def _adopt(fd: int, make_service: Callable[[Send], Service]) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd))
    try:
        await serve(reader, writer, make_service)
    except DevicePoisoned as error:
        _log.error("device poisoned: %s", error.message)
        raise SystemExit(POISONED_EXIT_CODE) from None
    except CortexError as error:
        _log.error("child gave up: %s", error.message)
        raise SystemExit(1) from None
    except Exception as error:
        log_unexpected(_log, "child failed", error)
        raise SystemExit(1) from None
    finally:
        # A thread deep in native code cannot be asked to end. The alarm's default action is to
        # end the process, and the kernel takes it whatever our threads are doing.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, END_DEADLINE_S)


def _sender(writer: asyncio.StreamWriter) -> Send:
    loop = asyncio.get_running_loop()

    def send(message: Message) -> None:
        parts = pack_parts(message)
        # The loop closes only when the parent is gone: then nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_write, writer, parts)

    return send


def _write(writer: asyncio.StreamWriter, parts: Iterable[Buffer]) -> None:
    if not writer.is_closing():
        for part in parts:
            writer.write(part)


async def _beat(writer: asyncio.StreamWriter, service: Service) -> None:
    while True:
        _write(writer, pack_parts(service.alive()))
        await asyncio.sleep(ALIVE_INTERVAL_S)
        if writer.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            raise EngineFailed("the parent process has stopped reading")


async def _read(reader: asyncio.StreamReader, service: Service) -> None:
    while (message := await read_message(reader)) is not None:
        await service.handle(message)
        del message  # it may hold a whole prompt, and the next one may be long in coming
