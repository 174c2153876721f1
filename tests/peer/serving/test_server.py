"""A peer's outside: its port, its note, its signals, and clients that mean harm."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cortex.engine.errors import EngineFailed, ModelNotFound
from cortex.peer import node as node_module
from cortex.peer.client import backends
from cortex.peer.client.backends import find_peer, open_backend
from cortex.peer.config import PeerConfig
from cortex.peer.errors import CannotListen, NoPeer, PortInUse
from cortex.peer.fleet.view import FleetView
from cortex.peer.models import shelf as shelf_module
from cortex.peer.models.catalogue import Catalogue, scan
from cortex.peer.models.look import Look
from cortex.peer.serving import server as server_module
from cortex.peer.serving.announcement import Announcement, find_announcements, read_announcements
from cortex.peer.serving.listening import listen
from cortex.peer.serving.server import Server, run_peer, serving
from tests.peer import in_memory

MakeConfig = Callable[..., PeerConfig]
QUESTION = [{"role": "user", "content": "hello"}]
DEADLINE_S = 30


@pytest.fixture
def busy_port() -> Any:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


def test_busy_port_that_was_asked_for_is_an_error(busy_port: int):
    with pytest.raises(
        PortInUse, match=rf"port {busy_port} on 127.0.0.1 is taken by process {os.getpid()} \("
    ):
        listen("127.0.0.1", busy_port)


def test_busy_default_port_gives_way_to_a_later_one(busy_port: int):
    with listen("127.0.0.1", None, busy_port) as listener:
        assert listener.getsockname()[1] > busy_port


def test_ports_of_the_fleet_are_never_taken_for_the_api(busy_port: int):
    with listen("127.0.0.1", None, busy_port) as listener:
        assert (listener.getsockname()[1] - busy_port) % 2 == 0


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_all_addresses_of_ipv6_are_those_of_ipv4_too(ip: str):
    with listen("::", 0) as listener:
        socket.create_connection((ip, listener.getsockname()[1]), 10).close()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("::1", 70000)])
def test_address_that_is_not_ours_is_an_error(host: str, port: int):
    with pytest.raises(CannotListen):
        listen(host, port)


async def test_named_peer_that_does_not_answer_is_no_peer(make_config: MakeConfig):
    with pytest.raises(NoPeer, match=r"no peer answers at 127\.0\.0\.1:1 "):
        async with open_backend(
            make_config(), "127.0.0.1:1", on_notice=print, on_passed_over=print
        ):
            pass


async def test_who_names_the_state_directory_finds_the_peer_too(make_config: MakeConfig):
    config = make_config()
    by_state = replace(config.locations, runtime_dir=None)
    async with in_memory.serving(config) as server:
        [note] = read_announcements(by_state.announcements_dir)
        assert note.address == server.address
    assert not read_announcements(by_state.announcements_dir)


async def test_a_peer_that_was_started_without_a_runtime_directory_is_found(
    make_config: MakeConfig,
):
    """By cron, as by `sudo -u`: its user's shells have one."""
    config = make_config()
    by_cron = replace(config.locations, runtime_dir=None)
    assert config.locations.runtime_dir is not None
    async with in_memory.serving(replace(config, locations=by_cron)) as server:
        [note] = find_announcements(config.locations)
        assert note.address == server.address
        (config.locations.state_dir / "peer.lock").write_text("")  # as a full disk leaves it
        assert find_announcements(config.locations) == (note,)
        (config.locations.state_dir / "peer.lock").write_text(f"{note.pid}\n")
        leave_note(config.locations.state_dir, pid=os.getppid())  # of a run before this one
        assert find_announcements(config.locations) == (note,)


async def test_each_peer_is_found_once_though_it_leaves_two_notes(make_config: MakeConfig):
    config = make_config()
    async with in_memory.serving(config) as server:
        assert all(read_announcements(folder) for folder in config.locations.note_dirs)
        assert [note.address for note in find_announcements(config.locations)] == [server.address]


async def test_a_note_that_outlived_its_peer_is_passed_over_without_a_word(
    make_config: MakeConfig,
):
    """Without a runtime directory a power cut leaves it, and its number is another's by then."""
    config = make_config()
    config = replace(config, locations=replace(config.locations, runtime_dir=None))
    leave_note(config.locations.state_dir, pid=os.getppid())
    assert find_announcements(config.locations) == ()
    told: list[str] = []
    async with open_backend(config, None, on_notice=print, on_passed_over=told.append) as backend:
        assert (backend.name, told) == ("private", [])
    async with in_memory.serving(config) as server:
        assert [note.address for note in find_announcements(config.locations)] == [server.address]


async def test_of_all_notes_of_an_address_the_youngest_is_believed(make_config: MakeConfig):
    """The key of an older one opens nothing."""
    config = make_config()
    locations = config.locations
    by_cron = replace(config, locations=replace(locations, runtime_dir=None))
    async with in_memory.serving(by_cron) as server:
        for folder, pid in ((locations.announcements_dir, os.getppid()), (locations.state_dir, 0)):
            leave_note(folder, server.port, pid)
        [note] = find_announcements(locations)
        assert note.pid == os.getpid() and note.key is not None


def leave_note(folder: Path, port: int = 1, pid: int = 0) -> None:
    """As a peer killed long ago did, whose number is another process's now: `pid`, or ours."""
    folder.mkdir(parents=True, exist_ok=True)
    note = Announcement("a", pid or os.getpid(), "127.0.0.1", port, 1)
    (folder / "a.json").write_text(json.dumps(asdict(note)))


async def test_a_peer_that_does_not_answer_is_passed_over_and_that_is_said(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    config = make_config()
    monkeypatch.setattr(backends, "_LOCAL_PROBE_S", 0.01)
    monkeypatch.setattr(backends, "_NAMED_PROBE_S", 0.02)
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as halted:
        port = halted.getsockname()[1]
        leave_note(config.locations.announcements_dir, port)
        opened = open_backend(config, None, on_notice=print, on_passed_over=told.append)
        async with opened as backend:
            assert backend.name == "private"
        with pytest.raises(NoPeer, match=rf"the peer at 127\.0\.0\.1:{port} does not answer"):
            async with find_peer(config, None, on_notice=print):
                pass
    [line] = told
    assert line == (
        f"the peer at 127.0.0.1:{port} does not answer (silent for 0.02 s);"
        " going on without it, with the models of this machine."
    )


async def test_where_nobody_listens_at_a_notes_address_no_peer_runs(make_config: MakeConfig):
    config = make_config()
    leave_note(config.locations.announcements_dir)
    told: list[str] = []
    async with open_backend(config, None, on_notice=print, on_passed_over=told.append) as backend:
        assert (backend.name, told) == ("private", [])
    async with find_peer(config, None, on_notice=print) as peer:
        assert peer is None


async def test_a_peer_that_is_slow_to_answer_is_waited_for(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    config = make_config()
    monkeypatch.setattr(backends, "_LOCAL_PROBE_S", 0.0)  # nobody is as fast
    async with in_memory.serving(config) as server, find_peer(config, None, on_notice=print) as one:
        assert one is not None and one.name == server.address


async def test_a_peer_that_drains_is_asked_where_none_is_well(make_config: MakeConfig):
    """It answers through others of its fleet; a private node would take the memory it freed."""
    first = make_config()

    async def found(peer: str | None = None) -> str:
        async with open_backend(first, peer, on_notice=print, on_passed_over=print) as backend:
            return backend.name

    async with asyncio.timeout(DEADLINE_S), serving(first) as draining:
        draining.node.begin_drain()
        assert await found() == await found(draining.address) == draining.address
        apart = replace(first.locations, state_dir=first.locations.state_dir / "apart")
        async with serving(replace(first, locations=apart)) as well:
            assert await found() == well.address
            well.node.begin_drain()
            draining.node.end_drain()
            assert await found() == draining.address


Notices = asyncio.Queue[str]


async def start(
    config: PeerConfig, on_view: Callable[[FleetView], None] = lambda _: None
) -> tuple[Server, asyncio.Task[signal.Signals], Notices]:
    """A peer under `run_peer`, ready."""
    ready: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
    notices = Notices()
    running = asyncio.create_task(
        run_peer(
            config,
            on_ready=ready.set_result,
            on_notice=notices.put_nowait,
            on_view=on_view,
            on_happening=lambda _: None,
        )
    )
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    return await ready, running, notices


async def ask(server: Server, max_tokens: int) -> int:
    body = {"model": "fake", "messages": QUESTION, "max_tokens": max_tokens}
    url = f"http://{server.address}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        await response.read()
        return response.status


async def until_live(server: Server) -> None:
    while server.node.health.live_requests == 0:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)


async def test_first_signal_drains_and_the_note_is_gone_at_the_end(make_config: MakeConfig):
    config = make_config(fake_token_interval_ms=10)
    folder = config.locations.announcements_dir
    async with asyncio.timeout(DEADLINE_S):
        server, running, notices = await start(config)
        [note] = folder.iterdir()
        told = json.loads(note.read_text())
        assert (told["pid"], told["port"], note.stem) == (os.getpid(), server.port, told["node"])
        asking = asyncio.create_task(ask(server, 20))
        await until_live(server)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == signal.SIGTERM
        assert await asking == 200
        assert "1 request finishes" in notices.get_nowait()
        assert list(folder.iterdir()) == []


async def test_peer_that_crashes_leaves_no_core_dump(
    make_config: MakeConfig, core_dumps_allowed: None
):
    async with asyncio.timeout(DEADLINE_S):
        _, running, _ = await start(make_config())
        soft, _ = resource.getrlimit(resource.RLIMIT_CORE)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert soft == 0


async def test_second_signal_stops_at_once(make_config: MakeConfig):
    config = make_config(fake_token_interval_ms=1000)
    async with asyncio.timeout(DEADLINE_S):
        server, running, _ = await start(config)
        asking = asyncio.create_task(ask(server, 1000))
        await until_live(server)
        began_s = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        assert await running == signal.SIGINT
        assert time.monotonic() - began_s < 10
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_a_ready_peer_loads_what_it_shall_hold_without_being_asked(make_config: MakeConfig):
    async with asyncio.timeout(DEADLINE_S):
        server, running, _ = await start(make_config(preload=("fake",)))
        changed = asyncio.Event()
        server.node.watch(changed.set)
        while not server.node.placement.ready:
            changed.clear()
            await changed.wait()
        assert [each.model.id for each in server.node.placement.ready] == ["fake"]
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_preload_of_an_unknown_model_ends_the_peer_with_its_error(make_config: MakeConfig):
    with pytest.raises(ModelNotFound):
        await start(make_config(preload=("fack",)))


@pytest.fixture
def late_disks(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """They answer when it is set, which is too late for a peer that starts."""
    answer = threading.Event()

    def scan_late(config: PeerConfig, look: Look) -> Catalogue:
        assert answer.wait(DEADLINE_S)
        return scan(config, look)

    monkeypatch.setattr(shelf_module, "scan", scan_late)
    monkeypatch.setattr(node_module, "AT_LENGTH_S", 0.01)
    return answer


async def test_a_model_on_disks_that_do_not_answer_is_loaded_when_they_do(
    late_disks: threading.Event, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server_module, "AT_LENGTH_S", 0.01)
    async with asyncio.timeout(DEADLINE_S):
        server, running, _ = await start(make_config(preload=("fake",)))
        late_disks.set()
        changed = asyncio.Event()
        server.node.watch(changed.set)
        while not server.node.placement.ready:
            changed.clear()
            await changed.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_disks_that_answer_late_are_waited_for_to_know_what_is_to_be_loaded(
    late_disks: threading.Event, make_config: MakeConfig
):
    with pytest.raises(ModelNotFound):
        await start(make_config(preload=("fack",)), on_view=lambda _: late_disks.set())


async def test_a_preload_that_fails_is_told_and_the_peer_serves_on(
    make_config: MakeConfig, tmp_path: Path
):
    config = make_config(preload=("fake",), python=str(tmp_path / "none"))
    async with asyncio.timeout(DEADLINE_S):
        server, running, notices = await start(config)
        notice = await notices.get()
        assert notice.startswith("not loaded at the start: fake: ") and "No such file" in notice
        url = f"http://{server.address}/v1/models"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == signal.SIGTERM


async def test_python_that_cannot_run_the_engine_says_what_to_install(make_config: MakeConfig):
    async with serving(make_config(python="/bin/false")) as server:
        with pytest.raises(EngineFailed) as caught:
            await server.node.preload("fake")
        assert "exit code 1, before it was ready" in caught.value.message
        assert "`cortex doctor` on that machine" in caught.value.hint


async def test_python_that_does_not_exist_is_engine_failed(make_config: MakeConfig, tmp_path: Path):
    async with serving(make_config(python=str(tmp_path / "none"))) as server:
        with pytest.raises(EngineFailed, match="No such file"):
            await server.node.preload("fake")


async def test_one_peer_gives_room_to_no_more_bytes_than_it_may(make_config: MakeConfig):
    config = make_config(max_intake_bytes=1000)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n{"
    async with asyncio.timeout(DEADLINE_S), serving(config) as server:
        url = f"http://{server.address}/v1/chat/completions"
        _, slow = await asyncio.open_connection(server.host, server.port)
        slow.write(head)
        await slow.drain()
        async with aiohttp.ClientSession() as session:
            body = b"{" + b" " * 900
            status, code = 0, ""
            while status != 503:  # until the slow one has been seen
                async with session.post(url, data=body) as response:
                    status = response.status
                    code = (await response.json())["error"]["code"]
            assert code == "overloaded"
            slow.close()
            await slow.wait_closed()
            while status != 400:  # until it has been seen to leave
                async with session.post(url, data=body) as response:
                    status = response.status
