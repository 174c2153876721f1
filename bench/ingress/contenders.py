"""Who is measured, and how each is started: all in front of one and the same backend.

Each is a block that gives a port and the id of the process which is the ingress. Every contender is
run as its users would run it, in one process; what was set is in its `settings`.
"""

from __future__ import annotations

import functools
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..peers.process import (
    free_port,
    make_venv,
    started,
    version_of,
    wait_until_it_answers,
)
from . import canned

DIRECT = "backend itself"
IN_FRAMES = "backend, in frames"
HELLO = "aiohttp hello"
FORWARDING = "forwarding proxy"
LITELLM = "litellm"
OURS = "cortex ingress"
LITELLM_VERSION = "1.106.2"
_PACKAGES = (f"litellm[proxy]=={LITELLM_VERSION}",)
_ENVIRONMENT = {
    # It asks the internet for prices otherwise.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    "LITELLM_TELEMETRY": "False",
    # Without keys, as the peer on loopback: what checking them costs is not measured.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
_START_S = 180.0


@dataclass(frozen=True, slots=True)
class Backend:
    """The running backend: its HTTP port and its two sockets; logs go to `logs`."""

    port: int
    pid: int
    text_socket: Path
    engine_socket: Path
    logs: Path


@dataclass(frozen=True, slots=True)
class Ingress:
    port: int
    pid: int
    path: str = canned.PATH


@dataclass(frozen=True, slots=True)
class Contender:
    """`loads` are those that it can take. One that `is_frames` is the backend, asked as a peer
    asks it.
    """

    name: str
    settings: str
    loads: frozenset[str]
    running: Callable[[Backend], AbstractContextManager[Ingress]]
    is_frames: bool = False


@contextmanager
def backend(logs: Path, groups: tuple[int, ...]) -> Generator[Backend]:
    port, log = free_port(), logs / "backend.log"
    with tempfile.TemporaryDirectory() as folder:
        sockets = Path(folder) / "text", Path(folder) / "engine"
        place = canned.Place(port, str(sockets[0]), str(sockets[1]), groups)
        with started(_placed("backend", place), log, env={}) as process:
            wait_until_it_answers(process, f"http://127.0.0.1:{port}/", log, _START_S)
            yield Backend(port, process.pid, *sockets, logs)


@contextmanager
def nothing(behind: Backend) -> Generator[Ingress]:
    yield Ingress(behind.port, behind.pid)


@contextmanager
def hello(behind: Backend) -> Generator[Ingress]:
    port = free_port()
    with _serving(behind, "hello", _program("hello", str(port)), port, "/") as pid:
        yield Ingress(port, pid, "/")


@contextmanager
def forwarding(behind: Backend) -> Generator[Ingress]:
    port = free_port()
    command = _program("forward", str(port), f"http://127.0.0.1:{behind.port}")
    with _serving(behind, "forward", command, port, "/") as pid:
        yield Ingress(port, pid)


@contextmanager
def litellm(behind: Backend, root: Path) -> Generator[Ingress]:
    port, python = free_port(), install_litellm(root)
    config = behind.logs / "litellm.yaml"
    config.write_text(
        "model_list:\n"
        f"  - model_name: {canned.MODEL}\n"
        "    litellm_params:\n"
        f"      model: openai/{canned.MODEL}\n"
        f"      api_base: http://127.0.0.1:{behind.port}/v1\n"
        "      api_key: sk-bench\n",
        encoding="utf-8",
    )
    command = (
        *(str(python.with_name("litellm")), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(port)),
    )
    ready = "/health/liveliness"
    with _serving(behind, LITELLM, command, port, ready, _ENVIRONMENT) as pid:
        yield Ingress(port, pid)


def install_litellm(root: Path) -> Path:
    """LiteLLM in a virtual environment of its own, made once; gives its python."""
    python = make_venv(root / LITELLM, _PACKAGES)
    version_of(python, LITELLM)
    return python


@contextmanager
def ingress_alone(behind: Backend) -> Generator[Ingress]:
    port = free_port()
    with tempfile.TemporaryDirectory() as state_dir:
        sockets = str(behind.text_socket), str(behind.engine_socket)
        place = canned.Place(port, *sockets, state_dir=state_dir)
        with _serving(behind, "alone", _placed("alone", place), port, "/healthz") as pid:
            yield Ingress(port, pid)


@contextmanager
def whole_peer(behind: Backend) -> Generator[Ingress]:
    """As a user runs it, with both its children; only the backend is not behind it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as state_dir:
        command = (
            *(sys.executable, "-m", "cortex.cli", "peer", "--engine", "fake"),
            *("--model", canned.MODEL, "--fake-token-interval-ms", "0"),
            *("--port", str(port), "--state-dir", state_dir, "--no-mdns", "--fleet-port", "0"),
        )
        with _serving(behind, "peer", command, port, "/healthz") as pid:
            yield Ingress(port, pid)


def contenders(root: Path) -> list[Contender]:
    """In the order in which a round takes them."""
    answers = frozenset({"closed", "open"})
    proxied = answers | {"streams", "picture"}
    return [
        Contender(DIRECT, "nothing in front of it", proxied - {"picture"}, nothing),
        Contender(
            IN_FRAMES,
            "the two round trips that a peer needs of its children for an answer, without a peer",
            frozenset({"open"}),
            nothing,
            is_frames=True,
        ),
        Contender(HELLO, "aiohttp, GET / answered at once", answers, hello),
        Contender(FORWARDING, "aiohttp, bytes passed on unread", proxied, forwarding),
        Contender(
            LITELLM,
            f"litellm {LITELLM_VERSION}, one worker, its defaults",
            proxied,
            functools.partial(litellm, root=root),
        ),
        Contender(OURS, "a peer, the backend in place of its children", proxied, ingress_alone),
        Contender(
            "cortex peer",
            "cortex peer --engine fake; CPU and memory without its children",
            answers | {"picture"},
            whole_peer,
        ),
    ]


def _placed(name: str, place: canned.Place) -> tuple[str, ...]:
    return _program(name, msgspec.json.encode(place).decode())


def _program(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.ingress.{name}", *arguments)


@contextmanager
def _serving(
    behind: Backend,
    name: str,
    command: tuple[str, ...],
    port: int,
    ready: str,
    env: dict[str, str] | None = None,
) -> Generator[int]:
    log = behind.logs / f"{name}.log"
    with started(command, log, env=env or {}) as process:
        wait_until_it_answers(process, f"http://127.0.0.1:{port}{ready}", log, _START_S)
        yield process.pid
