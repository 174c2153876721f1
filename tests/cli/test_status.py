"""`cortex status`: the table at every width, JSON, exit codes, and a peer watched until it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.fleet_sentences import sentences
from cortex.cli.fleet_table import fleet_table
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.onlooker.asking import Sight
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import (
    DevicePicture,
    FleetPicture,
    LoadPicture,
    ModelPicture,
    PeerPicture,
)

Cortex = Callable[..., Any]
GIB = 1024**3
H100 = DevicePicture("NVIDIA H100 80GB", 80 * GIB, 25 * GIB, 0.84)
QWEN = ModelPicture("qwen3.6-2b", "ready", None, "fast mode", 51 * GIB, 9, 2)
ATLAS = PeerPicture(
    "aa",
    "atlas",
    "up",
    is_asked=True,
    api="192.168.1.20:13131",
    address=None,
    devices=(H100, replace(H100, utilisation=0.92)),
    models=(QWEN,),
    stored=("qwen3.6-2b",),
    load=LoadPicture(12, 2, 1904, 210, 0.3),
    silent_s=0.3,
    build="0.1.0",
    roles=(),
    num_cores=64,
    key_used="0a1b2c3d",
)
DELTA = replace(
    ATLAS, node="bb", name="delta", state="suspect", is_asked=False, silent_s=6.1, api=None
)
PICTURE = FleetPicture("3fa2c1d05b9e", (ATLAS, DELTA), ("no multicast on eth0",))


def table(width: int | None = None, *, is_wide: bool = False) -> list[str]:
    return fleet_table(PICTURE, width=width, is_wide=is_wide)


def test_the_table_has_a_row_for_each_peer_and_a_sentence_for_the_silent() -> None:
    assert table() == [
        "fleet 3fa2c1d0   2 peers   4 devices   1 warm   12 running   2 waiting",
        "",
        "PEER     STATE    DEVICE                 MEMORY  UTIL  RUN  WAIT  MODELS      TOK/S  SEEN",
        "atlas *  up       2x H100 80GB  110.0/160.0 GiB   88%   12     2  qwen3.6-2b  1,904  0.3s",
        "delta    suspect  2x H100 80GB  110.0/160.0 GiB     ?    ?     ?  qwen3.6-2b      ?  6.1s",
        "",
        "delta has not answered for 6.1s; the others are asking it again.",
        "no multicast on eth0",
    ]


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (89, ()),
        (88, ("SEEN",)),
        (78, ("SEEN", "TOK/S")),
        (74, ("SEEN", "TOK/S", "WAIT")),
        (68, ("SEEN", "TOK/S", "WAIT", "RUN")),
        (63, ("SEEN", "TOK/S", "WAIT", "RUN", "UTIL")),
        (57, ("SEEN", "TOK/S", "WAIT", "RUN", "UTIL", "DEVICE")),
        (20, ("SEEN", "TOK/S", "WAIT", "RUN", "UTIL", "DEVICE")),
    ],
)
def test_a_narrow_terminal_loses_the_least_first(width: int, gone: tuple[str, ...]) -> None:
    heads = table()[2].split()
    assert table(width)[2].split() == [head for head in heads if head not in gone]


def test_many_models_are_counted_before_anything_leaves() -> None:
    many = tuple(replace(QWEN, id=f"model-{letter}") for letter in "abcdef")
    picture = replace(PICTURE, peers=(replace(ATLAS, models=many), DELTA))
    head, atlas, delta = fleet_table(picture, width=97, is_wide=False)[2:5]
    assert head.split() == table()[2].split()
    assert "  model-a, +5 " in atlas and " qwen3.6-2b " in delta
    assert len(atlas) <= 97


def test_wide_adds_where_a_peer_is_and_what_it_runs() -> None:
    head, atlas, delta = table(is_wide=True)[2:5]
    assert head.endswith("SEEN  ADDRESS             VERSION  KEY       ROLES")
    assert atlas.endswith("0.3s  192.168.1.20:13131  0.1.0    0a1b2c3d  -")
    assert delta.endswith("6.1s  -                   0.1.0    0a1b2c3d  -")


def test_a_peer_whose_driver_tells_nothing_shows_no_number() -> None:
    nothing = DevicePicture("CPU", GIB, GIB)
    quiet = replace(ATLAS, devices=(H100, nothing))
    silent = replace(ATLAS, devices=(nothing,))
    lines = fleet_table(FleetPicture("", (quiet, silent), ()), width=None, is_wide=False)
    assert [line.split()[-6] for line in lines[3:5]] == ["84%", "-"]


def test_a_peer_that_decodes_nothing_shows_no_speed_whatever_it_runs() -> None:
    resting = replace(ATLAS, load=LoadPicture(3, 0, 0, 210, 0.3))
    lines = fleet_table(FleetPicture("", (resting,), ()), width=None, is_wide=False)
    assert lines[3].split()[-5:] == ["3", "0", "qwen3.6-2b", "-", "0.3s"]


def test_numbers_of_old_are_not_shown_as_fresh() -> None:
    stale = replace(ATLAS, load=LoadPicture(12, 2, 1904, 210, 15.1))
    gone = replace(ATLAS, state="dead", node="cc", silent_s=61)
    lines = fleet_table(FleetPicture("", (stale, gone), ()), width=None, is_wide=False)
    assert lines[0] == "no fleet   1 peer   2 devices   1 warm   0 running   0 waiting"
    assert lines[3].split()[-5:] == ["?", "?", "qwen3.6-2b", "?", "0.3s"]
    assert lines[4].split()[-5:] == ["-", "-", "qwen3.6-2b", "-", "1m"]
    assert lines[-1] == "atlas is gone: nobody has heard of it for 1m."


@pytest.fixture(scope="module")
def address(
    serve_peer: Callable[[PeerConfig], str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    root = tmp_path_factory.mktemp("status")
    return serve_peer(PeerConfig(_places(root), engine="fake", port=0))


def _places(root: Path) -> Locations:
    return Locations(root / "data", root / "state", root / "run")


@pytest.fixture
def tell() -> Generator[Callable[[dict[str, Any]], str]]:
    """A server that tells this of its fleet, whatever it is asked; gives its address."""
    answer: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def told(of: dict[str, Any]) -> str:
            answer.update(of)
            return f"127.0.0.1:{server.server_port}"

        yield told
        server.shutdown()
        thread.join()


def test_a_pipe_gets_the_table_without_anything_else(cortex_here: Cortex, address: str) -> None:
    # A peer answers before it knows what lies on its disk.
    done = next(
        done
        for done in (cortex_here("status", address) for _ in range(60))
        if done.code or "on disk" in done.stdout
    )
    assert (done.code, done.stderr) == (0, "")
    heading, empty, head, row, _, worry = done.stdout.splitlines()
    assert re.fullmatch(
        r"fleet \w{8}   1 peer   1 device   0 warm   0 running   0 waiting", heading
    )
    assert (empty, head.split()[0]) == ("", "PEER")
    assert worry.startswith("No other peer yet.")
    assert " *  up " in row and "1 on disk" in row
    assert "\x1b" not in done.stdout


def test_the_peer_may_be_named_in_the_environment(
    cortex_here: Cortex, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_PEER", f"http://{address}/v1")
    monkeypatch.setenv("CORTEX_CHECK", "1")
    assert cortex_here("status").code == 0


def test_json_is_one_object_of_a_known_shape(cortex_here: Cortex, address: str) -> None:
    told = json.loads(cortex_here("status", address, "--json").stdout)
    assert set(told) == {"schema", "fleet", "self", "peers", "notices"}
    assert told["schema"] == 1
    [me] = told["peers"]
    assert set(me) == {
        *("node", "name", "state", "api", "address", "devices", "models", "stored", "load"),
        *("silent_s", "build", "system", "roles", "cores", "memory_bytes"),
        *("protocol", "keys"),
    }


def test_the_peer_is_named_by_a_word_or_by_an_option(
    cortex_here: Cortex, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_word = json.loads(cortex_here("status", address, "--json").stdout)["self"]
    assert json.loads(cortex_here("status", "--peer", address, "--json").stdout)["self"] == by_word
    assert cortex_here("status", address, "--peer", address).code == 0
    two = cortex_here("status", "127.0.0.1:1", "--peer", address)
    assert two.code == 2 and "two peers" in two.stderr
    monkeypatch.setenv("CORTEX_PEER", "127.0.0.1:1")
    assert cortex_here("status").code == 3
    assert cortex_here("status", address).code == 0


@pytest.mark.parametrize(
    ("state", "code"),
    [("up", 0), ("loading", 0), ("left", 0), ("draining", 1), ("suspect", 1), ("dead", 1)],
)
def test_a_check_fails_where_a_peer_is_not_up(
    cortex_here: Cortex, tell: Callable[[dict[str, Any]], str], state: str, code: int
) -> None:
    peer = {"node": "a", "name": "atlas", "state": state}
    address = tell({"fleet": "f", "self": "a", "peers": [peer], "notices": []})
    done = cortex_here("status", address, "--check")
    assert (done.code, done.stderr) == (code, "")
    assert "atlas *" in done.stdout
    assert cortex_here("status", address).code == 0


def test_a_check_fails_for_a_reader_that_has_gone_too(
    tell: Callable[[dict[str, Any]], str],
) -> None:
    peer = {"node": "a", "name": "atlas", "state": "dead"}
    address = tell({"fleet": "f", "self": "a", "peers": [peer], "notices": []})
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "cortex.cli", "status", address]
    codes = [
        subprocess.run([*command, *options], stdout=writes, timeout=30).returncode
        for options in ((), ("--check",))
    ]
    os.close(writes)
    assert codes == [0, 1]


def test_nobody_there_is_exit_3_with_the_next_step(cortex_here: Cortex, tmp_path: Path) -> None:
    done = cortex_here("status", "--state-dir", str(tmp_path))
    assert (done.code, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [
        f"error: no peer is running on this machine, as far as {tmp_path} tells.",
        "hint: start one with: cortex peer; or name its --state-dir where it has one, or another's"
        " address with --peer HOST:PORT",
    ]
    assert cortex_here("status", "127.0.0.1:1").code == 3
    assert cortex_here("status", "127.0.0.1:1", "--watch").code == 3


def test_what_is_no_address_is_exit_2_and_told(cortex_here: Cortex) -> None:
    done = cortex_here("status", "what is this")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: 'what is this' is no address of a peer.")


def test_a_peer_is_watched_until_ctrl_c(at_terminal: Callable[..., Any], address: str) -> None:
    terminal = at_terminal("status", address, "--watch", "--refresh", "0.5s")
    terminal.wait_for("PEER")
    # Drawn again, from the top.
    terminal.wait_for("\x1b[H")
    terminal.wait_for("PEER")
    terminal.press("\x03")
    assert terminal.wait_for_end() == 130


def test_a_fleet_is_told_in_sentences_and_then_what_happens() -> None:
    assert sentences(None, Sight({}, PICTURE))[1:3] == [
        "atlas is up: 2x H100 80GB; qwen3.6-2b ready.",
        "delta is suspect: 2x H100 80GB; qwen3.6-2b ready.",
    ]
    older = replace(PICTURE, peers=(ATLAS, replace(DELTA, silent_s=7.1)))
    assert sentences(PICTURE, Sight({}, older)) == []
    assert sentences(PICTURE, Sight({}, replace(older, notices=("look",)))) == ["look"]
    happened = Happening(0.0, "atlas", "loaded", "m", "loaded m in 2.0 s")
    told = sentences(PICTURE, Sight({}, PICTURE, happened))
    assert told == ["atlas: loaded m in 2.0 s."]


def test_sentences_are_no_table(cortex_here: Cortex, address: str) -> None:
    done = cortex_here("status", address, "--plain")
    assert (done.code, done.stderr) == (0, "")
    assert "PEER" not in done.stdout
    assert cortex_here("status", address, "--plain", "--json").code == 2
