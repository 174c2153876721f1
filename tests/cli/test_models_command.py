"""`cortex models`: one told in full, one taken from the disk, and what is not taken."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.config import read_environment
from cortex.cli.errors import ModelStays
from cortex.cli.model_table import model_lines
from cortex.cli.pulling import pulls_under_way
from cortex.cli.removing import find_here, must_be_idle, removable_dir
from cortex.engine.errors import ModelNotFound
from cortex.peer.config import Locations, ModelConfig, PeerConfig
from cortex.peer.models.catalogue import embedded_dir, scan
from cortex.peer.onlooker.pictures import FleetPicture, ModelPicture, PeerPicture
from cortex.peer.serving.announcement import Announcement, announced
from cortex.peer.types import ModelInfo, Whereabouts

Cortex = Callable[..., Any]
OpenTerminal = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path) -> PeerConfig:
    """A machine with the model `org/copy` on its disk."""
    places = Locations(tmp_path / "data", tmp_path / "state", hub_dir=tmp_path / "hub")
    config = PeerConfig(places, engine="fake")
    shutil.copytree(embedded_dir(config), tmp_path / "data" / "models" / "org" / "copy")
    return config


@pytest.fixture
def options(config: PeerConfig) -> tuple[str, ...]:
    return ("--engine", "fake", "--models", str(config.locations.data_dir / "models"))


@contextmanager
def answering(status: int, value: object = None) -> Generator[int]:
    """The port of what says this to all that is asked."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Same) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@contextmanager
def noted(port: int) -> Generator[None]:
    """A process that lives has left a note of a peer at this port."""
    folder = read_environment(os.environ).locations.announcements_dir
    with announced(folder, Announcement("ab", os.getpid(), "127.0.0.1", port, 0)):
        yield


def picture(*peers: PeerPicture) -> FleetPicture:
    return FleetPicture("0a", peers, ())


def peer(name: str, *, is_asked: bool, loaded: str = "", stored: str = "") -> PeerPicture:
    models = (ModelPicture(loaded, "ready", None, "", 1, 0, 0),) if loaded else ()
    return PeerPicture(
        *(name, name, "up", is_asked, None, None, (), models),
        *((stored,) if stored else (), None, 0.0, "", (), 1),
    )


def test_a_model_is_shown_in_full(cortex_here: Cortex, options: tuple[str, ...]) -> None:
    done = cortex_here("models", "show", "org/copy", *options)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == [
        "org/copy",
        "32,768 tokens of context   reads pictures",
    ]
    assert done.stdout.splitlines()[2].endswith("/org/copy")
    told = json.loads(cortex_here("models", "show", "org/copy", "--json", *options).stdout)
    assert (told["schema"], told["id"], told["context_tokens"]) == (1, "org/copy", 32768)
    assert told["files"].endswith("/org/copy")


def test_a_model_of_a_fleet_is_shown_with_its_places() -> None:
    where = (Whereabouts("ada", "warm", None, True), Whereabouts("bob", "cold", 12.4))
    model = ModelInfo("m", None, ("text",), 4096, 0, size_bytes=3 << 30, where=where)
    assert model_lines(model, None) == [
        "m",
        "4,096 tokens of context   no pictures   3.0 GiB",
        "warm    on ada   pinned",
        "cold    on bob   loads in ~12s",
    ]
    base = ModelInfo("base", None, ("completion",), 4096, 0)
    assert model_lines(base, None) == ["base", "4,096 tokens of context   no pictures   no chats"]


def test_options_before_a_subcommand_are_refused_by_name(
    cortex_here: Cortex, config: PeerConfig, options: tuple[str, ...]
) -> None:
    done = cortex_here("models", "--json", "--peer", "127.0.0.1:1", "show", "org/copy", *options)
    assert (done.code, done.stdout) == (2, "")
    assert "before show is not for it: --peer and --json" in done.stderr
    models = config.locations.data_dir / "models"
    done = cortex_here("models", "--models", str(models), "rm", "org/copy", "--yes")
    assert (done.code, done.stdout) == (2, "")
    assert "hint: put it behind: cortex models rm --models" in done.stderr
    (models / "cortex.toml").touch()
    done = cortex_here("models", "--config", str(models / "cortex.toml"), "show", "org/copy")
    assert (done.code, done.stdout) == (2, "") and "--config" in done.stderr
    assert (models / "org" / "copy").is_dir()


def test_options_about_the_whole_run_may_stand_before_a_subcommand(
    cortex_here: Cortex, options: tuple[str, ...], tmp_path: Path
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    done = cortex_here("models", "--quiet", *state, "show", "org/copy", *options)
    assert (done.code, done.stderr) == (0, "")


def test_the_list_begins_with_the_model_that_is_asked_where_none_is_named(
    cortex_here: Cortex, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub" / "models--a--cached" / "snapshots" / "c0"
    shutil.copytree(tmp_path / "data" / "models" / "org" / "copy", snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    done = cortex_here("models", "--json", *options)
    assert [model["id"] for model in json.loads(done.stdout)["models"]] == [
        "org/copy", "fake", "a/cached",
    ]  # fmt: skip


def test_an_unknown_model_is_named_with_the_nearest(
    cortex_here: Cortex, options: tuple[str, ...]
) -> None:
    for action in ("show", "rm"):
        done = cortex_here("models", action, "org/cpoy", *options)
        assert done.code == 5
        assert "did you mean org/copy?" in done.stderr


def test_a_model_that_is_here_and_not_served_is_shown_with_the_reason(
    cortex_here: Cortex, options: tuple[str, ...], config: PeerConfig
) -> None:
    path = config.locations.data_dir / "models" / "org" / "copy" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "mamba"}))
    done = cortex_here("models", "show", "org/copy", *options)
    assert done.code == 5
    assert "does not serve it: its model_type is 'mamba'" in done.stderr
    assert "it serves fake" in done.stderr


def test_a_model_is_removed_where_that_was_confirmed_beforehand(
    cortex_here: Cortex, options: tuple[str, ...], config: PeerConfig
) -> None:
    folder = config.locations.data_dir / "models" / "org" / "copy"
    asked = cortex_here("models", "rm", "org/copy", *options)
    assert asked.code == 2
    assert "to say yes, add --yes" in asked.stderr
    assert folder.is_dir()
    done = cortex_here("models", "rm", "org/copy", "--yes", *options)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("removed org/copy: ")
    assert list(folder.parent.parent.iterdir()) == []


@pytest.mark.parametrize(("answer", "code", "stays"), [("n", 130, True), ("y", 0, False)])
def test_a_person_is_asked_before_a_model_goes(
    at_terminal: OpenTerminal,
    options: tuple[str, ...],
    config: PeerConfig,
    answer: str,
    code: int,
    stays: bool,
) -> None:
    terminal = at_terminal("models", "rm", "org/copy", *options)
    terminal.wait_for("? [y/N] ")
    terminal.press(f"{answer}\n")
    assert terminal.wait_for_end() == code
    assert (config.locations.data_dir / "models" / "org" / "copy").is_dir() == stays


def test_what_is_not_ours_to_remove_stays(config: PeerConfig, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "1"
    shutil.copytree(embedded_dir(config), snapshot)
    models = {model.id: model for model in scan(config).models}
    with pytest.raises(ModelStays, match="part of cortex itself"):
        removable_dir(models["fake"], config)
    with pytest.raises(ModelStays, match="Hugging Face cache"):
        removable_dir(models["a/b"], config)
    cache_as_models = PeerConfig(
        Locations(tmp_path / "no data", tmp_path / "state"),
        engine="fake",
        models_dirs=(tmp_path / "hub",),
    )
    with pytest.raises(ModelStays, match="Hugging Face cache"):
        removable_dir(scan(cache_as_models).find("a/b"), cache_as_models)
    folder = removable_dir(models["org/copy"], config)
    named = PeerConfig(config.locations, engine="fake", models=(ModelConfig("x", source=folder),))
    with pytest.raises(ModelStays, match=r"models\.toml names"):
        removable_dir(models["org/copy"], named)


def test_what_lies_anywhere_in_a_hugging_face_cache_stays(
    config: PeerConfig, tmp_path: Path
) -> None:
    elsewhere = replace(config, locations=replace(config.locations, hub_dir=None))
    snapshot = tmp_path / "hub" / "models--a--variants" / "snapshots" / "1"
    shutil.copytree(embedded_dir(config), snapshot / "bf16")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "linked").symlink_to(snapshot / "bf16")
    shutil.copytree(embedded_dir(config), tmp_path / "hub" / "beside")
    for plain, models_dir, model_id in (
        (config, snapshot, "bf16"),
        (elsewhere, snapshot, "bf16"),
        (elsewhere, tmp_path / "mine", "linked"),
        (config, tmp_path / "hub", "beside"),
    ):
        named = replace(plain, models_dirs=(models_dir,))
        with pytest.raises(ModelStays, match="Hugging Face cache"):
            removable_dir(scan(named).find(model_id), named)


def test_a_model_in_an_engine_of_this_machine_stays(config: PeerConfig) -> None:
    model = scan(config).find("org/copy")
    elsewhere = peer("bob", is_asked=False, loaded="org/copy")
    must_be_idle(model, [picture(peer("ada", is_asked=True, loaded="other"), elsewhere)])
    with pytest.raises(ModelStays, match="ada has org/copy in an engine") as refused:
        must_be_idle(model, [picture(peer("ada", is_asked=True, loaded="org/copy"))])
    assert refused.value.hint == "first: cortex unload org/copy --on ada"


def test_a_model_of_another_peer_names_it(config: PeerConfig) -> None:
    seen = picture(peer("ada", is_asked=True), peer("bob", is_asked=False, stored="big"))
    with pytest.raises(ModelNotFound) as refused:
        find_here("big", config, [seen])
    assert refused.value.hint == "it lies on bob: run there what you ran here"


def test_no_model_goes_while_a_peer_that_runs_does_not_say_what_it_has(
    cortex_here: Cortex, options: tuple[str, ...], config: PeerConfig
) -> None:
    with answering(503) as port:
        with noted(port):
            done = cortex_here("models", "rm", "org/copy", "--yes", *options)
        assert (done.code, done.stdout) == (1, "")
        assert f"the peer at 127.0.0.1:{port} does not say what it has" in done.stderr
        assert (config.locations.data_dir / "models" / "org" / "copy").is_dir()
    with noted(port):  # where nobody listens any more
        assert cortex_here("models", "rm", "org/copy", "--yes", *options).code == 0


JOB = {"kind": "pull", "state": "running", "model": "org/name"}
SILENT = [{"peer": "bob", "error": {"code": "host_silent", "message": "m", "hint": ""}}]


@pytest.mark.parametrize(
    ("status", "told", "pulls", "are_all"),
    [
        (200, {"jobs": [], "missing": []}, [], True),
        (200, {"jobs": [{**JOB, "state": "done"}], "missing": []}, [], True),
        (200, {"jobs": [JOB], "missing": SILENT}, [JOB], False),
        (200, {"jobs": [], "missing": SILENT}, [], False),
        (403, {"error": {"message": "wants an admin key", "code": "denied"}}, [], False),
    ],
)
def test_that_nothing_is_being_pulled_is_told_by_who_knows_alone(
    status: int, told: object, pulls: object, are_all: bool
) -> None:
    with answering(status, told) as port:
        assert pulls_under_way(read_environment(os.environ), f"127.0.0.1:{port}") == (
            pulls,
            are_all,
        )
    assert pulls_under_way(read_environment(os.environ), None) == ([], True), "where none is"


def test_a_peer_that_was_silent_is_not_asked_for_its_pulls_too() -> None:
    with answering(200, {"jobs": [JOB], "missing": []}) as port, noted(port):
        assert pulls_under_way(read_environment(os.environ), None) == ([], False)


def test_pulls_that_nobody_tells_of_are_null(cortex_here: Cortex) -> None:
    assert json.loads(cortex_here("models", "--json").stdout)["pulls"] == []
    with answering(503) as port, noted(port):
        done = cortex_here("models", "--json")
    assert json.loads(done.stdout)["pulls"] is None, done.stderr
