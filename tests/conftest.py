"""What every test shares: an environment in which nothing of the machine's owner can be seen."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cortex.peer.config import RELOAD_LOG, REQUEST_LOG, FleetConfig, PeerConfig
from cortex.peer.serving.server import serving

# Two cores may be busy: how long an example takes, or is thought of, says nothing about the code.
settings.register_profile("cortex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cortex")

# A GPU's kernels are run by Triton's interpreter, which Triton asks about as it is imported.
os.environ["TRITON_INTERPRET"] = "1"

_HIDDEN_PREFIXES = ("CORTEX_", "HF_", "XDG_", "_CORTEX_", "OPENAI_")


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests of all workers, so that kernels are compiled once."""
    root = tmp_path_factory.getbasetemp()
    cache = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return cache


@pytest.fixture(autouse=True)
def scrubbed_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, cache_home: Path
) -> None:
    """No settings, no models and no running peer of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(_HIDDEN_PREFIXES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("DATA", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))
    # A peer that a command starts meets nobody, and takes nobody's port.
    monkeypatch.setenv("CORTEX_NO_MDNS", "1")
    monkeypatch.setenv("CORTEX_FLEET_HOST", "127.0.0.1")
    monkeypatch.setenv("CORTEX_FLEET_PORT", "0")


@pytest.fixture(autouse=True)
def restored_logs() -> Generator[None]:
    """A command that was run inside a test leaves the next one no log, nor its levels."""
    loggers = [logging.getLogger(), *map(logging.getLogger, (REQUEST_LOG, RELOAD_LOG))]
    levels = [logger.level for logger in loggers]
    before = loggers[0].handlers[:]
    yield
    for handler in loggers[0].handlers[:]:
        if handler not in before:
            loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def core_dumps_allowed() -> Generator[None]:
    """As by `ulimit -c unlimited` of a shell, where the system lets us."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == 0:
        pytest.skip("no core dump can be allowed here")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture(scope="session", autouse=True)
def heard_interrupts() -> None:
    """A shell has what it runs in the background ignore ctrl-c, and children inherit that: tests
    that send it would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def serve_peer() -> Generator[Callable[[PeerConfig], str]]:
    """Start a peer that all tests of a module ask, on a loop of its own and in a fleet of its own;
    gives its address.
    """
    with ExitStack() as running:
        yield lambda config: running.enter_context(_served(config))


@contextmanager
def _served(config: PeerConfig) -> Generator[str]:
    key_file = config.locations.state_dir / "fleet.key"
    fleet = FleetConfig("atlas", key_file, "127.0.0.1", 0, has_mdns=False)
    address: Future[str] = Future()
    loop, leave = asyncio.new_event_loop(), asyncio.Event()

    async def live() -> None:
        try:
            async with serving(replace(config, fleet=fleet)) as server:
                address.set_result(server.address)
                await leave.wait()
        except BaseException as error:
            if address.done():
                raise
            address.set_exception(error)

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        yield address.result(60)
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()
        loop.close()
