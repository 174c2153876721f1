"""What is typed at the prompt and is not for the model."""

from __future__ import annotations

import io
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex.cli.chat_commands import NAMES, ChatCommands, Leave
from cortex.cli.diagnostics import Diagnostics
from cortex.cli.errors import UsageProblem
from cortex.cli.talker import find_model
from cortex.engine.errors import CortexError, ModelNotFound, Overloaded
from cortex.engine.types import ImagePart, TextPart
from cortex.peer.talk.conversation import Conversation, Wishes
from cortex.peer.types import ModelInfo

MODELS = tuple(ModelInfo(id, None, ("text",), 4096, 0) for id in ("qwen-4b", "qwen-27b", "nano"))


class Talk:
    model = "qwen-4b"

    def __init__(self) -> None:
        self.conversation = Conversation(Wishes())
        self.error: CortexError | None = None
        self.num_answers = 0

    def answer(self, prompt: str) -> object:
        request = self.conversation.ask(prompt, model=self.model, seed=1, now_s=2)
        if self.error is not None:
            raise self.error
        self.num_answers += 1
        self.conversation.keep(request, f"answer {self.num_answers}", "")
        return None

    def models(self) -> Sequence[ModelInfo]:
        return MODELS

    def switch(self, model: str) -> None:
        self.model = find_model(MODELS, model).id

    def stats(self) -> Sequence[str]:
        return ("2 answers",)


class Prompt:
    """Commands typed, and what they said."""

    def __init__(self) -> None:
        self.talk = Talk()
        self.drawn: list[str] = []
        self._screen = io.StringIO()
        self._commands = ChatCommands(
            self.talk,
            Diagnostics(self._screen, can_redraw=False),
            lambda path: ImagePart(b"bytes", path),
            lambda picture: self.drawn.append(picture.name),
        )

    def type(self, line: str) -> str:
        before = len(self._screen.getvalue())
        assert self._commands.obey(line)
        return self._screen.getvalue()[before:]

    def is_for_the_model(self, line: str) -> bool:
        return not self._commands.obey(line)


@pytest.fixture
def prompt() -> Prompt:
    return Prompt()


def test_what_is_no_command_is_for_the_model(prompt: Prompt) -> None:
    assert prompt.is_for_the_model("hello /help")
    assert prompt.is_for_the_model("/etc/hosts is what?")
    assert prompt.is_for_the_model("/usr is full, what now?")
    assert prompt.is_for_the_model(" /system is a folder")


def test_an_unknown_command_names_the_nearest(prompt: Prompt) -> None:
    assert prompt.type("/modle") == "there is no command /modle; did you mean /model?\n"
    assert prompt.type("/modle x").endswith("/model? With a space before it, it is asked.\n")
    assert "/help lists them" in prompt.type("/zzz")


def test_help_names_every_command(prompt: Prompt) -> None:
    told = prompt.type("/help")
    for name in NAMES:
        assert f"/{name}" in told
    assert prompt.type("/?") == told


def test_several_pictures_go_with_the_next_prompt_and_are_drawn(
    prompt: Prompt, tmp_path: Path
) -> None:
    spaced = tmp_path / "a b.png"
    spaced.write_bytes(b"bytes")
    prompt.type("/image one.png 'two three.png'")
    prompt.type(f"/image {spaced}")
    assert prompt.drawn == ["one.png", "two three.png", str(spaced)]
    assert prompt.type("/images").startswith("one.png  5 bytes\n")
    assert "no picture" in prompt.type("/images off")
    assert not prompt.talk.conversation.pictures


def test_no_picture_named_is_asked_for_and_none_is_read(prompt: Prompt) -> None:
    assert prompt.type("/image") == "which picture? /image FILE\n"
    assert not prompt.talk.conversation.pictures


def test_another_model_keeps_the_conversation_and_that_is_said(prompt: Prompt) -> None:
    prompt.talk.answer("one")
    assert prompt.type("/model nano") == (
        "nano answers from now on; it is told the 1 turn so far.\n"
    )
    assert len(prompt.talk.conversation.turns) == 2
    assert prompt.type("/model") == "nano answers; /models lists the others.\n"
    assert "qwen-27b" in prompt.type("/models")


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("qwen", "there are qwen-4b, qwen-27b"),
        ("nanoo", "did you mean nano?"),
        ("x", "all of them"),
    ],
)
def test_a_model_that_is_not_one_is_refused(prompt: Prompt, wanted: str, hint: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        prompt.type(f"/model {wanted}")
    assert hint in caught.value.hint
    assert prompt.talk.model == "qwen-4b"


def test_the_only_model_that_begins_so_is_meant(prompt: Prompt) -> None:
    prompt.type("/model na")
    assert prompt.talk.model == "nano"


def test_the_system_message_is_set_shown_and_taken_away(prompt: Prompt) -> None:
    assert prompt.type("/system Be brief.") == "system: Be brief.\n"
    assert prompt.talk.conversation.wishes.system == "Be brief."
    prompt.type("/system off")
    assert prompt.talk.conversation.wishes.system is None


def test_settings_are_wishes_of_every_turn_to_come(prompt: Prompt) -> None:
    for line in ("max-tokens 9", "temperature 0.5", "seed 7"):
        prompt.type(f"/set {line}")
    assert prompt.type("/set think off") == "think         off\n"
    request = prompt.talk.conversation.ask("hi", model="m", seed=1, now_s=2)
    assert (request.max_tokens, request.sampling.temperature, request.seed) == (9, 0.5, 7)
    assert request.reasoning.effort == "none"
    assert "max-tokens    9\n" in prompt.type("/set")
    prompt.type("/set seed default")
    assert prompt.talk.conversation.ask("hi", model="m", seed=1, now_s=2).seed == 1


@pytest.mark.parametrize(
    "line", ["seed x", "seed -1", "temperature nan", "max-tokens 0", "think perhaps", "seed"]
)
def test_a_value_that_cannot_be_is_refused_with_what_can(prompt: Prompt, line: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        prompt.type(f"/set {line}")
    assert "default leaves it to the model" in caught.value.hint
    assert prompt.talk.conversation.wishes == Wishes()


def test_an_unknown_setting_names_the_nearest(prompt: Prompt) -> None:
    with pytest.raises(UsageProblem) as caught:
        prompt.type("/set temprature 1")
    assert caught.value.hint == "did you mean temperature?"


def test_a_retry_asks_the_last_prompt_again_in_the_place_of_its_answer(prompt: Prompt) -> None:
    prompt.talk.conversation.pictures.append(ImagePart(b"bytes", "a.png"))
    prompt.talk.answer("one")
    asked = prompt.talk.conversation.turns[0]
    prompt.type("/retry")
    turns = prompt.talk.conversation.turns
    assert len(turns) == 2
    assert turns[0] == asked
    assert prompt.talk.num_answers == 2


def test_a_retry_that_fails_leaves_the_first_answer(prompt: Prompt) -> None:
    prompt.talk.answer("one")
    before = list(prompt.talk.conversation.turns)
    prompt.talk.error = Overloaded("full")
    with pytest.raises(Overloaded):
        prompt.type("/retry")
    assert prompt.talk.conversation.turns == before
    assert not prompt.talk.conversation.pictures


def test_a_retry_of_what_was_not_answered_asks_that_with_its_pictures(prompt: Prompt) -> None:
    prompt.talk.answer("one")
    prompt.talk.conversation.pictures.append(ImagePart(b"bytes", "a.png"))
    prompt.talk.error = Overloaded("full")
    with pytest.raises(Overloaded):
        prompt.talk.answer("two")
    with pytest.raises(Overloaded):
        prompt.type("/retry")
    prompt.talk.error = None
    prompt.type("/retry")
    one, _, two, _ = prompt.talk.conversation.turns
    assert one.content == (TextPart("one"),)
    assert two.content == (ImagePart(b"bytes", "a.png"), TextPart("two"))
    prompt.type("/retry")
    assert prompt.talk.conversation.turns[2] == two, "answered, it is a turn like any other"


def test_a_retry_that_failed_can_be_tried_again(prompt: Prompt) -> None:
    prompt.talk.answer("one")
    prompt.talk.error = Overloaded("full")
    with pytest.raises(Overloaded):
        prompt.type("/retry")
    prompt.talk.error = None
    prompt.type("/retry")
    assert len(prompt.talk.conversation.turns) == 2


def test_a_new_conversation_has_nothing_to_retry(prompt: Prompt) -> None:
    prompt.talk.error = Overloaded("full")
    with pytest.raises(Overloaded):
        prompt.talk.answer("one")
    prompt.type("/new")
    assert prompt.type("/retry") == "nothing was asked yet.\n"


def test_without_a_turn_there_is_nothing_to_retry(prompt: Prompt) -> None:
    assert prompt.type("/retry") == "nothing was asked yet.\n"


def test_new_forgets_what_was_said(prompt: Prompt) -> None:
    prompt.talk.answer("one")
    prompt.type("/clear")
    assert not prompt.talk.conversation.turns


def test_what_was_said_is_saved_as_markdown_and_nothing_is_written_over(
    prompt: Prompt, tmp_path: Path
) -> None:
    prompt.type("/system Be brief.")
    prompt.talk.conversation.pictures.append(ImagePart(b"bytes", "a.png"))
    prompt.talk.answer("one")
    path = tmp_path / "said.md"
    assert prompt.type(f"/save {path}") == f"1 turn in {path}\n"
    assert path.read_text() == (
        "## system\n\nBe brief.\n\n## you\n\n*picture: a.png*\n\none\n\n## assistant\n\nanswer 1\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageProblem, match="exists already"):
        prompt.type(f"/save {path}")
    with pytest.raises(UsageProblem, match="cannot write"):
        prompt.type(f"/save {tmp_path / 'no' / 'said.md'}")
    with pytest.raises(UsageProblem, match="cannot write ~nobody-of-that-name"):
        prompt.type("/save ~nobody-of-that-name/said.md")


def test_stats_and_leaving(prompt: Prompt) -> None:
    assert prompt.type("/stats") == "2 answers\n"
    for word in ("quit", "exit", "bye"):
        with pytest.raises(Leave):
            prompt.type(f"/{word}")
