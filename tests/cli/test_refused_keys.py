"""What a script is told where a key is missing or wrong: exit code 4, of whichever command."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any

import pytest

from bench.live.peers import peers_in
from cortex.cli.config import read_environment
from cortex.peer.keys.access import digest_of, spell_hash
from cortex.peer.keys.fleet_key import new_fleet_key

Cortex = Callable[..., Any]

ASKING = (("chat", "hi"), ("status",), ("models",))
STEERING = (
    *(("load", "fake"), ("unload", "fake"), ("pin", "fake"), ("unpin", "fake")),
    *(("drain",), ("undrain",), ("cancel", "req_1"), ("logs",)),
)
NOT_ALLOWED = 4
HERE = "127.0.0.1"
# A way to the same that is not known to be one: who asks from here may steer without a key.
FROM_AFAR = "127.1"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """A peer that wants keys: `asker` may ask, `admin` may steer as well."""
    folder = tmp_path_factory.mktemp("keys")
    settings = folder / "keys.toml"
    asker, admin = (spell_hash(digest_of(name)) for name in ("asker", "admin"))
    settings.write_text(f"""
[api]
keys = ["{asker}"]
admin_keys = ["{admin}"]
""")
    options = ("--engine", "fake", "--port", "0", "--no-mdns", "--fleet-host", "127.0.0.1")
    with peers_in(folder, new_fleet_key(random.Random(1).randbytes)) as peers:
        peer = peers.make("atlas", *options, "--fleet-port", "0", "--config", str(settings))
        peers.start()
        yield peer.port


@pytest.mark.parametrize(
    ("words", "host"),
    [*((each, HERE) for each in ASKING), *((each, FROM_AFAR) for each in STEERING)],
)
@pytest.mark.parametrize("key", [None, "nobody's"])
def test_a_missing_and_a_wrong_api_key_exit_4(
    cortex_here: Cortex,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    host: str,
    key: str | None,
) -> None:
    if key is not None:
        monkeypatch.setenv("CORTEX_API_KEY", key)
    done = cortex_here(*words, "--peer", f"{host}:{port}")
    assert (done.code, done.stdout) == (NOT_ALLOWED, "")
    assert done.stderr.startswith("error: ")
    kind = "an admin key" if words in STEERING else "a key"
    assert f"hint: set CORTEX_API_KEY to {kind} of that peer\n" in done.stderr


def test_a_line_end_behind_the_key_is_not_of_it_and_what_no_key_holds_is_refused_by_name(
    cortex_here: Cortex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_environment({"CORTEX_API_KEY": "asker\r\n"}).api_key == "asker"
    assert read_environment({"CORTEX_API_KEY": "\r"}).api_key is None
    monkeypatch.setenv("CORTEX_API_KEY", "ask\x1ber\nmore")
    for words in ASKING:
        done = cortex_here(*words, "--peer", f"{HERE}:1")
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: CORTEX_API_KEY holds characters")


@pytest.mark.parametrize("words", STEERING, ids=lambda words: words[0])
def test_a_key_that_is_no_admins_exits_4_where_a_peer_is_steered(
    cortex_here: Cortex, port: int, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CORTEX_API_KEY", "asker")
    done = cortex_here(*words, "--peer", f"{FROM_AFAR}:{port}")
    assert (done.code, done.stdout) == (NOT_ALLOWED, "")
    assert "may ask, but not steer the peer" in done.stderr
    assert "hint: use an admin key" in done.stderr


def test_the_right_keys_are_let_in(
    cortex_here: Cortex, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_API_KEY", "asker")
    assert cortex_here("chat", "--peer", f"{HERE}:{port}", "hi").code == 0
    monkeypatch.setenv("CORTEX_API_KEY", "admin")
    assert cortex_here("load", "fake", "--peer", f"{FROM_AFAR}:{port}").code == 0
