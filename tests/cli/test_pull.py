"""`cortex pull` against a peer that is a process, and a hub on loopback."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from bench.live.peers import Peers, peers_in, until
from bench.live.process import PeerProcess
from cortex.cli.config import read_environment
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.models.catalogue import embedded_dir
from tests.peer.fake_hub import WEIGHTS, FakeHub, hub_in_thread

Cortex = Callable[..., Any]
PATIENCE_S = 60.0
TOKEN = "hf_thisisnoneofyourbusiness"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Generator[FakeHub]:
    nowhere = tmp_path_factory.mktemp("nowhere")
    folder = embedded_dir(PeerConfig(Locations(nowhere, nowhere), engine="fake"))
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    fake = FakeHub(files | {WEIGHTS: bytes(1_000_000)})
    with hub_in_thread(fake):
        yield fake


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory, hub: FakeHub) -> Generator[Peers]:
    key = new_fleet_key(random.Random(1).randbytes)
    with peers_in(tmp_path_factory.mktemp("pull"), key) as one:
        here = ("--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1", "--fleet-port", "0")
        peer = one.make("atlas", *here, "--engine", "fake", "-v")
        peer.variables |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": TOKEN}
        one.start()
        yield one


@pytest.fixture
def atlas(peers: Peers) -> PeerProcess:
    return peers.all[0]


@pytest.fixture
def steer(atlas: PeerProcess, cortex: Cortex) -> Cortex:
    return lambda *words: cortex(*words, "--peer", f"{atlas.host}:{atlas.port}")


@pytest.fixture
def cut(hub: FakeHub) -> Generator[None]:
    """The weights' first answer goes on no further after so many bytes."""
    hub.cuts, hub.hangs = [300_000], True
    yield
    hub.cuts, hub.hangs = [], False


def test_a_model_is_pulled_and_can_be_asked_at_once(steer: Cortex) -> None:
    pulled = steer("pull", "org/whole")
    assert pulled.code == 0, pulled.stderr
    assert pulled.stdout.startswith("org/whole is on atlas   ")
    listed = json.loads(steer("models", "--json").stdout)
    assert "org/whole" in [model["id"] for model in listed["models"]]
    assert listed["pulls"] == []
    again = steer("pull", "org/whole")
    assert again.stdout.startswith("org/whole is whole on atlas already   ")


def test_json_tells_the_job(steer: Cortex, hub: FakeHub) -> None:
    job = json.loads(steer("pull", "org/json", "--revision", "v1", "--json").stdout)
    assert (job["schema"], job["kind"], job["state"], job["peer"]) == (1, "pull", "done", "atlas")
    assert job["done"] == job["total"] == sum(map(len, hub.files.values()))
    assert hub.revisions[-1] == "v1"
    assert steer("pull", "org/json", "--no-wait").stdout.startswith("job_")


@pytest.mark.parametrize(
    ("words", "refusal", "code", "said"),
    [
        (("org/none",), 404, 5, "shows no 'org/none'"),
        (("org/secret",), 403, 4, "does not open 'org/secret'"),
        (("org/..",), None, 1, "is no name of a repository"),
        (("org/name", "--on", "altas"), None, 1, "did you mean atlas?"),
        ((), None, 2, "Missing argument"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(
    steer: Cortex, hub: FakeHub, words: tuple[str, ...], refusal: int | None, code: int, said: str
) -> None:
    if refusal is not None:
        hub.refuses_listing.append((refusal, {}))
    done = steer("pull", *words)
    assert (done.code, done.stdout) == (code, "")
    assert said in done.stderr


def test_what_cannot_be_served_is_told_by_its_type(steer: Cortex, hub: FakeHub) -> None:
    config = hub.files["config.json"]
    try:
        hub.files["config.json"] = b'{"model_type": "mamba"}'
        done = steer("pull", "org/strange", "-q")
    finally:
        hub.files["config.json"] = config
    assert (done.code, done.stdout) == (5, "")
    assert "its model_type is 'mamba'" in done.stderr


def test_without_a_peer_it_says_what_to_do(cortex: Cortex) -> None:
    done = cortex("pull", "org/name")
    assert done.code == 3
    assert "start one with: cortex peer" in done.stderr


@pytest.mark.usefixtures("cut")
def test_ctrl_c_ends_it_and_says_what_is_left(
    atlas: PeerProcess, steer: Cortex, hub: FakeHub, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "cortex.cli", "pull", "org/stopped"]
    pulling = subprocess.Popen(
        [*command, "--peer", f"{atlas.host}:{atlas.port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    try:
        line = re.compile(r"^org/stopped on atlas: pulling .* KiB   30 %", re.MULTILINE)
        until(lambda: bool(line.search(steer("models").stdout)), PATIENCE_S, "a part of it")
        pulling.send_signal(signal.SIGINT)
        said = pulling.communicate(timeout=PATIENCE_S)[1]
    finally:
        pulling.kill()
        pulling.communicate()
    assert pulling.returncode == 130
    assert "the next pull of it goes on from here" in said and "before its end" in said
    assert "pulling" not in steer("models").stdout
    assert steer("pull", "org/stopped").code == 0
    assert hub.asked[-1] == (WEIGHTS, "bytes=300000-")


@pytest.mark.usefixtures("cut")
def test_a_peer_that_was_killed_goes_on_where_it_was(
    atlas: PeerProcess, steer: Cortex, hub: FakeHub
) -> None:
    assert steer("pull", "org/killed", "--no-wait").code == 0
    until(lambda: "30 %" in steer("models").stdout, PATIENCE_S, "a part of the weights")
    atlas.kill()
    atlas.start()
    atlas.wait()
    assert "org/killed" not in steer("models").stdout, "half a model is none"
    assert steer("pull", "org/killed").code == 0
    assert hub.asked[-1] == (WEIGHTS, "bytes=300000-")
    assert "org/killed" in steer("models").stdout


def test_the_token_goes_to_the_hub_and_into_no_log(
    atlas: PeerProcess, steer: Cortex, hub: FakeHub
) -> None:
    hub.refuses_listing.append((401, {}))
    refused = steer("pull", "org/quiet", "-v")
    assert refused.code == 4 and "does not take the peer's token" in refused.stderr
    assert set(hub.tokens) == {f"Bearer {TOKEN}"}
    logged = atlas.log.read_text()
    assert "kind=pull model=org/quiet" in logged
    assert TOKEN not in logged + refused.stderr


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "hf_at_home"),
        ({"HF_TOKEN": "hf_said"}, "hf_said"),
        ({"HF_TOKEN": " "}, "hf_at_home"),
        ({"HF_HOME": "{}/hf"}, "hf_moved"),
        ({"HF_HOME": "{}/hf", "HF_TOKEN_PATH": "{}/named"}, "hf_named"),
        ({"HF_TOKEN_PATH": "{}/nowhere"}, None),
        ({"HF_TOKEN_PATH": "{}"}, None),
        ({"HF_TOKEN_PATH": "{}/torn"}, None),
    ],
)
def test_the_token_that_was_given_to_the_hubs_own_tools_once_is_taken(
    tmp_path: Path, variables: dict[str, str], expected: str | None
) -> None:
    for name, text in (
        ("cache/huggingface/token", b"hf_at_home\n"),
        ("hf/token", b"hf_moved"),
        ("named", b"hf_named"),
        ("torn", b"\xff\xfe"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)
    environ = {name: value.format(tmp_path) for name, value in variables.items()}
    environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    assert read_environment(environ).hub.token == expected
