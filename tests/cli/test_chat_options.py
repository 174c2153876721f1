"""What the options become that are about talking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cortex.cli import talker
from cortex.cli.config import read_environment
from cortex.cli.main import run
from cortex.peer.talk.conversation import Conversation


@pytest.fixture
def conversation_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The conversation that a command line would begin."""

    def begin(*options: str) -> Conversation:
        begun: list[Conversation] = []

        def note(*arguments: Any, **_: Any) -> None:
            begun.append(arguments[4])

        monkeypatch.setattr(talker, "answer_once_or_converse", note)
        assert run(["chat", *options, "hello"], read_environment({"HOME": str(tmp_path)})) == 0
        return begun[0]

    return begin


@pytest.mark.parametrize(
    ("options", "wish", "value"),
    [
        (("--model", "tiny-1b"), "model", "tiny-1b"),
        (("--system", "Be brief."), "system", "Be brief."),
        (("--max-tokens", "7"), "max_tokens", 7),
        (("--temperature", "0.5"), "temperature", 0.5),
    ],
)
def test_what_is_typed_is_a_wish_and_what_is_not_is_none(
    conversation_of: Any, options: tuple[str, ...], wish: str, value: object
) -> None:
    assert getattr(conversation_of(*options).wishes, wish) == value
    assert getattr(conversation_of().wishes, wish) is None


@pytest.mark.parametrize("temperature", ["-1", "2.1", "nan", "inf", "warm"])
def test_a_temperature_that_cannot_be_is_refused_before_anybody_is_asked(
    temperature: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invocation = read_environment({"HOME": str(tmp_path)})
    assert run(["chat", "--temperature", temperature, "hello"], invocation) == 2
    told = f"error: --temperature is a number from 0 to 2, not {temperature!r}.\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("command", [("chat", "--peer"), ("status", "--peer"), ("status",)])
@pytest.mark.parametrize("peer", ["a:99999", "a b:1", "", "a:notaport", "http://"])
def test_what_is_no_address_of_a_peer_is_a_wrong_option(
    command: tuple[str, ...], peer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invocation = read_environment({"HOME": str(tmp_path)})
    assert run([*command, peer], invocation) == 2
    assert capsys.readouterr().err.startswith(f"error: {peer!r} is no address of a peer.\n")


def test_https_is_refused_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invocation = read_environment({"HOME": str(tmp_path)})
    assert run(["chat", "--peer", "https://llm.example.com", "hello"], invocation) == 2
    told = capsys.readouterr().err
    assert "https, which is not spoken here" in told and "HOST:PORT of the peer itself" in told


def test_hide_reasoning_is_how_answers_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hidden: list[bool] = []

    def note(*_: Any, manner: talker.Manner, **__: Any) -> None:
        hidden.append(manner.hides_reasoning)

    monkeypatch.setattr(talker, "answer_once_or_converse", note)
    for options in (("--hide-reasoning",), ()):
        run(["chat", *options, "hello"], read_environment({"HOME": str(tmp_path)}))
    assert hidden == [True, False]


def test_no_think_asks_for_no_reasoning(conversation_of: Any) -> None:
    for options, effort in ((("--no-think",), "none"), ((), None)):
        request = conversation_of(*options).ask("hello", model="m", seed=1, now_s=2)
        assert request.reasoning.effort == effort


def test_a_seed_is_that_of_every_answer(conversation_of: Any) -> None:
    assert conversation_of("--seed", "7").ask("hi", model="m", seed=1, now_s=2).seed == 7
