"""Where a prompt comes from, one combination of argument, pipe and terminal after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortex.cli.errors import UsageProblem
from cortex.cli.question import (
    MAX_PROMPT_BYTES,
    Stdin,
    checked_text,
    find_prompt,
    look_at,
    read_text,
)

Pipe = Callable[[bytes], Stdin]


def find(
    argument: str | None, stdin: Stdin | None, *, stdin_is_picture: bool = False
) -> str | None:
    said: list[str] = []
    prompt = find_prompt(
        argument,
        stdin,
        stdin_is_picture=stdin_is_picture,
        is_about_files=False,
        notice=said.append,
    )
    assert not said
    return prompt


@pytest.fixture
def pipe(tmp_path: Path) -> Generator[Pipe]:
    """Standard input as a shell's `<` makes it."""
    with ExitStack() as stack:

        def make(data: bytes) -> Stdin:
            path = tmp_path / "input"
            path.write_bytes(data)
            stdin = look_at(stack.enter_context(path.open("rb")))
            assert stdin is not None
            return stdin

        yield make


@pytest.fixture
def nothing() -> Generator[Stdin]:
    with open(os.devnull, "rb") as stream:
        stdin = look_at(stream)
        assert stdin is not None
        yield stdin


@pytest.fixture
def terminal(nothing: Stdin) -> Stdin:
    return Stdin(nothing.stream, is_terminal=True, is_pipe=False)


def test_a_pipe_is_put_after_the_argument(pipe: Pipe) -> None:
    assert find("summarise", pipe(b"a report\n")) == "summarise\n\na report"


def test_a_pipe_on_top_of_a_question_about_files_is_told_of(pipe: Pipe, nothing: Stdin) -> None:
    """In a loop over a list of files, standard input is the rest of that list."""
    said: list[str] = []

    def about_files(stdin: Stdin) -> str | None:
        return find_prompt(
            "the total?", stdin, stdin_is_picture=False, is_about_files=True, notice=said.append
        )

    assert about_files(nothing) == about_files(pipe(b"")) == "the total?"
    assert not said
    assert about_files(pipe(b"b.png\nc.png\n")) == "the total?\n\nb.png\nc.png"
    assert said == [
        "11 characters of standard input stand behind the prompt (to ask without it: < /dev/null)"
    ]


def test_a_pipe_alone_is_the_prompt(pipe: Pipe) -> None:
    assert find(None, pipe("wie geht es, Jürgen?\r\n".encode())) == "wie geht es, Jürgen?"


def test_a_dash_reads_the_prompt_from_wherever_standard_input_comes(
    pipe: Pipe, terminal: Stdin
) -> None:
    assert find("-", pipe(b"hello")) == "hello"
    with pytest.raises(UsageProblem, match="empty"):
        find("-", terminal)  # which here ends at once


def test_an_empty_pipe_adds_nothing(pipe: Pipe) -> None:
    assert find("hello", pipe(b"")) == "hello"


def test_nothing_at_all_is_refused(nothing: Stdin) -> None:
    for stdin in (nothing, None):
        with pytest.raises(UsageProblem, match="no prompt, no pipe, no terminal"):
            find(None, stdin)


def test_nothing_but_a_terminal_means_a_conversation(terminal: Stdin) -> None:
    assert find(None, terminal) is None


def test_a_terminal_is_not_read_when_there_is_a_prompt(terminal: Stdin) -> None:
    assert find("hello", terminal) == "hello"


def test_a_closed_standard_input_is_no_pipe(nothing: Stdin) -> None:
    assert look_at(None) is None
    assert not nothing.is_pipe
    assert find("hello", None) == "hello"


def test_a_pipe_that_holds_a_picture_is_left_alone(pipe: Pipe) -> None:
    stdin = pipe(b"\x89PNG")
    assert find("what is it?", stdin, stdin_is_picture=True) == "what is it?"
    assert stdin.stream.read() == b"\x89PNG"
    with pytest.raises(UsageProblem, match="cannot be the prompt"):
        find("-", stdin, stdin_is_picture=True)


@pytest.mark.parametrize("argument", ["", " \n"])
def test_an_empty_prompt_is_refused(argument: str, nothing: Stdin) -> None:
    with pytest.raises(UsageProblem, match="empty"):
        find(argument, nothing)


def test_a_pipe_that_is_no_text_is_refused_with_the_way_to_send_a_picture(pipe: Pipe) -> None:
    with pytest.raises(UsageProblem, match="UTF-8") as caught:
        find(None, pipe(b"\x89PNG\r\n"))
    assert "--image -" in caught.value.hint


def test_a_pipe_without_an_end_is_not_read_for_ever(pipe: Pipe) -> None:
    with pytest.raises(UsageProblem, match="over 16 MiB"):
        find(None, pipe(b"a" * (MAX_PROMPT_BYTES + 1)))


def test_a_silent_pipe_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortex.cli.question._PATIENCE_S", 0.0)
    read_end, write_end = os.pipe()
    said: list[str] = []

    def notice(text: str) -> None:
        said.append(text)
        os.write(write_end, b"at last")
        os.close(write_end)

    with open(read_end, "rb") as stream:
        prompt = find_prompt(
            None, look_at(stream), stdin_is_picture=False, is_about_files=False, notice=notice
        )
    assert prompt == "at last"
    assert "waiting for standard input" in said[0]


def test_characters_that_spell_nothing_are_refused_by_name() -> None:
    with pytest.raises(UsageProblem, match="--system is not valid UTF-8"):
        checked_text("caf\udce9", "--system")


def test_a_file_whose_name_is_no_text_is_told_by_what_of_it_is(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")
    Path(name).write_text("nine", encoding="utf-8")
    assert checked_text(read_text(name)) == f"{tmp_path}/caf?.txt:\n\nnine"
