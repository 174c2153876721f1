"""A model folder that answers questions about pictures, in this process and without a peer.

The engine's own parts from prompt to text: what evaluation measures is what users get.
"""

from __future__ import annotations

from pathlib import Path

import torch

from cortex.engine.models.registry import load_model
from cortex.engine.prompt import build_prompt
from cortex.engine.served import ServedModel
from cortex.engine.text_model import load_text_model
from cortex.engine.types import ChatRequest, ImagePart, Message, TextPart
from training.nano import CONTEXT_TOKENS

MAX_ANSWER_TOKENS = 160


class Reader:
    """Loads once; `answer` is greedy."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._text = load_text_model(folder)
        self._device = torch.device(device)
        loaded = load_model(folder, torch.float32, self._device)
        self._served = ServedModel(loaded, self._text.tokenizer.vocab_size, self._device)

    def answer(self, png: bytes | None, question: str) -> str:
        picture = () if png is None else (ImagePart(png),)
        message = Message("user", (*picture, TextPart(question)))
        request = ChatRequest("cortex-nano", (message,), seed=0, now_s=0)
        prompt = build_prompt(self._text, request, CONTEXT_TOKENS).prompt
        sequence = self._served.start(prompt)
        while not sequence.is_prefilled:
            self._served.prefill_chunk(sequence)
        token_ids: list[int] = []
        while len(token_ids) < MAX_ANSWER_TOKENS:
            token_id = self._served.choose(sequence).token_id
            if token_id in prompt.stop_token_ids:
                break
            token_ids.append(token_id)
            self._served.feed(sequence, token_id)
        return self._text.tokenizer.decode(token_ids)
