"""Two peers as processes, steered from the command line: orders to the one are about the other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bench.live.peers import Peers, free_ports, peers_in, until
from bench.live.process import PeerProcess
from cortex.peer.keys.fleet_key import new_fleet_key

Cortex = Callable[..., Any]
PATIENCE_S = 60.0
HERE = ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1")
SLOW = {"model": "fake", "prompt": "Once", "max_tokens": 4000}


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Peers]:
    """atlas and borea; nothing is loaded."""
    [port] = free_ports(1)
    engine = ("--engine", "fake", "--fake-token-interval-ms", "50")
    with peers_in(
        tmp_path_factory.mktemp("orders"), new_fleet_key(random.Random(1).randbytes)
    ) as both:
        both.make("atlas", *HERE, *engine, "--fleet-port", str(port))
        both.make("borea", *HERE, *engine, "--fleet-port", "0", "--join", f"127.0.0.1:{port}")
        both.start()
        until(both.all_see_all, PATIENCE_S, "two peers")
        until(lambda: all(map(_has_weighed, both.all)), PATIENCE_S, "weights with names")
        yield both


def _has_weighed(peer: PeerProcess) -> bool:
    told = peer.fleet()
    return all(one["stored"] for one in told["peers"])


@pytest.fixture
def steer(peers: Peers, cortex_here: Cortex) -> Callable[..., Any]:
    """`cortex ARGUMENTS`, asked of atlas."""
    return lambda *words: cortex_here(*words, "--peer", address_of(peers.all[0]))


def address_of(peer: PeerProcess) -> str:
    return f"{peer.host}:{peer.port}"


def placed(peers: Peers) -> dict[str, list[Any]]:
    """What is where, as atlas sees it."""
    return {peer["name"]: peer["models"] for peer in peers.all[0].fleet()["peers"]}


def test_a_model_is_loaded_pinned_and_unloaded_on_another_peer(
    peers: Peers, steer: Callable[..., Any]
) -> None:
    loaded = steer("load", "fake", "--on", "borea", "--context", "2048", "--slots", "2", "--json")
    assert loaded.code == 0, loaded.stderr
    job = json.loads(loaded.stdout)
    assert (job["schema"], job["peer"], job["state"]) == (1, "borea", "done")
    assert job["placement"]["context_tokens"] >= 2048 and job["placement"]["slots"] >= 2
    until(lambda: bool(placed(peers)["borea"]), PATIENCE_S, "borea's model to be seen")
    assert placed(peers)["atlas"] == []

    assert steer("load", "fake", "--on", "borea").stdout.endswith("was there already\n")
    assert steer("pin", "fake").stdout == "fake is pinned on borea\n"
    until(lambda: placed(peers)["borea"][0]["pinned"], PATIENCE_S, "the pin to be seen")
    listed = steer("models").stdout.splitlines()[1].split()
    assert (listed[0], listed[5:8]) == ("fake", ["warm", "borea", "(pinned)"])

    refused = steer("unload", "fake")
    assert (refused.code, "pinned" in refused.stderr) == (1, True)
    assert steer("unpin", "fake").stdout == "fake is not pinned on borea\n"
    assert steer("unload", "fake").stdout == "fake is in no engine of borea\n"
    until(lambda: not placed(peers)["borea"], PATIENCE_S, "borea's model to be gone")
    assert steer("unload", "fake", "--on", "borea").code == 0


def test_a_request_on_another_peer_is_listed_and_ended(
    peers: Peers, steer: Callable[..., Any]
) -> None:
    borea = peers.all[1]

    def listed() -> list[Any]:
        return json.loads(steer("ps", "--fleet", "--json").stdout)["requests"]

    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(borea.post, "/v1/completions", SLOW, PATIENCE_S)
        until(lambda: [one["stage"] for one in listed()] == ["decode"], PATIENCE_S, "an answer")
        [one] = listed()
        assert (one["peer"], one["model"]) == ("borea", "fake")
        assert steer("cancel", one["id"]).stdout == f"{one['id']} on borea: cancelled\n"
        assert "request_cancelled" in str(asked.exception(PATIENCE_S))
    until(lambda: not listed(), PATIENCE_S, "the answer's end")


@pytest.mark.parametrize("peer", ["atlas", "borea"])
def test_a_plan_and_a_load_agree(steer: Callable[..., Any], peer: str) -> None:
    planned = json.loads(steer("plan", "fake", "--json", "--on", peer).stdout)["plan"]
    loaded = json.loads(steer("load", "fake", "--on", peer, "--json").stdout)["placement"]
    assert (planned["peer"], planned["device"]) == (peer, loaded["device"])
    if peer == "atlas":  # of itself a peer knows all that a load takes
        assert planned["bytes"] == loaded["reserved_bytes"]
    assert steer("unload", "fake", "--on", peer).code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("load", "fale"), 5, "did you mean fake?"),
        (("load", "fake", "--on", "boera"), 1, "did you mean borea?"),
        (("load", "fake", "--context", "0"), 2, "--context"),
        (("unload", "fale"), 5, "did you mean fake?"),
        (("cancel", "req_0"), 1, "GET /requests?fleet=1"),
        (("cancel", "job_0"), 1, "no job 'job_0' is known"),
        (("drain", "nobody"), 1, "there is: atlas, borea"),
    ],
)
def test_what_cannot_be_is_one_error_with_the_next_step(
    steer: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    done = steer(*words)
    assert (done.code, done.stdout) == (code, "")
    assert said in done.stderr


def test_orders_that_nobody_hears_are_told_apart(cortex_here: Cortex) -> None:
    nobody = cortex_here("ps")
    assert nobody.code == 3 and "no peer is running on this machine" in nobody.stderr
    refused = cortex_here("load", "fake", "--peer", "127.0.0.1:1")
    assert refused.code == 3 and "no peer answers at 127.0.0.1:1" in refused.stderr


def test_a_drained_peer_takes_nothing_and_the_others_go_on(
    peers: Peers, steer: Callable[..., Any]
) -> None:
    """The last test of them: borea leaves."""
    steer("drain", "borea")
    assert steer("undrain", "borea").stdout == "borea takes requests again\n"
    assert steer("drain", "borea", "--wait").stdout == (
        "borea takes nothing new; 0 requests under way\n"
    )
    until(lambda: peers.all[0].states()["borea"] == "draining", PATIENCE_S, "the drain")
    assert peers.all[1].leave() == 0
