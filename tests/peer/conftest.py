"""What peers with the fake engine are made of: no weights, port 0."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.config import FleetConfig, Locations, PeerConfig
from cortex.peer.gossip.records import Address
from cortex.peer.models.catalogue import embedded_dir
from tests.peer.in_memory import MemoryChildren

MakeConfig = Callable[..., PeerConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """A config of a peer that touches nothing outside the test's folder."""

    def make(**changes: Any) -> PeerConfig:
        places = Locations(tmp_path / "data", tmp_path / "state", tmp_path / "run")
        fleet = FleetConfig("atlas", tmp_path / "fleet.key", "127.0.0.1", 0, has_mdns=False)
        fields: dict[str, Any] = {"locations": places, "engine": "fake", "port": 0, "fleet": fleet}
        fields |= changes
        return PeerConfig(**fields)

    return make


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[..., Path]:
    """A script for the fake engine, by its replies."""

    def write(*replies: str) -> Path:
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"replies": list(replies)}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_harm(tmp_path: Path) -> Callable[..., Path]:
    """A script for the fake engine that comes to harm."""

    def write(**harm: Any) -> Path:
        path = tmp_path / "harm.json"
        path.write_text(json.dumps({"harm": harm}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def driver_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an nvidia-smi on the path that does as the script of a shell says."""

    def write(script: str) -> None:
        path = tmp_path / "bin" / "nvidia-smi"
        if not path.exists():
            path.parent.mkdir()
            monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)
        whole = path.with_suffix(".new")
        whole.write_text(f"#!/bin/sh\n{script}\n")
        whole.chmod(0o755)
        whole.rename(path)  # somebody may be starting it

    return write


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address where connections neither come about nor fail: its queue of them is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = Address(*listening.getsockname())
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((place.ip, place.port))
        yield place


@pytest.fixture
def png() -> bytes:
    """A grey picture, 64 pixels wide and 32 high."""
    rows = b"".join(b"\x00" + b"\x80" * 64 for _ in range(32))

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 64, 32, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@pytest.fixture
def make_models(tmp_path: Path, make_config: MakeConfig) -> Callable[..., Path]:
    """A folder of fake models under new names; `blind` ones have no preprocessor."""

    def make(*names: str, blind: bool = False) -> Path:
        root = tmp_path / "models"
        for name in names:
            shutil.copytree(embedded_dir(make_config()), root / name)
            if blind:
                (root / name / "preprocessor_config.json").unlink()
        return root

    return make


@pytest.fixture
def memory_children() -> type[MemoryChildren]:
    return MemoryChildren
