"""`cortex launch`: what each agent is told, and that it is started with it."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.agents import AGENTS, AgentName, Target, in_shell_form
from cortex.cli.commands.launch import choose_model
from cortex.engine.errors import ModelNotFound
from cortex.peer.types import ModelInfo

Cortex = Callable[..., Any]
READY_S = 30.0
TARGET = Target("10.1.2.3:13131", "a secret", "org/name-7b", 32_768, sees_images=True)


@pytest.fixture
def address() -> Generator[str]:
    """A peer with the fake engine, which serves one model: `fake`."""
    with running_peer() as found:
        yield found


@contextmanager
def running_peer(*options: str) -> Generator[str]:
    own = ("--port", "0", "--engine", "fake", *options)
    command = [sys.executable, "-m", "cortex.cli", "peer", *own]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        deadline = threading.Timer(READY_S, process.kill)
        deadline.start()
        try:
            text = ""
            for line in process.stdout:
                text += line
                if line.startswith("ready in "):
                    break
            found = re.search(r"http://(\S+)/v1", text)
            assert found is not None, f"not ready within {READY_S:g} s: {text}"
            yield found[1]
        finally:
            deadline.cancel()
            process.kill()


@pytest.fixture
def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A program of that name that tells how it was started, and exits 7."""

    def put(program: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / program
        path.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
            "sys.exit(7)\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return put


def test_claude_asks_one_model_in_every_role_and_knows_its_context() -> None:
    setup = AGENTS["claude"].prepare(TARGET)
    names = {name for name, value in setup.variables.items() if value == TARGET.model}
    assert {"ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"} <= (
        names
    )
    # It puts /v1/messages behind the address itself.
    assert setup.variables["ANTHROPIC_BASE_URL"] == "http://10.1.2.3:13131"
    assert setup.variables["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] == "32768"
    # Longer than a load and a long prompt take: its watchdogs do not see pings.
    waits = (
        "CLAUDE_STREAM_IDLE_TIMEOUT_MS",
        "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS",
        "API_TIMEOUT_MS",
    )
    assert {setup.variables[name] for name in waits} == {"1800000"}
    assert setup.hidden == ("ANTHROPIC_API_KEY",)


def test_codex_settings_are_toml_and_name_the_variable_of_the_key() -> None:
    setup = AGENTS["codex"].prepare(TARGET)
    flags, settings = setup.arguments[::2], setup.arguments[1::2]
    assert set(flags) == {"-c"}
    told = tomllib.loads("\n".join(settings))
    provider = told["model_providers"][told["model_provider"]]
    assert (told["model"], told["model_context_window"]) == ("org/name-7b", 32_768)
    assert provider["base_url"] == "http://10.1.2.3:13131/v1"
    assert provider["wire_api"] == "responses"
    assert setup.variables[provider["env_key"]] == "a secret"


def test_opencode_s_config_names_a_model_that_it_defines() -> None:
    setup = AGENTS["opencode"].prepare(TARGET)
    config = json.loads(setup.variables["OPENCODE_CONFIG_CONTENT"])
    provider, _, model = config["model"].partition("/")
    defined = config["provider"][provider]
    assert defined["models"][model]["limit"]["context"] == 32_768
    assert defined["models"][model]["modalities"]["input"] == ["text", "image"]
    variable = re.fullmatch(r"\{env:(\w+)\}", defined["options"]["apiKey"])
    assert variable is not None
    assert setup.variables[variable[1]] == "a secret"


def test_aider_is_told_by_its_model_s_prefix_which_dialect_to_speak() -> None:
    variables = AGENTS["aider"].prepare(TARGET).variables
    assert variables["AIDER_MODEL"] == variables["AIDER_WEAK_MODEL"] == "openai/org/name-7b"
    assert variables["OPENAI_API_BASE"] == "http://10.1.2.3:13131/v1"


@pytest.mark.parametrize("name", AGENTS)
def test_no_argument_holds_the_key_and_no_agent_goes_without_it(name: AgentName) -> None:
    setup = AGENTS[name].prepare(TARGET)
    assert "a secret" in setup.variables.values()
    assert not any("a secret" in argument for argument in setup.arguments)


@pytest.mark.parametrize("name", AGENTS)
def test_a_shell_that_evaluates_the_lines_has_the_agent_s_environment(name: AgentName) -> None:
    setup = AGENTS[name].prepare(TARGET)
    lines = in_shell_form(AGENTS[name], setup)
    shown = subprocess.run(
        ["sh", "-c", "\n".join((*lines, "env -0"))],
        env={"ANTHROPIC_API_KEY": "theirs", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    environment = dict(entry.split("=", 1) for entry in shown.split("\0") if entry)
    assert setup.variables.items() <= environment.items()
    assert not environment.keys() & set(setup.hidden)


def test_every_agent_is_started_against_the_running_peer(
    address: str,
    cortex: Cortex,
    put_on_path: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "theirs")
    monkeypatch.setenv("KEPT", "as it was")
    for name, agent in AGENTS.items():
        put_on_path(agent.program)
        done = cortex("launch", name, "--", "-p", "--model", "own")
        assert done.code == 7, done.stderr
        arguments, environment = json.loads(done.stdout)
        told = json.dumps([arguments, environment])
        assert f"http://{address}" in told and "fake" in told
        assert arguments[-3:] == ["-p", "--model", "own"]
        assert environment["KEPT"] == "as it was"
        assert name != "claude" or "ANTHROPIC_API_KEY" not in environment


def test_a_missing_agent_is_an_error_that_says_how_to_install_it(
    cortex: Cortex, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cortex("launch", "claude")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: Claude Code is not installed: there is no claude on the PATH.",
        "hint: install it with: npm install -g @anthropic-ai/claude-code",
    ]


def test_printing_needs_no_agent_and_takes_the_key_from_the_environment(
    address: str, cortex: Cortex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_API_KEY", "from here")
    done = cortex("launch", "claude", "--print", "--peer", address)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("unset ANTHROPIC_API_KEY\n")
    assert f"export ANTHROPIC_BASE_URL=http://{address}\n" in done.stdout
    assert "export ANTHROPIC_AUTH_TOKEN='from here'\n" in done.stdout


def test_a_peer_of_this_machine_that_wants_keys_is_asked_with_that_of_its_note(
    cortex: Cortex, tmp_path: Path
) -> None:
    settings = tmp_path / "keys.toml"
    digest = hashlib.sha256(b"theirs").hexdigest()
    settings.write_text(f'[api]\nkeys = ["sha256:{digest}"]\n')
    with running_peer("--config", str(settings)) as address:
        printed = cortex("launch", "claude", "--print").stdout
        found = re.search(r"export ANTHROPIC_AUTH_TOKEN=(\S+)", printed)
        assert found is not None
        for token, expected in ((found[1], 200), ("none", 401)):
            headers = {"authorization": f"Bearer {token}"}
            assert ask_for_models(address, headers) == expected


def ask_for_models(address: str, headers: dict[str, str]) -> int:
    """The status of the answer."""
    host, _, port = address.rpartition(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
        connection.request("GET", "/v1/models", headers=headers)
        return connection.getresponse().status


def test_without_a_peer_nothing_is_started(
    cortex: Cortex, put_on_path: Callable[[str], None]
) -> None:
    put_on_path("codex")
    done = cortex("launch", "codex")
    assert (done.code, done.stdout) == (3, "")
    assert "start one with: cortex peer" in done.stderr


def test_a_model_that_the_peer_lacks_is_refused_before_the_agent_starts(
    address: str, cortex: Cortex
) -> None:
    done = cortex("launch", "aider", "--print", "--peer", address, "--model", "fakee")
    assert (done.code, done.stdout) == (5, "")
    assert "did you mean fake?" in done.stderr


def test_a_peer_without_models_is_no_peer_for_an_agent() -> None:
    with pytest.raises(ModelNotFound, match="has no models"):
        choose_model((), None, "10.1.2.3:1")


def test_an_agent_asks_the_first_model_with_room_for_it_and_another_where_named() -> None:
    small, large, largest = (
        ModelInfo(name, None, ("text",), context, 0)
        for name, context in (("nano", 4_096), ("a", 32_768), ("b", 65_536))
    )
    assert choose_model((small, large, largest), None, "x") is large
    assert choose_model((small, large), "nano", "x") is small
    base = ModelInfo("base", None, ("completion",), 65_536, 0)
    assert choose_model((base, large), None, "x") is large
    assert choose_model((base, large), "base", "x") is base
    with pytest.raises(ModelNotFound, match="no model that chats of the peer at x takes") as caught:
        choose_model((small,), None, "x")
    for way in ("cortex pull", "--model ID", "[engine] context"):
        assert way in caught.value.hint


def test_a_model_too_small_for_an_agent_is_said_to_be(cortex_here: Cortex, tmp_path: Path) -> None:
    settings = tmp_path / "cortex.toml"
    settings.write_text("[engine]\ncontext = 4096\n")
    with running_peer("--config", str(settings)) as address:
        words = ("launch", "codex", "--print", "--peer", address)
        done, refused = cortex_here(*words, "--model", "fake"), cortex_here(*words)
    assert done.code == 0 and "fake takes 4,096 tokens" in done.stderr
    assert (refused.code, refused.stdout) == (5, "")
