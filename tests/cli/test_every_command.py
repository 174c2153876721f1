"""What holds for all commands: examples, JSON, the options of all, exit codes, pipes that close."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from cortex.cli import diagnostics
from cortex.cli.command_table import SECTIONS
from cortex.cli.confirming import must_confirm
from cortex.cli.errors import UsageProblem
from cortex.cli.main import app

Cortex = Callable[..., Any]
COMMAND = (sys.executable, "-m", "cortex.cli")
TIMEOUT_S = 30.0
# Nothing to read comes of these but the words themselves, or a screen.
WITHOUT_JSON = (
    *("peer", "gateway", "tui", "launch", "join", "leave", "completion", "config", "service"),
    *("service install", "service remove"),
)


def all_commands() -> Iterator[tuple[str, Any]]:
    """Each by what is typed for it, those below groups as well."""
    table = cast(Any, typer.main.get_command(app)).commands
    for name in (name for names in SECTIONS.values() for name in names):
        yield name, table[name]
        for below, command in getattr(table[name], "commands", {}).items():
            yield f"{name} {below}", command


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does_and_then_shows_examples(name: str) -> None:
    what, _, rest = str(COMMANDS[name].help).partition("\n\n")
    assert what.endswith((".", ":")), "the first paragraph is a sentence"
    assert COMMANDS[name].short_help == " ".join(what.split()), "lists hold it whole"
    assert rest.startswith("\b\n"), "examples come second"
    examples = rest.partition("\n\n")[0].splitlines()[1:]
    assert any(f"cortex {name}" in example for example in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_options_of_all(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--quiet", "-q", "--verbose", "-v", "--no-color"} <= options
    assert ("--json" in options) == (name not in WITHOUT_JSON)
    assert not {"-h", "--help"} & options, "these are typer's"


# One for each code. What is 6 needs somebody who never answers: below; what is 4, a peer that
# wants keys: test_refused_keys.
@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (diagnostics.DONE, ("models", "--engine", "fake")),
        (diagnostics.FAILED, ("service", "status")),
        (diagnostics.USAGE, ("models", "rm", "fake", "--never")),
        (diagnostics.NO_PEER, ("status",)),
        (diagnostics.NO_MODEL, ("models", "show", "nobody", "--engine", "fake")),
    ],
)
def test_exit_codes_tell_a_script_what_happened(
    cortex: Cortex, code: int, arguments: tuple[str, ...]
) -> None:
    done = cortex(*arguments)
    assert done.code == code
    assert done.stderr.startswith("error: ") or code == 0
    assert "Traceback" not in done.stderr


@pytest.fixture
def silent() -> Iterator[str]:
    """Where somebody listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_command_out_of_time_exits_6(cortex: Cortex, silent: str) -> None:
    began_s = time.monotonic()
    done = cortex("status", silent, "--timeout", "500ms")
    assert (done.code, done.stdout) == (diagnostics.TIMED_OUT, "")
    assert done.stderr == "error: not done within 0.5 s.\nhint: give it more: --timeout\n"
    assert time.monotonic() - began_s < TIMEOUT_S / 2


def test_an_answer_out_of_time_keeps_what_came(cortex: Cortex) -> None:
    engine = ("--engine", "fake", "--fake-token-interval-ms", "200")
    done = cortex("chat", "--raw", *engine, "--timeout", "6s", "hi")
    assert done.code == diagnostics.TIMED_OUT
    assert done.stdout


def test_a_time_that_is_none_is_refused(cortex: Cortex) -> None:
    done = cortex("status", "--timeout", "soon")
    assert done.code == diagnostics.USAGE
    assert "'soon' is not a time" in done.stderr


def test_every_code_has_a_meaning_and_no_error_has_another() -> None:
    codes = {code for _, code in diagnostics.EXIT_CODES}
    assert codes | {0, 1, 130} == set(diagnostics.MEANINGS)


def test_ctrl_c_exits_130(silent: str, tmp_path: Path) -> None:
    command = [*COMMAND, "status", "--watch", silent]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        time.sleep(0.5)  # it waits for the silent one: there is nothing to hear of that
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode in (diagnostics.INTERRUPTED, -signal.SIGINT)


def test_quiet_leaves_errors_and_nothing_else(cortex: Cortex) -> None:
    question = ("chat", "--engine", "fake", "--max-tokens", "3", "hi")
    loud, quiet = cortex(*question, "-v"), cortex(*question, "-v", "-q")
    assert loud.stderr
    assert (quiet.code, quiet.stdout, quiet.stderr) == (0, loud.stdout, "")
    assert cortex("status", "-q").stderr.startswith("error: no peer")


def test_no_colour_reaches_whoever_draws(cortex: Cortex) -> None:
    program = "import os, sys; from cortex.cli import main; from cortex.cli.config import *;"
    program += "i = this_invocation(); main.run(['models', '--engine', 'fake', '--no-color'], i);"
    program += "print(i.colour_wish, os.environ['NO_COLOR'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False 1"


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("chat", "--help"), ("models", "--engine", "fake"), ("config", "show")],
)
def test_a_reader_that_goes_early_is_no_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=writes, stderr=subprocess.PIPE, timeout=TIMEOUT_S
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_was_found_is_told_by_the_exit_code_whoever_reads_no_more(
    checkout: Path, tmp_path: Path
) -> None:
    """`cortex doctor | head`, where a shell looks at all exit codes of a pipe."""
    wrong = tmp_path / "chat"
    shutil.copytree(checkout / "tests" / "golden" / "chat", wrong)
    cases = wrong / "tokenizer_cases.json"
    told = json.loads(cases.read_text())
    told["cases"][-1]["ids"][0] += 1
    cases.write_text(json.dumps(told))
    unread = tmp_path / "open.key"
    unread.write_text("no key")
    unread.chmod(0o666)
    reads, writes = os.pipe()
    os.close(reads)
    for arguments in (
        ("verify", str(wrong)),
        ("verify", str(wrong), "--json"),
        ("doctor", "--no-mdns", "--key-file", str(unread), "--state-dir", str(tmp_path)),
    ):
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=writes, stderr=subprocess.PIPE, timeout=TIMEOUT_S
        )
        assert (done.returncode, done.stderr) == (1, b""), arguments
    os.close(writes)


def test_that_nothing_is_placed_or_a_file_is_wrong_is_told_whoever_reads_no_more(
    tmp_path: Path,
) -> None:
    class Full(BaseHTTPRequestHandler):
        """A peer that has no place for any model."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"model": "m", "plan": null, "others": [], "refusals": []}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    wrong = tmp_path / "cortex.toml"
    wrong.write_text("[peer]\nlisen = 3\n")
    reads, writes = os.pipe()
    os.close(reads)
    with ThreadingHTTPServer(("127.0.0.1", 0), Full) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        try:
            for code, *arguments in (
                (5, "plan", "m", "--peer", address),
                (5, "plan", "m", "--json", "--peer", address),
                (2, "config", "validate", "--json", str(wrong)),
            ):
                done = subprocess.run(
                    [*COMMAND, *map(str, arguments)],
                    stdout=writes,
                    stderr=subprocess.PIPE,
                    timeout=TIMEOUT_S,
                )
                assert (done.returncode, done.stderr) == (code, b""), arguments
        finally:
            server.shutdown()
            os.close(writes)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("--version >&-", 1, "error: cannot write to standard output: it is closed."),
        ("--help >/dev/full", 1, "error: no space is left on a disk."),
        ("tui <&-", 2, "error: cortex tui needs a terminal"),
        ("nosuch 2>&-", 2, ""),
        ("nosuch 2>/dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full_are_no_bugs(
    typed: str, code: int, said: str, tmp_path: Path
) -> None:
    line = f'"$0" "$@" {typed}'
    done = subprocess.run(
        ["sh", "-c", line, *COMMAND], capture_output=True, timeout=TIMEOUT_S, cwd=tmp_path
    )
    assert (done.returncode, done.stderr.decode()[: len(said)]) == (code, said)
    assert b"bug" not in done.stderr


def test_nobody_is_asked_where_standard_input_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageProblem, match="nobody can be asked here: sure"):
        must_confirm("sure?", "--yes")
