"""Pulls from a hub on loopback, each into a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import CortexError
from cortex.peer.config import HubConfig, PeerConfig
from cortex.peer.jobs import Progress
from cortex.peer.models.catalogue import embedded_dir, scan
from cortex.peer.models.folder import Unserved
from cortex.peer.pulling.pull import Check, pull
from cortex.peer.pulling.room import Room
from tests.peer.fake_hub import WEIGHTS, FakeHub, serving_hub


@pytest.fixture
def model_files(make_config: Callable[..., PeerConfig]) -> dict[str, bytes]:
    """A fake model with what other repositories hold beside it."""
    folder = embedded_dir(make_config())
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return files | {
        WEIGHTS: bytes(range(256)) * 40,
        "LICENSE": b"do as you like",
        "merges.txt": b"",
        "pytorch_model.bin": b"a pickle",
        "modeling.py": b"import os",
        "README.md": b"# a model",
    }


@pytest.fixture
async def hub(model_files: dict[str, bytes]) -> AsyncGenerator[FakeHub]:
    fake = FakeHub(model_files)
    async with serving_hub(fake):
        yield fake


async def nothing_against(config: PeerConfig, folder: Path) -> Unserved | None:
    """Of the engine, which is not asked whether it could read the folder."""
    return None


@dataclass(slots=True)
class Pulling:
    """Pulls from the hub into a folder of its own, and remembers what was told and how long it
    rested.
    """

    hub: FakeHub
    config: PeerConfig
    told: list[Progress] = field(default_factory=list[Progress])
    rests_s: list[float] = field(default_factory=list[float])
    free_bytes: int = 1 << 40
    check: Check = nothing_against
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        self.room = Room(lambda _: self.free_bytes)

    @property
    def root(self) -> Path:
        return self.config.locations.data_dir / "models"

    @property
    def goal(self) -> Path:
        return self.root / "org" / "name"

    @property
    def partial(self) -> Path:
        return self.root / ".pulling-org--name"

    @property
    def partial_weights(self) -> Path:
        [path] = self.partial.glob(f"{WEIGHTS}.*.part")
        return path

    @property
    def ids(self) -> list[str]:
        return [model.id for model in scan(self.config).models]

    async def refused(self, kind: type[CortexError], words: str) -> CortexError:
        with pytest.raises(kind, match=words) as raised:
            await self()
        assert not self.goal.exists() and "org/name" not in self.ids
        return raised.value

    async def __call__(self, repository: str = "org/name", revision: str | None = None) -> None:
        async def rest(seconds: float) -> None:
            self.rests_s.append(seconds)

        await pull(
            self.config,
            repository,
            revision,
            self.told.append,
            self.room,
            sleep=rest,
            check=self.check,
        )


@pytest.fixture
def pulling(hub: FakeHub, make_config: Callable[..., PeerConfig]) -> Pulling:
    return Pulling(hub, make_config(hub=HubConfig(hub.address)))


@pytest.fixture
def other_hub(model_files: dict[str, bytes]) -> Callable[[], Any]:
    """`async with other_hub() as fake`: one more, at another port."""

    @asynccontextmanager
    async def open_hub() -> AsyncGenerator[FakeHub]:
        fake = FakeHub(model_files)
        async with serving_hub(fake):
            yield fake

    return open_hub


@pytest.fixture
def pulled_alone(
    model_files: dict[str, bytes], make_config: Callable[..., PeerConfig]
) -> Callable[..., Pulling]:
    """Pulls from a hub that is like this into a folder that was not there before."""

    async def pull_all(fake: FakeHub) -> Pulling:
        async with serving_hub(fake):
            pulling = Pulling(fake, make_config(hub=HubConfig(fake.address)))
            shutil.rmtree(pulling.root, ignore_errors=True)
            await pulling()
        return pulling

    def pull_from(**changes: Any) -> Pulling:
        return asyncio.run(pull_all(FakeHub(model_files, **changes)))

    return pull_from
