"""`cortex chat` with a person at it: what is drawn, what ctrl-c stops, how the terminal is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OpenTerminal = Callable[..., Any]
WriteScript = Callable[..., tuple[str, ...]]

CTRL_C = "\x03"
CTRL_D = "\x04"
ERASED = "\r\x1b[K"
SLOWLY = ("--fake-token-interval-ms", "25")
# At that pace it would take a minute: whoever sees its end has not stopped it.
LONG_REPLY = "It begins here. " + "and on " * 400 + "THE END"


def test_one_answer_is_followed_by_its_figures(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("It is 12.40."), "How much?")
    assert terminal.wait_for_end() == 0
    assert "It is 12.40.\r\nprivate   ttft " in terminal.shown
    assert "12 out" in terminal.shown


def test_what_was_waited_for_is_wiped_before_the_answer(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("Here."), "hello")
    assert terminal.wait_for_end() == 0
    waiting, _, rest = terminal.shown.rpartition(ERASED)
    assert "preparing" in waiting
    assert rest.startswith("Here.")


def test_figures_do_not_mix_with_a_piped_answer(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("Here."), "hello", piped_stdout=True)
    assert terminal.wait_for_end() == 0
    assert terminal.process.stdout.read() == b"Here.\n"
    assert "ttft" in terminal.shown


def test_escape_sequences_in_an_answer_do_not_reach_the_terminal(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("a\x1b]0;owned\x07b\x9b2Jc"), "hello")
    assert terminal.wait_for_end() == 0
    assert "a]0;ownedb2Jc" in terminal.shown


def test_ctrl_c_stops_the_answer_keeps_what_came_and_leaves_the_terminal_as_it_was(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies(LONG_REPLY), *SLOWLY, "tell me everything")
    terminal.wait_for("It begins here.")
    terminal.press(CTRL_C)
    assert terminal.wait_for_end() == 130
    assert "stopped" in terminal.shown
    assert "THE END" not in terminal.shown
    assert "Traceback" not in terminal.shown
    assert terminal.is_as_found()


def test_ctrl_c_before_the_first_token_ends_at_once(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("late"), "--fake-token-interval-ms", "50000", "hi")
    terminal.wait_for("preparing")
    terminal.press(CTRL_C)
    assert terminal.wait_for_end() == 130
    assert "late" not in terminal.shown
    # Nor from a process that was started for it and was still importing.
    assert "Traceback" not in terminal.shown


def test_a_conversation_remembers_its_turns_and_ends_at_ctrl_d(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("first reply", "second reply"))
    terminal.wait_for("> ")
    terminal.press("one\n")
    terminal.wait_for("first reply\r\n")
    terminal.wait_for("> ")
    terminal.press("two\n")
    terminal.wait_for("second reply\r\n")
    terminal.wait_for("> ")
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert terminal.is_as_found()


def test_lines_that_are_pasted_are_one_prompt(
    at_terminal: OpenTerminal, replies: WriteScript, tmp_path: Path
) -> None:
    terminal = at_terminal("chat", *replies("first reply", "second reply"))
    # What asks a terminal to mark where a paste begins and ends, as readline understands it then.
    terminal.wait_for("\x1b[?2004h")
    terminal.wait_for("> ")
    terminal.press("\x1b[200~one\ntwo\nthree\x1b[201~\n")
    terminal.wait_for("first reply\r\n")
    terminal.wait_for("> ")
    terminal.press(f"/save {tmp_path / 'said'}\n")
    terminal.wait_for("1 turn in ")
    terminal.wait_for("> ")
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert "one\ntwo\nthree\n" in (tmp_path / "said").read_text()
    _, _, left = terminal.shown.rpartition("\x1b[?2004h")
    assert "\x1b[?2004l" in left


@pytest.mark.parametrize("locale", ["C", "xx_XX.UTF-8"])
def test_every_letter_can_be_typed_where_the_locale_is_plain_or_missing(
    at_terminal: OpenTerminal,
    replies: WriteScript,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    locale: str,
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    terminal = at_terminal("chat", *replies("first reply"))
    terminal.wait_for("> ")
    terminal.press("gr\u00fc\u00df\x7f\u00dfe \u65e5\u672c\n")
    terminal.wait_for("first reply\r\n")
    terminal.wait_for("> ")
    terminal.press(f"/save {tmp_path / 'said'}\n")
    terminal.wait_for("1 turn in ")
    terminal.press("/quit\n")
    assert terminal.wait_for_end() == 0
    assert "gr\u00fc\u00dfe \u65e5\u672c\n" in (tmp_path / "said").read_text(encoding="utf-8")


@pytest.mark.parametrize("piped_stdout", [False, True])
def test_bytes_that_are_no_text_are_told_of_and_the_conversation_goes_on(
    at_terminal: OpenTerminal,
    replies: WriteScript,
    monkeypatch: pytest.MonkeyPatch,
    piped_stdout: bool,
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    terminal = at_terminal("chat", *replies("first reply"), piped_stdout=piped_stdout)
    terminal.wait_for("> ")
    for line in ("gr\udcfc\udcdfe\n", "/system gr\udcfc\udcdfe\n"):
        terminal.press(line)
        terminal.wait_for("is not valid UTF-8.")
        terminal.wait_for("> ")
    terminal.press("one\n")
    terminal.wait_for("> ")
    terminal.press("/stats\n")
    terminal.wait_for("1 answer")
    terminal.press("/quit\n")
    assert terminal.wait_for_end() == 0


def test_ctrl_c_in_a_conversation_stops_the_answer_and_not_the_conversation(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies(LONG_REPLY, "short reply"), *SLOWLY)
    terminal.wait_for("> ")
    terminal.press("one\n")
    terminal.wait_for("It begins here.")
    terminal.press(CTRL_C)
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.press("two\n")
    # The second reply is played where one answer, if only a part of it, was kept.
    terminal.wait_for("short reply")
    terminal.wait_for("> ")
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0


def test_what_is_typed_while_an_answer_comes_is_neither_shown_nor_asked(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies(LONG_REPLY, "short reply"), *SLOWLY)
    terminal.wait_for("> ")
    terminal.press("one\n")
    terminal.wait_for("It begins here.")
    terminal.press("meanwhile\nand more")
    terminal.wait_for("and on and on")
    terminal.press(CTRL_C)
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.wait_for_quiet()
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert "meanwhile" not in terminal.shown and "and more" not in terminal.shown
    assert "short reply" not in terminal.shown
    assert terminal.is_as_found()


def test_what_is_typed_while_the_only_answer_comes_is_left_for_the_shell(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("It begins here and goes on and on."), *SLOWLY, "go on")
    terminal.wait_for("It begins")
    terminal.press("ls\n")
    assert terminal.wait_for_end() == 0
    assert "ls" not in terminal.shown
    assert terminal.is_as_found()
    assert terminal.unread() == b"ls\n"


def test_ctrl_c_clears_a_line_and_at_an_empty_prompt_leaves(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("a reply"))
    terminal.wait_for("> ")
    terminal.press("half a quest")
    terminal.wait_for("half a quest")
    terminal.wait_for_quiet()
    terminal.press(CTRL_C)
    terminal.wait_for("> ")
    terminal.wait_for_quiet()
    terminal.press(CTRL_C)
    assert terminal.wait_for_end() == 0
    assert "a reply" not in terminal.shown


def test_a_picture_is_attached_to_the_next_prompt_alone(
    at_terminal: OpenTerminal, replies: WriteScript, picture: Path
) -> None:
    terminal = at_terminal("chat", *replies("seen", "no picture here"))
    terminal.wait_for("> ")
    terminal.press("/image nothing.png\n")
    terminal.wait_for("no picture at nothing.png.")
    terminal.wait_for("> ")
    terminal.press(f"/image {picture}\n")
    terminal.wait_for(f"{picture.name} goes with the next prompt.")
    terminal.wait_for("> ")
    terminal.press("what is it?\n")
    terminal.wait_for(f"image   {picture.name}  256x256 -> 66 tokens")
    terminal.wait_for("seen")
    terminal.wait_for("> ")
    terminal.press("and now?\n")
    terminal.wait_for("no picture here")
    terminal.wait_for("> ")
    assert terminal.shown.count("image   ") == 1
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0


def test_an_unknown_slash_command_is_named_and_help_lists_the_others(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("a reply"))
    terminal.wait_for("> ")
    terminal.press("/imgae x\n")
    terminal.wait_for("no command /imgae")
    terminal.wait_for("> ")
    terminal.press("/help\n")
    terminal.wait_for("/image FILE")
    terminal.wait_for("> ")
    terminal.press(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert "a reply" not in terminal.shown


MARKED = "# Total\n\nIt is **12.40**."


def test_an_answer_with_marks_is_rendered_once_it_is_whole(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies(MARKED), "How much?")
    assert terminal.wait_for_end() == 0
    streamed, _, anew = terminal.shown.partition("\r\x1b[2A\x1b[J")
    assert "**12.40**." in streamed
    assert "\x1b[1m12.40\x1b[0m" in anew and "**" not in anew


def test_raw_is_never_rendered(at_terminal: OpenTerminal, replies: WriteScript) -> None:
    terminal = at_terminal("chat", *replies(MARKED), "--raw", "How much?")
    assert terminal.wait_for_end() == 0
    assert terminal.shown.endswith("**12.40**.")


def test_an_attached_picture_is_drawn_unless_that_is_off(
    at_terminal: OpenTerminal, replies: WriteScript, picture: Path
) -> None:
    for options, is_drawn in (((), True), (("--show-image", "off"), False)):
        terminal = at_terminal("chat", *replies("seen"), *options)
        terminal.wait_for("> ")
        terminal.press(f"/image {picture}\n")
        terminal.wait_for("goes with the next prompt.")
        assert ("▀" in terminal.shown) is is_drawn
        terminal.press("/quit\n")
        assert terminal.wait_for_end() == 0


def test_a_picture_of_a_single_question_is_drawn_where_that_is_wished(
    at_terminal: OpenTerminal, replies: WriteScript, picture: Path
) -> None:
    for options, is_drawn in ((("--show-image", "blocks"), True), ((), False)):
        terminal = at_terminal("chat", *replies("seen"), "-i", str(picture), *options, "what?")
        assert terminal.wait_for_end() == 0
        assert ("▀" in terminal.shown) is is_drawn


def test_colours_are_left_out_where_they_are_not_wanted(
    at_terminal: OpenTerminal, replies: WriteScript, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    terminal = at_terminal(
        "chat", *replies("`a` is **b**"), "-i", str(picture), "--show-image", "blocks", "what?"
    )
    assert terminal.wait_for_end() == 0
    assert "▀" not in terminal.shown
    assert "\x1b[1mb\x1b[0m" in terminal.shown and "\x1b[36" not in terminal.shown


def test_alt_enter_begins_a_line_and_the_tabulator_completes(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("first", "second"))
    terminal.wait_for("> ")
    terminal.press("/sta\t")
    terminal.wait_for("/stats ")
    terminal.press("\n")
    terminal.wait_for("nothing was answered yet.")
    terminal.wait_for("> ")
    terminal.press("one\x1b\rtwo\n")
    terminal.wait_for("first")
    terminal.wait_for("> ")
    terminal.press("/save said.md\n")
    terminal.wait_for("1 turn in said.md")
    terminal.press("/quit\n")
    assert terminal.wait_for_end() == 0


def test_a_dumb_terminal_is_sent_no_cursor_movements(
    at_terminal: OpenTerminal, replies: WriteScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = at_terminal("chat", *replies("Here."), "hello")
    assert terminal.wait_for_end() == 0
    assert "\x1b" not in terminal.shown
    assert "Here." in terminal.shown


def test_time_that_is_up_at_the_prompt_is_told_and_exits_6(
    at_terminal: OpenTerminal, replies: WriteScript
) -> None:
    terminal = at_terminal("chat", *replies("Here."), "--timeout", "2s")
    assert terminal.wait_for_end() == 6
    assert "not done within 2 s." in terminal.shown
