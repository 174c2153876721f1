"""The command table: help, versions, exit codes, and errors nobody expected."""

from __future__ import annotations

import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.cli import config, diagnostics, main
from cortex.cli.command_table import SECTIONS
from cortex.cli.config import Invocation, find_locations
from cortex.cli.errors import ConfigProblem, NotThereYet, OutputFailed, UsageProblem
from cortex.engine.errors import (
    CortexError,
    EngineFailed,
    InsufficientVram,
    InvalidImage,
    ModelNotFound,
    VisionUnsupported,
)
from cortex.peer.errors import NoPeer

Cortex = Callable[..., Any]

COMMANDS = [name for names in SECTIONS.values() for name in names]


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    return Invocation(find_locations({"XDG_RUNTIME_DIR": str(tmp_path)}), can_redraw=False)


def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.parametrize(
    ("lacks", "words"), [(no_home, "no home folder here.\nhint: set HOME"), (windows, "in WSL2")]
)
def test_where_no_command_can_do_anything_it_is_said_why(
    lacks: Callable[[pytest.MonkeyPatch], None],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(config, "_INHERITED", {})
    lacks(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == diagnostics.USAGE
    assert words in capsys.readouterr().err


def test_help_begins_with_three_examples(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["-h"], invocation) == 0
    shown = capsys.readouterr().out
    assert shown.index("cortex chat") < shown.index("cortex peer") < shown.index("Ask:")
    assert all(f"\n  {command} " in shown for command in COMMANDS)


def test_no_arguments_at_all_shows_the_help(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([], invocation) == 0
    assert "Ask:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(
    command: str, option: str, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([command, option], invocation) == 0
    assert f"Usage: cortex {command}" in capsys.readouterr().out


def test_times_in_the_help_are_written_as_they_are_typed(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, default in (("logs", "10m"), ("status", "1s"), ("ps", "1s"), ("tui", "1s")):
        main.run([command, "-h"], invocation)
        told = " ".join(capsys.readouterr().out.split())
        assert f"Otherwise {default}." in told and "default: 1.0" not in told


def test_a_size_from_a_file_is_not_told_in_bytes_by_the_help(
    tmp_path: Path, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cortex.toml").write_text('[engine]\nmemory = "8GiB"\nthreads = 3\n')
    assert main.run(["peer", "--config", str(tmp_path / "cortex.toml"), "-h"], invocation) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "default: 3;" in told and "8589934592" not in told


def test_the_version_is_the_distribution_s(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["--version"], invocation) == 0
    assert capsys.readouterr().out.startswith("cortex 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chta"], "Did you mean 'chat'"),
        (["chat", "--modell", "x"], "--model"),
        (["chat", "--max-tokens", "0", "hi"], "--max-tokens"),
        (["chat", "--temperature", "-1", "hi"], "--temperature"),
        (["chat", "--json", "--raw", "hi"], "exclude each other"),
        (["chat", "-i", "-", "-i", "-", "hi"], "twice"),
        (["chat", "--fake-script", "missing.json", "hi"], "missing.json"),
        (["peer", "--port", "70000"], "--port"),
        (["chat", "--threads", "0", "hi"], "--threads"),
        (["chat", "--memory", "8 gigs", "hi"], "'8 gigs' is no size"),
        (["verify", "missing"], "missing"),
        (["status", "--watch", "--check"], "exclude each other"),
        (["status", "--refresh", "soon"], "'soon' is not a time"),
        (["status", "--refresh", "0.1"], "0.5 to 3600 seconds"),
        (["tui"], "needs a terminal"),
        (["completion", "tcsh"], "tcsh"),
        (["launch"], "Choose from: claude, codex"),
        (["models", "qwen"], "see cortex models -h; it takes show or rm"),
        (["status", "--peer"], "see cortex status -h"),
    ],
)
def test_a_wrong_command_line_is_one_error_and_exits_2(
    arguments: list[str], words: str, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments, invocation) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("error: ") == 1
    assert len(shown.err.splitlines()) <= 2
    assert words in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["peer", "--gpu", "77"], "gpu 77 asked for"),
        (["models", "--models", "/no/such/folder"], "/no/such/folder"),
        (["models", "--models", f"/{'x' * 300}"], "does not exist"),  # not even to be asked for
    ],
)
def test_what_is_named_and_may_come_later_is_no_wrong_command_line(
    arguments: list[str], words: str, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments, invocation) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineFailed("x"), 1),
        (InvalidImage("x"), 1),
        (OutputFailed("x"), 1),
        (NotThereYet("x"), 1),
        (ConfigProblem("x"), 2),
        (UsageProblem("x"), 2),
        (NoPeer("x"), 3),
        (ModelNotFound("x"), 5),
        (InsufficientVram("x"), 5),
        (VisionUnsupported("x"), 5),
    ],
)
def test_errors_have_exit_codes(error: CortexError, code: int) -> None:
    assert diagnostics.exit_code(error) == code


SECRET = "my secret prompt"


class Prompted(Exception):
    """A bug that quotes what it was given."""


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Prompted(SECRET)

    monkeypatch.setattr("cortex.cli.question.look_at", fail)


@pytest.mark.usefixtures("broken")
def test_a_bug_is_one_line_and_its_stack_is_kept_without_its_words(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["chat", "hi"], invocation) == 1
    shown = capsys.readouterr().err
    assert shown.splitlines()[0] == "error: unexpected Prompted; this is a bug in cortex."
    assert str(invocation.error_log) in shown
    kept = invocation.error_log.read_text()
    assert "in chat" in kept
    assert SECRET not in kept + shown


@pytest.mark.usefixtures("broken")
def test_the_stack_of_a_bug_lies_in_the_state_directory_that_was_named(
    invocation: Invocation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["chat", "--state-dir", str(tmp_path / "state"), "hi"], invocation) == 1
    kept = tmp_path / "state" / "last-error.log"
    assert str(kept) in capsys.readouterr().err
    assert "in chat" in kept.read_text()


@pytest.mark.usefixtures("broken")
def test_a_bug_shows_its_stack_when_asked(
    invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["chat", "-v", "hi"], invocation) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert SECRET in shown


def test_completion_scripts_complete(cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CORTEX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "cortex ch")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert cortex().stdout.split() == ["chat"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_committed_script(
    shell: str, invocation: Invocation, capsys: pytest.CaptureFixture[str], checkout: Path
) -> None:
    assert main.run(["completion", shell], invocation) == 0
    name = {"bash": "cortex.bash", "zsh": "_cortex", "fish": "cortex.fish"}[shell]
    assert capsys.readouterr().out == (checkout / "completions" / name).read_text()


def test_models_are_listed(cortex: Cortex) -> None:
    assert cortex("models", "--engine", "fake").stdout.split() == [
        *("MODEL", "CONTEXT", "IMAGES"),
        *("fake", "32,768", "yes"),
    ]
