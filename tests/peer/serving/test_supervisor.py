"""What a service manager is told of a peer, by a socket that stands for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import PeerConfig
from cortex.peer.serving.server import run_peer
from cortex.peer.serving.supervisor import Supervisor, watched

MakeConfig = Callable[..., PeerConfig]
DEADLINE_S = 30.0


@pytest.fixture
def manager(tmp_path: Path) -> Generator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


def ignore(_: object) -> None: ...


async def heard(manager: socket.socket) -> str:
    return (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()


async def test_a_peer_says_when_it_answers_and_when_it_begins_to_end(
    make_config: MakeConfig, manager: socket.socket
):
    told = ("on_ready", "on_notice", "on_view", "on_happening")
    ignored: dict[str, Any] = dict.fromkeys(told, ignore)
    async with asyncio.timeout(DEADLINE_S):
        by = Supervisor(manager.getsockname())
        running = asyncio.create_task(run_peer(make_config(drain_s=60.0), supervisor=by, **ignored))
        assert (await heard(manager)).startswith("READY=1\nSTATUS=answers at http://127.0.0.1:")
        os.kill(os.getpid(), signal.SIGTERM)
        told = (await heard(manager)).splitlines()
        assert (told[0], told[-1]) == ("STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000")
        assert await running == signal.SIGTERM


async def test_a_peer_is_alive_several_times_in_the_silence_that_would_end_it(
    manager: socket.socket,
):
    async with asyncio.timeout(DEADLINE_S), watched(Supervisor(manager.getsockname(), 0.3)):
        began_s = time.monotonic()
        assert [await heard(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
        assert time.monotonic() - began_s >= 0.19


async def test_a_loop_that_answers_nobody_is_not_called_alive(manager: socket.socket):
    async with watched(Supervisor(manager.getsockname(), 0.03)):
        await heard(manager)
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is held up on purpose
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


async def test_a_supervisor_without_a_watchdog_hears_no_beats(manager: socket.socket):
    async with watched(Supervisor(manager.getsockname())):
        await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)


async def test_an_abstract_socket_is_a_supervisor_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0cortex-test-{os.getpid()}")
        Supervisor(f"@cortex-test-{os.getpid()}").alive()
        assert manager.recv(4096) == b"WATCHDOG=1"


async def test_a_supervisor_that_is_gone_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    Supervisor(str(tmp_path / "nobody")).alive()
    assert "supervisor not told error=No such file or directory" in caplog.text
