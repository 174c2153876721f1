"""Several peers of one fleet as processes, and waiting for what they must come to see."""

from __future__ import annotations

import http.client
import shutil
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cortex.peer.keys.fleet_key import FleetKey
from cortex.peer.keys.keyring import Keyring, write_keyring

from .process import Here, PeerProcess, Place

UNREACHABLE = (OSError, http.client.HTTPException)
POLL_S = 0.02


class TooLate(Exception):
    """Something did not come about in time."""


def until(is_so: Callable[[], bool], limit_s: float, what: str) -> float:
    """How long it took. A peer that does not answer has not come to see it. Raises TooLate."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < limit_s:
        if _holds(is_so):
            return time.monotonic() - begun_s
        time.sleep(POLL_S)
    raise TooLate(f"{what}: not within {limit_s:g} s")


def _holds(is_so: Callable[[], bool]) -> bool:
    try:
        return is_so()
    except UNREACHABLE:
        return False


class Peers:
    """All that were made end with it."""

    def __init__(self, folder: Path, key: FleetKey) -> None:
        self.all: list[PeerProcess] = []
        self.folder = folder
        self._key = key

    def make(
        self, name: str, *options: str, place: Place | None = None, command: str = "peer"
    ) -> PeerProcess:
        """Of the fleet, not started yet."""
        peer = PeerProcess(name, self.folder / name, options, place or Here(), command)
        peer.state_dir.mkdir(parents=True)
        write_keyring(peer.state_dir / "fleet.key", Keyring(self._key))
        self.all.append(peer)
        return peer

    def clone(self, source: PeerProcess, name: str, place: Place | None = None) -> PeerProcess:
        """One with a copy of another's state directory."""
        peer = PeerProcess(name, self.folder / name, source.options, place or source.place)
        shutil.copytree(source.state_dir, peer.state_dir)
        self.all.append(peer)
        return peer

    def start(self) -> None:
        """All of them, and wait until they answer."""
        for peer in self.all:
            peer.start()
        for peer in self.all:
            peer.wait()

    def all_see_all(self) -> bool:
        """Every running peer holds every other running one up."""
        running = [peer for peer in self.all if peer.is_running]
        names = {peer.name for peer in running}
        return all(
            names - {peer.name} <= {name for name, state in peer.states().items() if state == "up"}
            for peer in running
        )

    def end(self) -> None:
        for peer in self.all:
            if peer.is_running:
                peer.kill()

    def logs(self) -> str:
        return "\n".join(f"--- {peer.name}\n{peer.tail()}" for peer in self.all)


@contextmanager
def peers_in(folder: Path, key: FleetKey) -> Generator[Peers]:
    """Peers that end with the block; their words are shown where it fails."""
    peers = Peers(folder, key)
    try:
        yield peers
    except Exception as error:
        error.add_note(peers.logs())
        raise
    finally:
        peers.end()


def free_ports(num_ports: int) -> list[int]:
    """That were free just now, for TCP as for UDP: they must be the same over restarts."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(num_ports)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def up_everywhere(name: str, observers: Sequence[PeerProcess]) -> bool:
    return all(peer.states().get(name) == "up" for peer in observers)
