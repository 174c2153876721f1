"""`cortex peer` as a process: what it says, who finds it, how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.commands.peer import describe_ready, describe_start
from cortex.cli.devices import Device
from cortex.peer.config import Locations, PeerConfig

Cortex = Callable[..., Any]
WriteScript = Callable[..., tuple[str, ...]]


@contextmanager
def running(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A peer that says it is ready, and its address."""
    command = [sys.executable, "-m", "cortex.cli", "peer", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            address = ""
            for line in process.stdout:
                if found := re.search(r"http://(\S+)/v1", line):
                    address = found[1]
                if line.startswith("ready in "):
                    break
            yield process, address
        finally:
            process.kill()


def test_a_peer_serves_its_models_and_ends_at_sigterm_with_0() -> None:
    with running("--engine", "fake") as (process, address):
        with urllib.request.urlopen(f"http://{address}/v1/models", timeout=10) as response:
            models = json.load(response)["data"]
        assert [model["id"] for model in models] == ["fake"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_peer_ends_at_ctrl_c_with_130() -> None:
    with running("--engine", "fake", "--model", "fake") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_chat_finds_the_running_peer_by_itself(cortex: Cortex, replies: WriteScript) -> None:
    with running(*replies("from the peer")) as (_, address):
        # This command's own engine has no script: the words can only be the peer's.
        done = cortex("chat", "--engine", "fake", "--json", "hello")
        told = json.loads(done.stdout)
        assert (told["answer"], told["peer"]) == ("from the peer", address)
        assert cortex("models", "--json", "--peer", address).stdout.count('"id"') == 1


def test_a_picture_goes_to_the_running_peer(
    cortex: Cortex, replies: WriteScript, picture: Path
) -> None:
    with running(*replies("seen")):
        done = cortex("chat", "-i", str(picture), "what is it?")
    assert done.stdout == "seen\n"
    assert done.stderr == "image   square_96.png  256x256 -> 64 tokens\n"


def test_a_taken_port_is_said_with_its_number(cortex: Cortex) -> None:
    with running("--engine", "fake") as (_, address):
        port = address.rpartition(":")[2]
        done = cortex("peer", "--engine", "fake", "--port", port)
    assert done.code == 1
    assert f"error: port {port} on 127.0.0.1 is in use." in done.stderr


def test_the_peer_s_note_lies_in_the_state_directory_where_there_is_no_runtime_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with running("--engine", "fake", "--state-dir", str(tmp_path / "state")) as (process, _):
        (note,) = (tmp_path / "state").glob("*.json")
        assert json.loads(note.read_text())["pid"] == process.pid


def test_the_engine_runs_under_the_python_that_was_named(cortex: Cortex, tmp_path: Path) -> None:
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    with running("--engine", "fake", "--python", str(other), "--model", "fake"):
        assert "cortex.engine.fake" in (tmp_path / "called").read_text()


def test_a_machine_without_a_gpu_is_told_that_the_cpu_computes() -> None:
    config = PeerConfig(locations=Locations(Path("data"), Path("state")))
    lines = describe_start(config, Device("cpu", "no NVIDIA device is seen"), ["a", "b"])
    assert lines[1:] == ["device cpu   (no NVIDIA device is seen)", "models 2 found   (a, b)"]


def test_an_address_open_to_others_is_said_to_be() -> None:
    assert "this machine only" in describe_ready("127.0.0.1", "127.0.0.1:1", 0.1)[0]
    assert "open to everyone" in describe_ready("0.0.0.0", "127.0.0.1:1", 0.1)[0]
