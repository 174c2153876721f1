"""Two peers on this machine, and the death of one: `python -m bench.demo_fleet`.

What two terminals would do: the first peer makes the fleet's key, the second joins by it, and both
find each other by multicast. Both hold cortex-nano. A question goes to one of them; the peer that
makes the tokens is killed while they come, and the answer must be that of an undisturbed fleet.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .live.peers import until
from .live.process import PeerProcess, environment

PICTURE = Path(__file__).resolve().parent.parent / "examples" / "receipt.png"
PIECES_BEFORE_DEATH = 8
PATIENCE_S = 60.0
OPTIONS = ("--engine", "torch", "--gpu", "cpu", "--model", "cortex-nano")


def body() -> dict[str, Any]:
    picture = b64encode(PICTURE.read_bytes()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
        {"type": "text", "text": "Please read the text in the picture."},
    ]
    message = {"role": "user", "content": parts}
    return {"model": "cortex-nano", "messages": [message], "seed": 7, "stream": True}


class Stream:
    """One answer, read piece by piece."""

    def __init__(self, peer: PeerProcess) -> None:
        self.host = ""
        self._connection = http.client.HTTPConnection(peer.host, peer.port, timeout=60)
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body()), headers)

    def pieces(self) -> Iterator[str]:
        reply = self._connection.getresponse()
        self.host = reply.headers.get("x-cortex-peer", "")
        for line in reply:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise SystemExit(f"the stream ended with {event['error']}")
            if event["choices"] and (text := event["choices"][0]["delta"].get("content")):
                yield text
        self._connection.close()


def begun(folder: Path) -> list[PeerProcess]:
    """Two peers of one fleet, by the commands that a person types."""
    first, second = (PeerProcess(name, folder / name, OPTIONS) for name in ("ada", "bob"))
    first.start()
    first.wait()
    key = cortex(first, "key").split()[-1]
    print(f"$ cortex join {key[:14]}…")
    print(cortex(second, "join", "-", said=key).strip())
    second.start()
    return [first, second]


def cortex(peer: PeerProcess, *words: str, said: str = "") -> str:
    """What the command prints for that peer's state directory."""
    command = [sys.executable, "-m", "cortex.cli", *words, "--state-dir", str(peer.state_dir)]
    peer.state_dir.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, env=environment(peer.folder)
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def killed_midway(ingress: PeerProcess, victim: PeerProcess) -> tuple[str, float]:
    """The answer, and the longest wait within it after the death."""
    pieces: list[str] = []
    gap_s, last_s = 0.0, 0.0
    for piece in Stream(ingress).pieces():
        now_s = time.monotonic()
        if len(pieces) >= PIECES_BEFORE_DEATH:
            gap_s = max(gap_s, now_s - last_s)
        pieces.append(piece)
        last_s = now_s
        if len(pieces) == PIECES_BEFORE_DEATH:
            victim.signal(signal.SIGKILL)
            print(f"{victim.name} is killed after {''.join(pieces)!r}")
    return "".join(pieces), gap_s


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        peers: list[PeerProcess] = []
        try:
            peers = begun(Path(folder))
            show(peers)
        finally:
            for peer in peers:
                peer.kill()


def show(peers: list[PeerProcess]) -> None:
    names = {peer.name for peer in peers}
    ada, bob = peers
    for what, is_so, observers in (("seen", is_there, [ada]), ("ready everywhere", is_up, peers)):
        if bob in observers:
            bob.wait()
        until(lambda i=is_so, o=observers: all(sees(p, names, i) for p in o), PATIENCE_S, what)
        print(f"bob is {what} {time.monotonic() - bob.started_s:.1f} s after its start")
    stream = Stream(peers[0])
    undisturbed = "".join(stream.pieces())
    print(f"undisturbed, from {stream.host}: {undisturbed!r}")
    victim = next(peer for peer in peers if peer.name == stream.host)
    ingress = next(peer for peer in peers if peer is not victim)
    answer, gap_s = killed_midway(ingress, victim)
    print(f"from {ingress.name} alone, {gap_s:.2f} s later: {answer[-40:]!r}")
    print(f"the answers are equal: {answer == undisturbed}")
    if answer != undisturbed:
        raise SystemExit(1)


def sees(peer: PeerProcess, names: set[str], is_so: Callable[[Any], bool]) -> bool:
    return names <= {told["name"] for told in peer.fleet()["peers"] if is_so(told)}


def is_there(told: Any) -> bool:
    return told["state"] in ("up", "loading")


def is_up(told: Any) -> bool:
    return told["state"] == "up" and bool(told["models"])


if __name__ == "__main__":
    main()
