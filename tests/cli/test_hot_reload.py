"""A running peer, and what becomes of it when its files of settings change."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortex.cli.errors import ConfigProblem
from cortex.cli.first_key import first_key
from cortex.cli.settings import following
from cortex.cli.settings.following import FollowedFiles
from cortex.cli.settings.reading import Settings, read_settings
from cortex.cli.settings.sections import SECTIONS
from cortex.peer.config import Locations, PeerConfig
from cortex.peer.keys.access import digest_of, spell_hash
from cortex.peer.serving.reloading import Reading

DEADLINE_S = 60.0
MODELS = '[[models]]\nid = "fake"\naliases = ["{alias}"]\n'
LIVE = """
[api]
keys = ["{hash}"]
default_model = "fake"
"""


class Running:
    """`cortex peer` as a process; both of its streams are read as one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = self.wait_for(r"http://(\S+)/v1")
        self.wait_for("^(ready) in ")

    def wait_for(self, pattern: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it ended without saying {pattern}")

    def get(self, path: str, key: str = "") -> tuple[int, str]:
        request = urllib.request.Request(f"http://{self.address}{path}")
        if key:
            request.add_header("x-api-key", key)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    def models(self, key: str = "") -> list[str]:
        return [model["id"] for model in json.loads(self.get("/v1/models", key)[1])["data"]]

    def wait_for_notice(self, words: str, key: str) -> None:
        request = urllib.request.Request(f"http://{self.address}/fleet/events")
        request.add_header("x-api-key", key)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as events:
            assert any(words in line.decode() for line in events)


@contextmanager
def running(*arguments: str) -> Generator[Running]:
    command = (sys.executable, "-m", "cortex.cli", "peer", "--engine", "fake", "--port", "0")
    with subprocess.Popen(
        [*command, "--fleet-port", "0", "--no-mdns", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        try:
            yield Running(process)
        finally:
            deadline.cancel()
            process.kill()


def test_a_running_peer_takes_up_what_changes_and_survives_a_broken_file(tmp_path: Path) -> None:
    file, models = tmp_path / "cortex.toml", tmp_path / "models.toml"
    file.write_text("[engine]\nthreads = 1\n")
    models.write_text(MODELS.format(alias="one"))
    with running("--config", str(file)) as peer:
        assert peer.models() == ["fake", "one"]

        models.write_text(MODELS.format(alias="two"))
        file.write_text("[engine]\nthreads = 2\n" + LIVE.format(hash=spell_hash(digest_of("k"))))
        peer.process.send_signal(signal.SIGHUP)
        assert peer.wait_for(r"needs a restart: (.*)") == "[engine] threads"
        assert peer.get("/v1/models")[0] == 401
        assert peer.models("k") == ["fake", "two"]

        file.write_text("[api]\nkeys = 3\n")
        said = peer.wait_for("settings not taken, the old ones hold: (.*)")
        assert said.startswith(f"{file} line 2: [api] keys takes ")
        peer.wait_for_notice("settings not taken: ", "k")
        assert peer.models("k") == ["fake", "two"]

        file.write_text("[engine]\nthreads = 1\n")
        peer.wait_for("settings (taken up)")
        assert peer.models() == ["fake", "two"]
        peer.process.send_signal(signal.SIGTERM)
        assert peer.process.wait(20) == 0


def test_the_key_that_a_peer_made_holds_beside_others_until_its_file_is_removed(
    tmp_path: Path,
) -> None:
    file, state = tmp_path / "cortex.toml", tmp_path / "state"
    file.write_text("")
    options = ("--host", "0.0.0.0", "--state-dir", str(state), "--config", str(file))
    first = first_key(state, bytes(32)).text or ""
    with running(*options) as peer:
        file.write_text(LIVE.format(hash=spell_hash(digest_of("k"))))
        assert peer.wait_for("^key    that of (.*) opens too") == str(state / "api-key")
        peer.wait_for("settings (taken up)")
        assert [peer.get("/v1/models", key)[0] for key in (first, "k", "")] == [200, 200, 401]
        (state / "api-key").write_text("nonsense")
        peer.process.send_signal(signal.SIGHUP)
        peer.wait_for("the keys of the settings hold alone: .* holds no (hash)")
        peer.wait_for("settings (taken up)")
        assert [peer.get("/v1/models", key)[0] for key in (first, "k", "")] == [401, 200, 401]
        (state / "api-key").unlink()
        peer.process.send_signal(signal.SIGHUP)
        peer.wait_for("settings (taken up)")
        assert [peer.get("/v1/models", key)[0] for key in (first, "k", "")] == [401, 200, 401]


class Made:
    """A config of the settings, as a command would make one."""

    def __init__(self) -> None:
        self.of: list[Settings] = []

    def __call__(self, settings: Settings) -> PeerConfig:
        self.of.append(settings)
        return PeerConfig(Locations(Path(), Path()))


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str) -> Path:
        path = tmp_path / "cortex.toml"
        path.write_text(text)
        return path

    return write_file


def settled(files: FollowedFiles) -> Reading | None:
    """What the second look says of files that nobody writes any more."""
    assert files.look(is_forced=False) is None
    return files.look(is_forced=False)


def test_a_file_that_is_still_being_written_is_not_taken_up(write: Write) -> None:
    whole = "[api]\nmax_concurrent = 1\n"
    made, path = Made(), write(whole)
    files = FollowedFiles(read_settings(path), lambda: path, made)
    for part in ("", "[api]\n", whole.replace("1", "22")):
        write(part)
        assert files.look(is_forced=False) is None
    assert files.look(is_forced=False) is not None
    assert [one.values["api", "max_concurrent"] for one in made.of] == [22]


def test_a_file_that_somebody_begins_to_write_as_it_is_read_is_read_again(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = Made(), write("")
    files = FollowedFiles(read_settings(path), lambda: path, made)
    write("[api]\n")
    assert files.look(is_forced=False) is None
    reads: list[Path | None] = []

    def read_as_it_is_written(file: Path | None) -> Settings:
        reads.append(file)
        read = read_settings(file)
        if len(reads) == 1:
            write("[api]\nmax_concurrent = 1\n")
        return read

    monkeypatch.setattr(following, "read_settings", read_as_it_is_written)
    assert files.look(is_forced=False) is None
    assert settled(files) is not None
    assert [one.values["api", "max_concurrent"] for one in made.of] == [1]


def test_who_says_that_the_files_are_whole_is_believed(write: Write) -> None:
    made, path = Made(), write("")
    files = FollowedFiles(read_settings(path), lambda: path, made)
    write("[api]\nmax_concurrent = 1\n")
    assert files.look(is_forced=True) is not None
    assert files.look(is_forced=False) is None
    assert len(made.of) == 1


def test_files_that_have_not_changed_are_not_read_again(write: Write) -> None:
    made, path = Made(), write("[api]\nmax_concurrent = 1\n")
    files = FollowedFiles(read_settings(path), lambda: path, made)
    assert files.look(is_forced=False) is None
    assert files.look(is_forced=True) is not None
    write("[api]\nmax_concurrent = 22\n")
    assert settled(files) is not None
    assert files.look(is_forced=False) is None
    assert [one.values["api", "max_concurrent"] for one in made.of] == [1, 22]


def test_a_file_that_comes_or_goes_is_a_change(write: Write, tmp_path: Path) -> None:
    made, path = Made(), tmp_path / "cortex.toml"
    files = FollowedFiles(Settings(), lambda: path if path.exists() else None, made)
    assert files.look(is_forced=False) is None
    write("[api]\nmax_concurrent = 1\n")
    assert settled(files) is not None
    (tmp_path / "models.toml").write_text(MODELS.format(alias="one"))
    assert settled(files) is not None
    path.unlink()
    assert settled(files) is not None
    assert [(len(one.values), len(one.models)) for one in made.of] == [(1, 0), (1, 1), (0, 0)]


def test_what_needs_a_restart_stays_as_it_was_at_the_start(write: Write, tmp_path: Path) -> None:
    made, path = Made(), write('[engine]\nthreads = 1\n[peer]\nlisten = "127.0.0.1:1"\n')
    files = FollowedFiles(read_settings(path), lambda: path, made)
    write("[engine]\nthreads = 2\n[api]\nmax_concurrent = 3\n")
    (tmp_path / "models.toml").write_text('[[models]]\nid = "m"\npreload = true\n')
    reading = settled(files)
    assert reading is not None
    assert reading.needs_restart == ("[engine] threads", "[peer] listen", "[[models]] preload")
    assert made.of[-1].values == {
        ("engine", "threads"): 1,
        ("peer", "listen"): ("127.0.0.1", 1),
        ("api", "max_concurrent"): 3,
    }


def test_what_is_wrong_with_a_file_is_said_and_nothing_is_made(write: Write) -> None:
    made, path = Made(), write("")
    files = FollowedFiles(read_settings(path), lambda: path, made)
    write("[api]\nmax_concurrent = 0\n")
    reading = settled(files)
    assert reading is not None
    assert reading.config is None
    assert reading.problem.startswith(f"{path} line 2: [api] max_concurrent takes ")
    assert made.of == []


def test_a_config_that_cannot_be_made_is_said(write: Write) -> None:
    def refuse(_: Settings) -> PeerConfig:
        raise ConfigProblem("no key can be kept")

    path = write("")
    reading = FollowedFiles(Settings(), lambda: path, refuse).look(is_forced=True)
    assert reading is not None
    assert (reading.config, reading.problem) == (None, "no key can be kept")


def test_what_the_peer_was_bound_to_when_it_started_is_not_live() -> None:
    live = {(s, k) for s, known in SECTIONS.items() for k, one in known.items() if one.is_live}
    assert {("api", "keys"), ("peer", "models"), ("fleet", "join"), ("vision", "max_pixels")} < live
    assert not live & {("peer", "listen"), ("peer", "gpus"), ("fleet", "key_file")}
