"""The ingress alone: a peer whose two children are connections to the bench's backend.

python -m bench.ingress.alone --port N --state-dir DIR --text-socket FILE --engine-socket FILE
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from cortex.engine.heap import give_large_blocks_back
from cortex.peer.children.link import FrameLink
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.serving.server import serving

from .canned import MODEL

# More than the bench ever has under way: nobody is to be turned away.
_MAX_LIVE_REQUESTS = 1024


class _Elsewhere:
    """A child's process as far as a peer sees it; it is another's, and ends with its socket."""

    pid = os.getpid()

    def kill(self) -> None:
        pass

    async def wait(self) -> int:
        return 0


async def run(port: int, state_dir: Path, text_socket: Path, engine_socket: Path) -> None:
    async def connect(command: Sequence[str]) -> ChildProcess:
        is_text = "cortex.engine.text" in command
        _, link = await asyncio.get_running_loop().create_unix_connection(
            FrameLink, str(text_socket if is_text else engine_socket)
        )
        return ChildProcess(_Elsewhere(), link)

    config = PeerConfig(
        Locations(state_dir, state_dir),
        preload=(MODEL,),
        engine="fake",
        port=port,
        max_live_requests=_MAX_LIVE_REQUESTS,
    )
    give_large_blocks_back()  # as `cortex peer` does
    async with serving(config, connect):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--text-socket", type=Path, required=True)
    parser.add_argument("--engine-socket", type=Path, required=True)
    args = parser.parse_args()
    asyncio.run(run(args.port, args.state_dir, args.text_socket, args.engine_socket))


if __name__ == "__main__":
    main()
