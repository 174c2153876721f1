"""`cortex chat` among other programs: what is read, which stream says what, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex.peer.release import install_engine

Cortex = Callable[..., Any]
WriteScript = Callable[..., tuple[str, ...]]

COMMAND = (sys.executable, "-m", "cortex.cli")
SLOWLY = ("--fake-token-interval-ms", "25")


def test_the_answer_is_all_there_is_on_standard_output(
    cortex_here: Cortex, replies: WriteScript
) -> None:
    done = cortex_here("chat", *replies("It is 12.40."), "How much?")
    assert (done.code, done.stdout, done.stderr) == (0, "It is 12.40.\n", "")


def test_modules_in_the_folder_that_it_is_typed_in_are_none_of_its_business(
    cortex_here: Cortex, replies: WriteScript, tmp_path: Path
) -> None:
    for name in ("msgpack", "tokenizers", "queue"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not yours')")
    (tmp_path / "cortex" / "engine").mkdir(parents=True)
    done = cortex_here("chat", *replies("It is 12.40."), "How much?")
    assert (done.code, done.stdout, done.stderr) == (0, "It is 12.40.\n", "")


def test_raw_adds_nothing_to_the_answer(
    cortex_here: Cortex, replies: WriteScript, picture: Path
) -> None:
    done = cortex_here("chat", *replies("It is 12.40."), "--raw", "-i", str(picture), "How much?")
    assert (done.code, done.stdout, done.stderr) == (0, "It is 12.40.", "")


def test_pictures_are_told_of_on_standard_error(
    cortex_here: Cortex, replies: WriteScript, picture: Path
) -> None:
    tall = picture.with_name("tall_58x190.png")
    done = cortex_here("chat", *replies("Two."), "-i", str(picture), "-i", str(tall), "How many?")
    assert done.stdout == "Two.\n"
    assert done.stderr == (
        "image   square_96.png  256x256 -> 66 tokens\n"
        "image   tall_58x190.png  160x480 -> 77 tokens\n"
    )


def test_json_is_one_object_with_every_field(
    cortex_here: Cortex, replies: WriteScript, picture: Path
) -> None:
    done = cortex_here(
        "chat", *replies("Es kostet 3 €."), "--json", "-i", str(picture), "Wie viel?"
    )
    told = json.loads(done.stdout)
    assert told.pop("ttft_s") > 0
    del told["tokens_per_s"]
    assert told.pop("prompt_tokens") > 64
    assert told == {
        "schema": 1,
        "model": "fake",
        "reasoning": "",
        "reasoning_tokens": 0,
        "answer": "Es kostet 3 €.",
        "finish_reason": "stop",
        "completion_tokens": len("Es kostet 3 €.".encode()),
        "peer": "private",
        "images": [{"name": "square_96.png", "width": 256, "height": 256, "tokens": 66}],
    }


def test_a_cut_answer_says_so(cortex_here: Cortex, replies: WriteScript) -> None:
    done = cortex_here("chat", *replies("abcdef"), "--json", "--max-tokens", "3", "go")
    told = json.loads(done.stdout)
    assert (told["answer"], told["finish_reason"]) == ("abc", "length")


def test_the_same_prompt_has_the_same_answer_and_piped_text_changes_it(cortex_here: Cortex) -> None:
    ask = ("chat", "--engine", "fake", "--max-tokens", "40", "hello")
    first, again, other = (
        cortex_here(*ask),
        cortex_here(*ask, stdin=b""),
        cortex_here(*ask, stdin=b"there"),
    )
    assert first.stdout == again.stdout != other.stdout


def test_an_option_may_come_from_the_environment(
    cortex_here: Cortex, replies: WriteScript, monkeypatch: Any
) -> None:
    monkeypatch.setenv("CORTEX_MAX_TOKENS", "2")
    assert cortex_here("chat", *replies("abcdef"), "go").stdout == "ab\n"


def test_a_file_is_put_after_the_prompt(cortex_here: Cortex, tmp_path: Path) -> None:
    (tmp_path / "sums.csv").write_text("net,9\n")
    ask = ("chat", "--engine", "fake", "--max-tokens", "20", "--json")
    bare, filed = cortex_here(*ask, "add"), cortex_here(*ask, "--file", "sums.csv", "add")
    typed = cortex_here(*ask, "add\n\nsums.csv:\n\nnet,9")
    piped = cortex_here(*ask, "--file", "sums.csv", "-", stdin=b"add\n")
    told = [json.loads(done.stdout) for done in (bare, filed, typed, piped)]
    assert told[1]["answer"] == told[2]["answer"] == told[3]["answer"] != told[0]["answer"]
    assert told[1]["prompt_tokens"] == told[2]["prompt_tokens"] == told[3]["prompt_tokens"]


def test_a_file_that_is_no_text_or_not_there_is_refused(cortex_here: Cortex, picture: Path) -> None:
    done = cortex_here("chat", "--engine", "fake", "--file", str(picture), "add")
    assert done.code == 2
    assert "not UTF-8 text" in done.stderr and "--image" in done.stderr
    for name in ("sums.csv", "~nobody-of-that-name/sums.csv"):
        assert f"cannot read {name}" in cortex_here("chat", "--file", name, "add").stderr


def test_no_prompt_no_pipe_and_no_terminal_is_an_error_at_once(cortex_here: Cortex) -> None:
    done = cortex_here("chat", "--engine", "fake")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: nothing to ask: no prompt, no pipe, no terminal.\nhint: ")


def test_a_missing_picture_is_an_error_before_anything_is_started(cortex_here: Cortex) -> None:
    done = cortex_here("chat", "--engine", "fake", "-i", "receipt.png", "How much?")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "error: no picture at receipt.png.\n"


def test_a_second_picture_is_not_taken_for_the_prompt(
    cortex_here: Cortex, tmp_path: Path, picture: Path
) -> None:
    """As a shell makes it of `--image *.png`."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture.read_bytes())
    done = cortex_here("chat", "--engine", "fake", "--image", "a.png", "b.png")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: b.png is a picture, not a prompt.\n"
        "hint: name --image once for each file: --image a.png --image b.png\n"
    )


def test_what_a_question_about_a_picture_takes_from_a_pipe_is_said_to_scripts_too(
    cortex: Cortex, picture: Path
) -> None:
    asked = ("chat", "--engine", "fake", "--max-tokens", "1", "--image", str(picture))
    taken = cortex(*asked, "What is the total?", stdin=b"second.png\n")
    meant = cortex(*asked, stdin=b"What is the total?\n")
    assert (taken.code, meant.code) == (0, 0)
    assert "standard input" not in meant.stderr
    assert taken.stderr.startswith("10 characters of standard input stand behind the prompt")


def test_a_file_that_is_no_picture_is_refused_by_its_name_before_anything_is_started(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    (tmp_path / "letter.png").write_text("Dear reader,")
    done = cortex_here("chat", "--engine", "fake", "-i", "letter.png", "How much?")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: letter.png is no picture.\nhint: ")


def test_a_file_that_only_begins_as_a_picture_is_refused_by_the_engine_that_opens_it(
    cortex_here: Cortex, tmp_path: Path
) -> None:
    (tmp_path / "letter.png").write_bytes(b"\x89PNG\r\n\x1a\nDear reader,")
    done = cortex_here("chat", "--engine", "fake", "-i", "letter.png", "How much?")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "picture" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_may_come_through_the_pipe(
    cortex_here: Cortex, replies: WriteScript, picture: Path
) -> None:
    done = cortex_here("chat", *replies("Seen."), "-i", "-", "What?", stdin=picture.read_bytes())
    assert (done.code, done.stdout) == (0, "Seen.\n")
    assert "image   standard input  256x256 -> 66 tokens" in done.stderr


def test_an_unknown_model_is_named_with_the_nearest_one(cortex_here: Cortex) -> None:
    done = cortex_here("chat", "--engine", "fake", "-m", "fakee", "hello")
    assert done.code == 5
    assert "fakee" in done.stderr
    assert "hint: did you mean fake?" in done.stderr


def test_no_peer_at_a_named_address_is_an_error_of_its_own(cortex_here: Cortex) -> None:
    # Port 1 is nobody's: nothing can listen there without being root, and nothing does.
    done = cortex_here("chat", "--peer", "127.0.0.1:1", "hello")
    assert done.code == 3
    assert done.stderr.startswith("error: no peer answers at 127.0.0.1:1 (Connection refused)")


def test_without_torch_chat_says_what_to_install_before_any_process_is_started(
    cortex: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hides torch from this command and from any process that it starts.
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(hiding), prepend=os.pathsep)
    done = cortex("chat", "hello")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no torch here to compute with.\nhint: ")
    assert f"{install_engine()}; or ask another peer" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_bytes_that_are_no_text_are_refused_as_a_prompt(cortex: Cortex) -> None:
    for done in (
        cortex("chat", "--engine", "fake", b"caf\xe9"),
        cortex("chat", "--engine", "fake", stdin=b"\x89PNG\r\n\x1a\n"),
    ):
        assert done.code == 2
        assert "UTF-8" in done.stderr


def test_a_reader_that_leaves_ends_the_command_quietly(replies: WriteScript) -> None:
    command = [*COMMAND, "chat", *replies("word " * 2000), "talk"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_a_full_disk_is_said_plainly(replies: WriteScript) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "chat", *replies("a reply"), "talk"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("error: cannot write to standard output: No space left")


def test_an_interrupted_answer_keeps_what_came_and_exits_130(replies: WriteScript) -> None:
    command = [*COMMAND, "chat", *replies("It begins. " + "x" * 4000), *SLOWLY, "talk"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        came = process.stdout.read(len("It begins."))
        process.send_signal(signal.SIGINT)
        came += process.stdout.read()
        assert process.wait(30) == 130
        assert came.startswith(b"It begins.")
        assert came.endswith(b"\n")
        assert process.stderr.read() == b""
