"""Two peers with fake engines plan for each other: over gossip, hops and HTTP as they are."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cortex.peer.config import EvictionConfig, FleetConfig, Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from cortex.peer.serving.server import Server, serving

DEADLINE_S = 30.0
# Of a device of 1 GiB, which keeps a part of it for what it remembers of prompts.
BYTES = {"one": 500 << 20, "two": 600 << 20}


class Peers:
    """`ask` asks one of them; a model is told from others by its id."""

    def __init__(self, session: ClientSession, servers: dict[str, Server]) -> None:
        self._session = session
        self._servers = servers

    async def ask(self, peer: str, path: str, **body: Any) -> Any:
        url = f"http://{self._servers[peer].address}{path}"
        async with self._session.post(url, json=body) as reply:
            return await reply.json(), reply.headers

    async def plan(self, peer: str, **body: Any) -> Any:
        return (await self.ask(peer, "/models/plan", **body))[0]

    async def plan_with_others(self, peer: str, **body: Any) -> Any:
        """Once all that is there has got round."""
        while True:
            plan = await self.plan(peer, **body)
            if plan["others"] and any(other["victims"] for other in plan["others"]):
                return plan
            await asyncio.sleep(0.02)


@pytest.fixture
def open_peers(tmp_path: Path, make_config: Callable[..., PeerConfig], memory_children: Any) -> Any:
    """atlas and borea, each with two models that no memory holds at once."""
    for name in ("one", "two"):
        folder = tmp_path / "models" / name
        shutil.copytree(embedded_dir(make_config()), folder)
        about = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps(about | {"name": name, "weights_bytes": BYTES[name]})
        )

    def config(name: str, join: tuple[str, ...]) -> PeerConfig:
        key_file = tmp_path / "fleet.key"
        fleet = FleetConfig(name, key_file, host="127.0.0.1", port=0, join=join, has_mdns=False)
        data, state, run = (tmp_path / name / part for part in ("data", "state", "run"))
        return make_config(
            locations=Locations(data, state, run),
            models_dirs=(tmp_path / "models",),
            fleet=fleet,
            eviction=EvictionConfig(min_residency_s=0.0),
            memory_bytes=1 << 30,
        )

    @asynccontextmanager
    async def open_them() -> AsyncGenerator[Peers]:
        async with (
            asyncio.timeout(DEADLINE_S),
            serving(config("atlas", ()), memory_children().spawn) as atlas,
            serving(
                config("borea", (f"127.0.0.1:{atlas.fleet_port}",)), memory_children().spawn
            ) as borea,
            ClientSession() as session,
        ):
            yield Peers(session, {"atlas": atlas, "borea": borea})

    return open_them


async def test_plan_takes_the_emptier_peer_and_names_the_victim_on_the_full_one(open_peers: Any):
    async with open_peers() as peers:
        told, _ = await peers.ask("atlas", "/models/load", model="one")
        assert told["peer"] == "atlas"

        for asked in ("atlas", "borea"):
            plan = await peers.plan_with_others(asked, model="two")
            assert (plan["plan"]["peer"], plan["plan"]["victims"]) == ("borea", [])
            (other,) = plan["others"]
            assert other["peer"] == "atlas"
            assert [victim["id"] for victim in other["victims"]] == ["one"]
            plan = await peers.plan(asked, model="one")
            assert (plan["plan"]["peer"], plan["plan"]["is_there"]) == ("atlas", True)
        # A request goes where the plan says, whoever is asked.
        messages = [{"role": "user", "content": "hello"}]
        _, headers = await peers.ask(
            "atlas", "/v1/chat/completions", model="two", messages=messages, max_tokens=2
        )
        assert headers["x-cortex-peer"] == "borea"
        plan = await peers.plan("borea", model="two")
        assert (plan["plan"]["peer"], plan["plan"]["is_there"]) == ("borea", True)
