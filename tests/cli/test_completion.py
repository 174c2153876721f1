"""TAB, in the shells that people use: commands, options, and names that were last seen."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote

import pytest

from cortex.cli.last_seen import FleetSeen, LastSeen, keep, last_seen

Complete = Callable[[str], list[str]]

NOW_S = 1_790_000_000.0
TIMEOUT_S = 30.0
EMPTY = "''"
SEEN = LastSeen(("qwen-large", "qwen-small", "tiny"), ("atlas", "borea"), ("10.0.0.2:13131",))


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which `cortex` is a program, and has seen a fleet a moment ago."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keep(tmp_path / "cache" / "cortex", SEEN, time.time())
    program = tmp_path / "bin" / "cortex"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cortex.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path


def offered(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.fixture(params=["bash", "fish"])
def complete(request: pytest.FixtureRequest, checkout: Path, seen: Path) -> Complete:
    """What a shell offers where the line typed so far ends with TAB."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = checkout / "completions" / f"cortex.{shell}"

    def of_bash(line: str) -> list[str]:
        words = line.split(" ")
        typed = " ".join(word or EMPTY for word in words)
        told = f"source {script}; COMP_LINE='{line}'; COMP_WORDS=({typed})"
        told += f"; COMP_CWORD={len(words) - 1}; _cortex_completion cortex"
        return offered(["bash", "--norc", "-c", told + '; printf "%s\\n" "${COMPREPLY[@]}"'])

    def of_fish(line: str) -> list[str]:
        command = f"source {script}; complete -C '{line}'"
        return [one.split("\t")[0] for one in offered(["fish", "--no-config", "-c", command])]

    return of_bash if shell == "bash" else of_fish


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("cortex lo", ["load", "logs"]),
        ("cortex un", ["undrain", "unload", "unpin"]),
        ("cortex load q", ["qwen-large", "qwen-small"]),
        ("cortex chat -m t", ["tiny"]),
        ("cortex load tiny --on b", ["borea"]),
        ("cortex drain ", ["atlas", "borea"]),
        ("cortex undrain b", ["borea"]),
        ("cortex status 10.", ["10.0.0.2:13131"]),
        ("cortex chat --engine f", ["fake"]),
        ("cortex models --js", ["--json"]),
        ("cortex service re", ["remove"]),
        ("cortex service status ", ["gateway", "peer"]),
        ("cortex key ", ["add", "drop", "list", "new", "show", "use"]),
        ("cortex key dr", ["drop"]),
    ],
)
def test_a_shell_offers_what_can_be_meant(complete: Complete, line: str, names: list[str]) -> None:
    assert sorted(complete(line)) == names


@needs("zsh")
@pytest.mark.parametrize("is_in_fpath", [True, False])
def test_zsh_completes_a_model_that_was_seen_at_the_first_tab(
    seen: Path, checkout: Path, is_in_fpath: bool
) -> None:
    scripts = checkout / "completions"
    ready = f"autoload -U compinit; compinit -u -d {seen}/dump"
    setup = (
        f"fpath=({quote(str(scripts))} $fpath); {ready}"
        if is_in_fpath
        else f"{ready}; source {quote(str(scripts))}/_cortex"
    )
    type_and_read(["zsh", "-f", "-i"], setup, {"cortex load tin": "tiny"})


@needs("zsh")
@pytest.mark.parametrize("folder", ["a folder", "a [1]", "copy (1)", "c#", "a=b"])
def test_zsh_asks_the_cortex_whose_path_was_typed(seen: Path, checkout: Path, folder: str) -> None:
    elsewhere = seen / folder / "cortex"
    elsewhere.parent.mkdir()
    (seen / "bin" / "cortex").rename(elsewhere)
    escaped = re.sub(r"(\W)", r"\\\1", folder)
    line = f"~/{escaped}/cortex load tin"
    type_and_read(["zsh", "-f", "-i"], zsh_at(seen, checkout), {line: "tiny"})


@needs("zsh")
@pytest.mark.parametrize("program", ["$HOME/bin/cortex", "gone\\*/cortex"])
def test_zsh_asks_the_cortex_of_the_path_where_what_was_typed_leads_to_none(
    seen: Path, checkout: Path, program: str
) -> None:
    """It runs nothing of the line, and nothing of the environment."""
    setup = zsh_at(seen, checkout) + f"; cd {seen}; export EVIL='x;touch run;y'"
    type_and_read(["zsh", "-f", "-i"], setup, {f"false && {program} load tin": "tiny"})
    assert not (seen / "run").exists()


def zsh_at(home: Path, checkout: Path) -> str:
    scripts = quote(str(checkout / "completions"))
    ready = f"fpath=({scripts} $fpath); autoload -U compinit; compinit -u -d {home}/dump"
    return f"{ready}; HOME={home}"


@needs("bash")
@pytest.mark.parametrize("unbroken", ["", ":", ":=@"])
def test_bash_goes_on_behind_what_it_breaks_words_at(
    seen: Path, checkout: Path, unbroken: str
) -> None:
    """The words are those that bash itself makes of the line."""
    keep(
        seen / "cache" / "cortex", LastSeen(("org/big:fp8@main",), (), SEEN.addresses), time.time()
    )
    setup = f"source {checkout / 'completions' / 'cortex.bash'}; cortex() {{ echo [$*]; }}"
    setup += f"; COMP_WORDBREAKS=${{COMP_WORDBREAKS//[{unbroken}]/}}" if unbroken else ""
    lines = {
        "cortex status 10.0.0.2:1": "[status 10.0.0.2:13131]",
        "cortex status 10.0.0.2:": "[status 10.0.0.2:13131]",
        "cortex chat --peer=10.0.0.2:131": "[chat --peer=10.0.0.2:13131]",
        "cortex load org/big:f": "[load org/big:fp8@main]",
        "cortex load org/big:fp8@m": "[load org/big:fp8@main]",
        "cortex load org/big:fp8@": "[load org/big:fp8@main]",
    }
    type_and_read(["bash", "--norc", "-i"], setup, lines)


def type_and_read(shell: list[str], setup: str, lines: dict[str, str]) -> None:
    """Each line ends with TAB, and is carried out once that has been drawn."""
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        shell, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as process:
        os.close(terminal)
        try:
            os.write(screen, f"{setup}; echo is-$((40+2))\n".encode())
            read_until(screen, "is-42")
            for line, words in lines.items():
                os.write(screen, f"{line}\t\n".encode())
                read_until(screen, words)
        finally:
            process.kill()
            os.close(screen)


def read_until(terminal: int, text: str) -> None:
    shown, deadline_s = "", time.monotonic() + TIMEOUT_S
    while text not in shown:
        assert time.monotonic() < deadline_s, f"waited for {text!r}; the screen: {shown!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")


def test_what_a_command_sees_is_offered_for_an_hour(tmp_path: Path) -> None:
    keep(tmp_path, SEEN, NOW_S)
    assert last_seen(tmp_path, NOW_S + 3599) == SEEN
    assert last_seen(tmp_path, NOW_S + 3600) == LastSeen()
    assert last_seen(tmp_path, NOW_S - 1) == LastSeen()
    assert last_seen(None, NOW_S) == LastSeen()


def test_what_one_look_does_not_show_is_kept_of_another(tmp_path: Path) -> None:
    keep(tmp_path, SEEN, NOW_S)
    keep(tmp_path, LastSeen(models=("new",)), NOW_S + 1)
    assert last_seen(tmp_path, NOW_S + 2) == LastSeen(("new",), SEEN.peers, SEEN.addresses)


def test_a_name_that_a_shell_would_act_on_is_not_offered(tmp_path: Path) -> None:
    names = ("$(reboot)", "`id`", "a b", "'", "-x", "x;y", "good")
    keep(tmp_path, LastSeen(models=names), NOW_S)
    assert last_seen(tmp_path, NOW_S).models == ("good",)


def test_the_fleet_is_kept_for_an_hour_from_when_it_was_seen(tmp_path: Path) -> None:
    fleet = FleetSeen(int(NOW_S), {"fleet": "f", "peers": []})
    keep(tmp_path, replace(SEEN, fleet=fleet), NOW_S)
    keep(tmp_path, SEEN, NOW_S + 3000)
    assert last_seen(tmp_path, NOW_S + 3599) == replace(SEEN, fleet=fleet)
    assert last_seen(tmp_path, NOW_S + 3600) == SEEN


FOREIGN = {**asdict(SEEN), "seen_s": NOW_S, "fleet": {"seen_s": NOW_S, "told": 7}}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, json.dumps({"seen_s": "x"}), json.dumps(FOREIGN)]
)
def test_a_file_that_says_nothing_offers_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "last-seen.json").write_text(text)
    assert last_seen(tmp_path, NOW_S) == LastSeen()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keep(tmp_path / "file" / "cache", SEEN, NOW_S)
    assert last_seen(tmp_path / "file" / "cache", NOW_S) == LastSeen()


def test_listing_models_teaches_tab_their_names(
    cortex: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cortex("models", "--engine", "fake")
    assert last_seen(tmp_path / "cortex", time.time()).models == ("fake",)
