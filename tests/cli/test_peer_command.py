"""`cortex peer` as a process: what it says, who finds it, how it ends."""

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
from typing import Any, TextIO

import pytest

from cortex.cli.devices import Devices
from cortex.cli.first_key import first_key
from cortex.cli.serving import describe_models, describe_ready, describe_start
from cortex.engine.wishes import Wishes
from cortex.peer.config import Card, Locations, PeerConfig
from cortex.peer.keys.access import ApiKey, digest_of, spell_hash
from cortex.peer.models.shelf import Shelf

Cortex = Callable[..., Any]
AtTerminal = Callable[..., Any]
WriteScript = Callable[..., tuple[str, ...]]

READY_S = 30.0
DEADLINE_S = 20.0


@contextmanager
def running(
    *arguments: str,
    said: list[str] | None = None,
    stderr: TextIO | int | None = None,
    command: tuple[str, ...] = ("-m", "cortex.cli", "peer"),
) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A peer that says it is ready within its time, and its address.

    Its lines until then are added to `said`.
    """
    whole = [sys.executable, *command, "--port", "0", *arguments]
    with subprocess.Popen(
        whole, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True
    ) as process:
        assert process.stdout is not None
        # A killed peer ends the reading of its output.
        deadline = threading.Timer(READY_S, process.kill)
        deadline.start()
        try:
            address, is_ready = "", False
            for line in process.stdout:
                if said is not None:
                    said.append(line)
                if found := re.search(r"http://(\S+)/v1", line):
                    address = found[1]
                if is_ready := "ready in " in line:
                    break
            deadline.cancel()
            assert is_ready, f"the peer was not ready within {READY_S:g} s"
            yield process, address
        finally:
            deadline.cancel()
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


def test_a_peer_whose_output_nobody_reads_any_more_works_on() -> None:
    with running("--engine", "fake") as (process, address):
        assert process.stdout is not None
        process.stdout.close()
        assert ask(address).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_of_a_peer_with_a_log_in_json_every_line_is_an_object_and_none_says_it_again() -> None:
    options = ("--engine", "fake", "--log-format", "json", "-v")
    said: list[str] = []
    with running(*options, said=said, stderr=subprocess.STDOUT) as (process, address):
        assert ask(address).status == 200
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=DEADLINE_S)
    events = [json.loads(line)["event"] for line in (*said, *rest.splitlines())]
    assert len([event for event in events if event.startswith("loaded fake in ")]) == 1
    assert any(event.startswith("ready in ") for event in events)


def test_a_peer_that_its_supervisor_aborts_leaves_the_stacks_of_all_its_threads() -> None:
    with running("--engine", "fake", stderr=subprocess.PIPE) as (process, _):
        process.send_signal(signal.SIGABRT)
        _, told = process.communicate(timeout=DEADLINE_S)
    # Of each only the last hundred calls: within an import a stack is deeper than that.
    assert "Fatal Python error: Aborted" in told
    assert told.count("(most recent call first)") > 1


def ask(address: str) -> Any:
    body = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    url, head = f"http://{address}/v1/chat/completions", {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        response.read()
        return response


def test_chat_finds_the_running_peer_by_itself(cortex: Cortex, replies: WriteScript) -> None:
    with running(*replies("from the peer"), "--name", "atlas"):
        done = cortex("chat", "--json", "hello")
    told = json.loads(done.stdout)
    assert (told["answer"], told["peer"]) == ("from the peer", "atlas")


def test_an_engine_that_was_typed_computes_here_and_not_at_a_peer(
    cortex: Cortex, replies: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(*replies("from the peer")) as (_, address):
        question = ("chat", "--engine", "fake", "--max-tokens", "3", "--json", "hello")
        own, both = cortex(*question), cortex(*question, "--peer", address)
        monkeypatch.setenv("CORTEX_PEER", address)
        beside = cortex(*question)
        models = cortex("models", "--engine", "fake", "--json")
    assert json.loads(own.stdout)["peer"] == "private"
    assert own.stderr == "the running peer is not asked: --engine means this machine by itself.\n"
    assert json.loads(beside.stdout)["peer"] == "private"
    assert f"the peer at {address} is not asked" in beside.stderr
    assert (both.code, both.stdout) == (2, "")
    assert "--engine would change nothing" in both.stderr
    assert json.loads(models.stdout)["peer"] == "private"


def test_more_memory_than_the_machine_has_is_refused(cortex: Cortex) -> None:
    for command in (("peer",), ("chat", "hello")):
        done = cortex(*command, "--engine", "fake", "--memory", "900TB")
        assert (done.code, done.stdout) == (2, "")
        assert re.search(r"--memory [\d,.]+ GiB is more than the [\d,.]+ GiB", done.stderr)


def test_a_peer_with_a_state_directory_is_found_by_its_name_alone(
    cortex: Cortex, replies: WriteScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--state-dir", str(tmp_path / "state"))
    with running(*replies("from the peer"), *options, "--name", "atlas") as (_, address):
        found = cortex("chat", "--json", *options, "hello")
        listed = cortex("models", "--json", *options)
        elsewhere = cortex("models", "--json")
        monkeypatch.setenv("CORTEX_STATE_DIR", options[1])
        by_environment = cortex("models", "--json")
    assert json.loads(found.stdout)["peer"] == "atlas"
    assert json.loads(listed.stdout)["peer"] == address
    assert json.loads(elsewhere.stdout)["peer"] == "private"
    assert json.loads(by_environment.stdout)["peer"] == address


def test_a_picture_goes_to_the_running_peer(
    cortex: Cortex, replies: WriteScript, picture: Path
) -> None:
    with running(*replies("seen")) as (_, address):
        done = cortex("chat", "--peer", address, "-i", str(picture), "what is it?")
    assert done.stdout == "seen\n"
    assert done.stderr == "image   square_96.png  256x256 -> 66 tokens\n"


def test_no_key_is_made_for_an_address_that_is_not_this_machines(
    cortex: Cortex, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    done = cortex("peer", "--engine", "fake", "--host", "999.1.1.1", "--state-dir", str(state))
    assert done.code == 1
    assert "cannot listen on 999.1.1.1: " in done.stderr
    assert "key " not in done.stdout and not state.exists()


def test_a_taken_port_is_said_with_its_number(cortex: Cortex, tmp_path: Path) -> None:
    with running("--engine", "fake") as (_, address):
        port, elsewhere = address.rpartition(":")[2], str(tmp_path / "elsewhere")
        done = cortex("peer", "--engine", "fake", "--port", port, "--state-dir", elsewhere)
    assert done.code == 1
    assert f"error: port {port} on 127.0.0.1 is taken by process " in done.stderr


def test_the_engine_runs_under_the_python_that_was_named(cortex: Cortex, tmp_path: Path) -> None:
    other = tmp_path / "other-python"
    other.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    with running("--engine", "fake", "--python", str(other), "--model", "fake"):
        assert "cortex.engine.fake" in (tmp_path / "called").read_text()


def test_a_machine_without_a_gpu_is_told_that_the_cpu_computes() -> None:
    config = PeerConfig(locations=Locations(Path("data"), Path("state")))
    lines = describe_start(config, Devices(("cpu",), "no NVIDIA device is seen"))
    assert lines[1:] == ["device cpu   (no NVIDIA device is seen)"]


def test_cards_that_compute_in_different_numbers_are_told_of_unless_told_in_which() -> None:
    cards = Card(0, "GPU-0", "RTX 2080", "7.5"), Card(1, "GPU-1", "RTX 3080", "8.6")
    devices, locations = Devices(("cuda:0", "cuda:1"), cards=cards), Locations(Path(), Path())
    for wishes, is_told in ((Wishes(), True), (Wishes(dtype="bfloat16"), False)):
        config = PeerConfig(locations, wishes=wishes)
        assert ("gpu 0 would compute" in describe_start(config, devices)[1]) == is_told


async def test_models_of_folders_that_do_not_answer_are_not_said_to_be_none(tmp_path: Path) -> None:
    config = PeerConfig(locations=Locations(tmp_path, tmp_path), engine="fake")
    shelf = Shelf(lambda: config)
    await shelf.look(patience_s=0.0)
    assert describe_models(config, shelf) == ["models their folders do not answer yet"]
    await shelf.look(DEADLINE_S)
    assert describe_models(config, shelf) == ["models 1 found   (fake)"]


def test_the_devices_of_a_fake_engine_are_named_and_said_to_compute_nothing() -> None:
    config = PeerConfig(Locations(Path("data"), Path("state")), engine="fake")
    (_, device) = describe_start(config, Devices(("fake:0", "fake:1")))
    assert device == "device fake:0, fake:1   (the engine is fake: it computes nothing)"


def ready_lines(state_dir: Path | None = None, **changes: Any) -> list[str]:
    config = PeerConfig(locations=Locations(Path("data"), Path("state")), **changes)
    return describe_ready(config, "127.0.0.1:1", 0.1, state_dir)


def test_the_command_to_try_finds_this_very_peer() -> None:
    assert ready_lines()[1].endswith('Try: cortex chat "hello"   or: cortex tui')
    named = ready_lines(Path("/my state"))[1]
    assert """Try: cortex chat --state-dir '/my state' "hello\"""" in named
    assert named.endswith("or: cortex tui --state-dir '/my state'")


def test_it_is_said_who_can_ask() -> None:
    keys = (ApiKey("a", b"1"), ApiKey("b", b"2"))
    assert "this machine only, no key;" in ready_lines()[0]
    assert "this machine only, with 1 key;" in ready_lines(keys=keys[:1])[0]
    everyone = ready_lines(host="0.0.0.0", keys=keys)[0]
    assert everyone.endswith("everyone who reaches this machine, with 2 keys")


def status_of(address: str, key: str | None = None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"http://{address}/v1/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_peer_open_to_others_makes_a_key_and_shows_it_once_to_a_person(
    cortex: Cortex,
    at_terminal: AtTerminal,
    replies: WriteScript,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (*replies("hello"), "--host", "0.0.0.0", "--state-dir", str(tmp_path / "state"))
    terminal = at_terminal("peer", "--port", "0", *options)
    terminal.wait_for("ready in ")
    (key,) = re.findall(r"^key    (\S+) ", terminal.shown, re.MULTILINE)
    (address,) = re.findall(r"http://(\S+)/v1", terminal.shown)
    assert status_of(address) == 401
    assert status_of(address, key) == 200
    assert key not in (tmp_path / "state" / "api-key").read_text()
    local = cortex("chat", "--json", "--state-dir", str(tmp_path / "state"), "hi")
    assert local.code == 0, "a local command needs to be told none"
    refused = cortex("chat", "--peer", address, "hi")
    monkeypatch.setenv("CORTEX_API_KEY", key)
    let_in = cortex("chat", "--peer", address, "hi")
    assert (refused.code, let_in.code) == (4, 0)
    assert "hint: set CORTEX_API_KEY to a key of that peer" in refused.stderr
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait_for_end() == 0
    said: list[str] = []
    with running(*options, said=said) as (_, address):
        assert "key    " not in "".join(said)
        assert status_of(address, key) == 200


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_no_person_reads_is_shown_no_key(cortex: Cortex, tmp_path: Path, form: str) -> None:
    """The log of a container, or of nohup, is kept and passed on."""
    state = str(tmp_path / "state")
    said: list[str] = []
    options = ("--engine", "fake", "--host", "0.0.0.0", "--state-dir", state)
    with running(*options, "--log-format", form, said=said, stderr=subprocess.STDOUT):
        shown = cortex("key", "--state-dir", state).stdout
    whole = "".join(said)
    assert re.search("cortex1-[a-z2-7]{52}", shown), "who asks for it is shown it"
    assert "cortex1-" not in whole
    assert "sk-cortex-" not in whole
    assert "key    made, and shown in no log" in whole
    assert "to join it elsewhere, see: cortex key --state-dir" in whole


def test_a_log_of_objects_is_shown_no_key_at_a_terminal_either(at_terminal: AtTerminal) -> None:
    terminal = at_terminal(
        *("peer", "--engine", "fake", "--host", "0.0.0.0", "--port", "0", "--log-format", "json")
    )
    terminal.wait_for("ready in ")
    assert "cortex1-" not in terminal.shown
    assert "sk-cortex-" not in terminal.shown


def test_a_peer_logs_each_request_on_standard_error(
    cortex: Cortex, replies: WriteScript, tmp_path: Path
) -> None:
    errors = tmp_path / "stderr"
    with errors.open("w") as stderr, running(*replies("x"), stderr=stderr) as (_, address):
        cortex("chat", "--peer", address, "a secret question")
    logged = errors.read_text()
    line = r"INFO \S+ request id=req_\w+ .* status=200 .* ending=stop\n"
    assert len(re.findall(line, logged)) == 1
    assert "secret" not in logged


def test_a_peer_obeys_its_file(cortex: Cortex, tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").write_text(f"""
[peer]
listen = "127.0.0.1:0"
model = "fake"

[api]
keys = ["{spell_hash(digest_of("k"))}"]
""")
    (tmp_path / "models.toml").write_text('[[models]]\nid = "fake"\naliases = ["claude-fake"]\n')
    said: list[str] = []
    with running("--engine", "fake", "--config", str(tmp_path / "cortex.toml"), said=said) as both:
        assert f"config {tmp_path / 'cortex.toml'}\n" in said
        assert status_of(both[1]) == 401
        assert status_of(f"{both[1]}", "k") == 200
        listed = cortex("models", "--json", "--peer", both[1])
    assert [model["id"] for model in json.loads(listed.stdout)["models"]] == ["fake", "claude-fake"]


def test_the_first_start_makes_a_fleet_key_and_shows_it_once_to_a_person(
    cortex: Cortex, at_terminal: AtTerminal, tmp_path: Path
) -> None:
    options = ("--engine", "fake", "--state-dir", str(tmp_path / "state"))
    terminal = at_terminal("peer", "--port", "0", *options)
    terminal.wait_for("ready in ")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait_for_end() == 0
    second: list[str] = []
    with running(*options, said=second):
        shown = cortex("key", *options[2:]).stdout.strip()
    line = rf"^fleet  [0-9a-f]{{8}}   new; elsewhere run: {shown}\r$"
    assert re.search(line, terminal.shown, re.MULTILINE)
    assert shown.split()[-1] == (tmp_path / "state" / "fleet.key").read_text().strip()
    assert "cortex1-" not in "".join(second)
    assert "looks  nowhere: it can only be found\n" in second, "the tests' peers use no multicast"


def test_a_fleet_key_that_cannot_be_kept_ends_the_start(cortex: Cortex, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cortex("peer", "--engine", "fake", "--key-file", str(tmp_path / "file" / "fleet.key"))
    assert done.code == 2
    assert f"error: cannot keep a fleet key in {tmp_path / 'file' / 'fleet.key'}: " in done.stderr
    (tmp_path / "broken").write_text("nonsense")
    done = cortex("peer", "--engine", "fake", "--key-file", str(tmp_path / "broken"))
    assert done.code == 2
    assert f"error: {tmp_path / 'broken'}, line 1: a fleet key begins with" in done.stderr


# An interpreter in which nothing that computes, or turns text into tokens, can be imported.
_BARE = """
import sys
names = "torch numpy safetensors tokenizers jinja2 PIL llguidance"
sys.modules.update(dict.fromkeys(names.split()))
from cortex.cli.main import main
sys.argv[0] = "cortex"
main()
"""


@pytest.mark.parametrize("command", [("gateway",), ("serve",), ("peer", "--gpu", "none")])
def test_a_gateway_needs_nothing_that_computes_and_starts_nothing(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_HOST", "127.0.0.1")
    monkeypatch.setenv("CORTEX_METRICS_PORT", "0")
    with running(command=("-c", _BARE, *command)) as (process, address):
        assert status_of(address) == 200
        tasks = Path(f"/proc/{process.pid}/task")
        children = [(task / "children").read_text() for task in tasks.iterdir()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not "".join(children)


def test_a_gateway_wants_keys_and_tells_its_numbers_to_all(tmp_path: Path) -> None:
    said: list[str] = []
    key = first_key(tmp_path / "state", bytes(32)).text
    options = ("--metrics-port", "0", "--state-dir", str(tmp_path / "state"))
    command = ("-m", "cortex.cli", "gateway")
    with running(*options, said=said, command=command) as (_, address):
        everything = "".join(said)
        (port,) = re.findall(r"^count  http://0\.0\.0\.0:(\d+)/metrics ", everything, re.MULTILINE)
        assert "device none   (others make the answers)\n" in said
        assert (status_of(address), status_of(address, key)) == (401, 200)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            assert b"cortex_live_requests" in response.read()
