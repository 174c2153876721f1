"""The ingress alone: a peer whose two children are connections to the bench's backend.

python -m bench.ingress.alone PLACE
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cortex.engine.heap import give_large_blocks_back
from cortex.peer.children.link import FrameLink
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import FleetConfig, Locations, PeerConfig
from cortex.peer.serving.server import serving

from .canned import MODEL, Place

# More than the bench ever has under way: nobody is to be turned away.
_MAX_LIVE_REQUESTS = 1024


class _Elsewhere:
    """A child's process as far as a peer sees it; it is another's, and ends with its socket."""

    pid = os.getpid()

    def kill(self) -> None:
        pass

    async def wait(self) -> int:
        return 0


async def run(place: Place) -> None:
    async def connect(command: Sequence[str]) -> ChildProcess:
        is_text = "cortex.engine.text" in command
        _, link = await asyncio.get_running_loop().create_unix_connection(
            FrameLink, place.text_socket if is_text else place.engine_socket
        )
        return ChildProcess(_Elsewhere(), link)

    state_dir = Path(place.state_dir)
    config = PeerConfig(
        Locations(state_dir, state_dir),
        fleet=FleetConfig("alone", state_dir / "fleet.key", "127.0.0.1", 0, has_mdns=False),
        preload=(MODEL,),
        engine="fake",
        port=place.port,
        max_live_requests=_MAX_LIVE_REQUESTS,
    )
    give_large_blocks_back()  # as `cortex peer` does
    async with serving(config, connect):
        await asyncio.Event().wait()


def main() -> None:
    asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Place)))


if __name__ == "__main__":
    main()
