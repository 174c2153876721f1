"""The engine as a process of its own, whose parent goes."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from msgspec import Raw

from cortex.engine.frames import pack_message, pack_value, unpack_message
from cortex.engine.messages import Ending, Generate, Load, Loaded, Message, Step, Wanted
from cortex.engine.types import Prompt, Sampling

TIMEOUT_S = 60.0
ENDLESS = Prompt((5, 6, 7), (), (), Sampling(seed=0), 100_000, (), ())


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_process_ends_quietly_when_its_parent_goes(golden: Path, is_busy: bool) -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "cortex.engine.worker", "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--fd", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    stream = ours.makefile("rb")
    ours.sendall(pack_message(Load("job", "m", str(golden / "qwen3_5"))))
    while not isinstance(_next_message(stream), Loaded):
        pass
    if is_busy:
        prompt = Raw(pack_value(ENDLESS))
        ours.sendall(pack_message(Generate("m", (Wanted("r", 1),), prompt)))
        while not isinstance(_next_message(stream), Step):
            pass

    stream.close()
    ours.close()
    _, said = process.communicate(timeout=TIMEOUT_S)

    # Which kernels there are, and made how, is told once.
    told = [line for line in said.splitlines() if b"cortex.engine.kernels" not in line]
    assert (process.returncode, told) == (0, [])


def _next_message(stream: BinaryIO) -> Message:
    size_bytes = int.from_bytes(stream.read(4), "big")
    return unpack_message(stream.read(size_bytes))


def test_the_first_word_of_a_process_whose_device_cannot_be_used_is_why() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "cortex.engine.worker", "--device", "cuda:99"]
    process = subprocess.Popen(
        [*command, "--fd", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    with ours.makefile("rb") as stream:
        first = _next_message(stream)
    ours.close()
    _, said = process.communicate(timeout=TIMEOUT_S)

    assert isinstance(first, Ending) and first.error.code == "engine_failed"
    assert first.error.message.startswith("the GPU cannot be used: ")
    assert process.returncode == 1 and b"Traceback" not in said
