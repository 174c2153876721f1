"""A model folder that answers questions about pictures, in this process and without a peer.

The engine's own parts from prompt to text: what evaluation measures is what users get.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from cortex.engine.cache.store import PrefixStore
from cortex.engine.errors import EngineFailed
from cortex.engine.events import NewToken
from cortex.engine.memory import Share
from cortex.engine.messages import Generate, GenerateFailed
from cortex.engine.prompt import build_prompt
from cortex.engine.serving import load_service
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from cortex.engine.wishes import Wishes
from training.nano import CONTEXT_TOKENS

MAX_ANSWER_TOKENS = 160
MAX_PAGE_TOKENS = 640  # a whole document read out
_MEMORY_BYTES = 2 << 30


class Reader:
    """Loads once; `answer` is greedy."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._text = load_text_model(folder)
        self._service = load_service(
            folder, torch.device(device), PrefixStore(0), Share(_MEMORY_BYTES), Wishes()
        ).service

    def answer(self, png: bytes | None, question: str) -> str:
        return self.reply(() if png is None else (png,), (), question, MAX_ANSWER_TOKENS)

    def reply(
        self,
        pngs: Sequence[bytes],
        earlier: Sequence[tuple[str, str]],
        question: str,
        max_tokens: int = MAX_PAGE_TOKENS,
    ) -> str:
        """What it answers after these questions and answers; the pictures are in the first."""
        messages: list[Message] = []
        for asked, answered in earlier:
            messages.append(Message("user", (TextPart(asked),)))
            messages.append(Message("assistant", (TextPart(answered),)))
        messages.append(Message("user", (TextPart(question),)))
        shown = tuple(ImagePart(png) for png in pngs)
        messages[0] = Message("user", (*shown, *messages[0].content))
        request = ChatRequest(
            "cortex-nano", tuple(messages), seed=0, now_s=0, max_tokens=max_tokens
        )
        prompt = build_prompt(self._text, request, CONTEXT_TOKENS).prompt
        self._service.add(Generate("question", 0, "cortex-nano", b""), prompt, now_s=0.0)
        token_ids: list[int] = []
        while self._service.has_work:
            for event in self._service.step(now_s=0.0):
                if isinstance(event, GenerateFailed):
                    raise EngineFailed(event.error.message)
                if isinstance(event, NewToken) and event.token_id is not None:
                    token_ids.append(event.token_id)
        return self._text.tokenizer.decode(token_ids)
