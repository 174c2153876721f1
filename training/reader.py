"""A model folder that answers questions about pictures, in this process and without a peer.

The engine's own parts from prompt to text: what evaluation measures is what users get.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import EngineFailed
from cortex.engine.events import NewToken
from cortex.engine.memory import Share
from cortex.engine.messages import GenerateFailed, Wanted
from cortex.engine.prompt import BuiltPrompt, build_prompt
from cortex.engine.serving import load_service
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall
from cortex.engine.wishes import Wishes
from training.nano import CONTEXT_TOKENS

_MAX_ANSWER_TOKENS = 640  # a whole document read out
_MEMORY_BYTES = 2 << 30
_RESULT, _RESULT_END = "<tool_response>\n", "\n</tool_response>"
_CALL, _CALL_END = "<tool_call>\n", "\n</tool_call>"


class Reader:
    """Loads once; answers are greedy."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._text = load_text_model(folder)
        self._service = load_service(
            folder, torch.device(device), PrefixStore(0), Share(_MEMORY_BYTES), Wishes()
        ).service

    @property
    def takes_tools(self) -> bool:
        chat = self._text.chat
        return chat is not None and chat.family.calls != "none"

    def reply(
        self,
        pngs: Sequence[bytes],
        question: str,
        earlier: Sequence[tuple[str, str]] = (),
        tools: Sequence[str] = (),
    ) -> str:
        """What it answers after these questions and answers; the pictures are in the first."""
        return self._text.tokenizer.decode([*self.stream(pngs, question, earlier, tools)])

    def stream(
        self,
        pngs: Sequence[bytes],
        question: str,
        earlier: Sequence[tuple[str, str]] = (),
        tools: Sequence[str] = (),
    ) -> Iterator[int]:
        """The answer's tokens as they come. It has to be read to its end."""
        prompt = self._build(conversation(pngs, question, earlier, tools)).prompt
        self._service.add(Wanted("question", 0), prompt, now_s=0.0)
        while self._service.has_work:
            for event in self._service.step(now_s=0.0):
                if isinstance(event, GenerateFailed):
                    raise EngineFailed(event.error.message)
                if isinstance(event, NewToken) and event.token_id is not None:
                    yield event.token_id

    def image_tokens(self, png: bytes) -> int:
        """What a picture takes of the prompt."""
        return self._build(conversation((png,), "")).images[0].tokens

    def _build(self, request: ChatRequest) -> BuiltPrompt:
        return build_prompt(self._text, request, CONTEXT_TOKENS)


def conversation(
    pngs: Sequence[bytes],
    question: str,
    earlier: Sequence[tuple[str, str]] = (),
    tools: Sequence[str] = (),
) -> ChatRequest:
    """A sample as a client would send it: calls and results are turns of their own sort."""
    messages: list[Message] = []
    for asked, answered in earlier:
        messages += (_asked(asked), _answered(answered))
    messages.append(_asked(question))
    shown = tuple(ImagePart(png) for png in pngs)
    messages[0] = Message("user", (*shown, *messages[0].content))
    return ChatRequest(
        "cortex-nano",
        tuple(messages),
        seed=0,
        now_s=0,
        tools=tuple(map(_tool, tools)),
        max_tokens=_MAX_ANSWER_TOKENS,
    )


def _asked(text: str) -> Message:
    if not text.startswith(_RESULT):
        return Message("user", (TextPart(text),))
    result = text.removeprefix(_RESULT).removesuffix(_RESULT_END)
    return Message("tool", (TextPart(result),), tool_call_id="call")


def _answered(text: str) -> Message:
    if not text.startswith(_CALL):
        return Message("assistant", (TextPart(text),))
    call = json.loads(text.removeprefix(_CALL).removesuffix(_CALL_END))
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return Message("assistant", tool_calls=(ToolCall("call", call["name"], arguments),))


def _tool(line: str) -> Tool:
    function = json.loads(line)["function"]
    return Tool(function["name"], parameters=json.dumps(function["parameters"]))
