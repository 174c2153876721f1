"""What evaluation asks is rendered as training feeds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cortex.engine.chat.rendering import render_request
from cortex.engine.text_model import TextModel, load_text_model
from cortex.engine.types import ChatRequest
from training.nano import encode, next_prompt_text, prompt_text, write_folder
from training.reader import conversation

CALL = '<tool_call>\n{"name": "save", "arguments": {"name": "Fee", "value": "£5"}}\n</tool_call>'
RESULT = "<tool_response>\nok\n</tool_response>"
TOOL = json.dumps({"type": "function", "function": {"name": "save", "parameters": {}}})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    folder: Path = tmp_path_factory.mktemp("nano")
    write_folder(folder)
    return load_text_model(folder)


def _rendered(model: TextModel, request: ChatRequest) -> str:
    chat = model.chat
    assert chat is not None
    return render_request(chat.template, chat.habits, request, model.tokenizer.escape).text


def test_two_pictures_and_several_turns(model: TextModel) -> None:
    request = conversation((b"a", b"b"), "And the date?", [("Total?", "£5 & more")])

    rendered = _rendered(model, request)

    first = prompt_text("Total?", pictures=2)
    assert rendered == f"{first}£5 & more<|im_end|>{next_prompt_text('And the date?')}"


def test_a_call_and_its_result_are_turns_of_their_own_sort(model: TextModel) -> None:
    request = conversation((b"a",), RESULT, [("Save the Fee.", CALL)], (TOOL,))

    rendered = _rendered(model, request)

    first = prompt_text("Save the Fee.", pictures=1, tools=(TOOL,))
    assert rendered == f"{first}{CALL}<|im_end|>{next_prompt_text(RESULT)}"
    assert model.tokenizer.encode(rendered) == encode(rendered, pads=[1])
