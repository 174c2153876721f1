"""What became of the answers of an engine process, as its peer is told: tokens turned into text.

Text is made on the main thread and not on the device thread, so that a slow character never delays
a token; and where there is much to make at once, others are told of theirs meanwhile.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from .answer import AnswerText
from .child import Send
from .events import DeviceEvent, ModelLoaded, NewToken, Started
from .failing import described
from .messages import Cancel, GenerateFailed, Step, StepPart, Unloaded, Waiting
from .stream import Delta
from .tokenizer import Tokenizer
from .types import TokenLogprob

# So many tokens are made text of, of an answer that is resumed, before others have a turn: they
# take less time than a step. Those of an echoed prompt are spelled, which is quicker.
_RESUMED_AT_ONCE = 32
_SPELLED_AT_ONCE = 256

Key = tuple[str, int]


class Texts:
    """All answers of one engine. `submit` gives up those whose text has ended or cannot be made."""

    def __init__(self, send: Send, submit: Callable[[Cancel], None]) -> None:
        self._send = send
        self._submit = submit
        self._tokenizers: dict[str, Tokenizer] = {}
        self._answers: dict[Key, AnswerText] = {}
        # What is to be done, turn by turn, before more is told of an answer; and what is told then.
        self._behind: asyncio.Queue[tuple[Key, AnswerText, Iterator[None]]] = asyncio.Queue()
        self._held_back: dict[Key, list[DeviceEvent]] = {}
        # Of echoed prompts, until the first part of their answers.
        self._spelled: dict[Key, list[TokenLogprob]] = {}

    def tell(self, events: tuple[DeviceEvent, ...]) -> None:
        """One Step for all tokens of a round; the rest as it comes."""
        parts: list[StepPart] = []
        for event in events:
            match event:
                case NewToken() | Waiting() if self._is_held_back(event):
                    pass
                case NewToken() if self._spells_first(event):
                    pass
                case NewToken():
                    parts.extend(self._told(event))
                case Started():
                    self._begin(event)
                case ModelLoaded():
                    self._tokenizers[event.loaded.model_id] = event.tokenizer
                    self._send(event.loaded)
                case Unloaded():
                    self._tokenizers.pop(event.model_id, None)
                    self._send(event)
                case GenerateFailed():
                    self._forget((event.request_id, event.epoch))
                    self._send(event)
                case _:
                    self._send(event)
        if parts:
            self._send(Step(tuple(parts)))

    def _begin(self, event: Started) -> None:
        key = (event.request_id, event.epoch)
        try:
            answer = AnswerText(self._tokenizers[event.model_id], event.prompt)
        except Exception as error:
            self._fail(key, error)
            return
        if event.resume_token_ids:
            self._hold_back(key, answer, _resuming(answer, event.resume_token_ids))
        else:
            self._answers[key] = answer

    def _spells_first(self, event: NewToken) -> bool:
        """Whether it is told later, for what it tells of its prompt; not to who has left."""
        key = (event.request_id, event.epoch)
        answer = self._answers.get(key)
        if event.prompt_scores is None or answer is None or event.finish == "cancelled":
            return False
        spelled = self._spelled[key] = []
        logprobs = answer.spell_prompt(event.prompt_scores)
        self._hold_back(key, answer, _spelling(logprobs, spelled))
        self._held_back[key].append(dataclasses.replace(event, prompt_scores=None))
        return True

    def _hold_back(self, key: Key, answer: AnswerText, turns: Iterator[None]) -> None:
        self._held_back[key] = []
        self._behind.put_nowait((key, answer, turns))

    async def catch_up(self) -> None:
        """One after the other, beside all that others are told: there may be many long ones at
        once, which take seconds.
        """
        while True:
            key, answer, turns = await self._behind.get()
            try:
                for _ in turns:
                    if key not in self._held_back:
                        break  # it has ended meanwhile
                    await asyncio.sleep(0)
                if key in self._held_back:
                    self._answers[key] = answer
                    self.tell(tuple(self._held_back.pop(key)))
            except Exception as error:
                self._fail(key, error)

    def _is_held_back(self, event: NewToken | Waiting) -> bool:
        """Whether it is told later; never, where the peer has cancelled it meanwhile."""
        key = (event.request_id, event.epoch)
        if key not in self._held_back:
            return False
        if isinstance(event, NewToken) and event.finish == "cancelled":
            self._forget(key)
        else:
            self._held_back[key].append(event)
        return True

    def _forget(self, key: Key) -> None:
        self._answers.pop(key, None)
        self._held_back.pop(key, None)
        self._spelled.pop(key, None)

    def _fail(self, key: Key, error: Exception) -> None:
        self._forget(key)
        self._send(GenerateFailed(*key, described("text failed", error)))
        self._submit(Cancel(*key))

    def _told(self, event: NewToken) -> list[StepPart]:
        """An answer whose tokens make no text ends alone: the others' are told all the same."""
        try:
            return [*self._part(event)]
        except Exception as error:
            self._fail((event.request_id, event.epoch), error)
            return []

    def _part(self, event: NewToken) -> Iterator[StepPart]:
        key = (event.request_id, event.epoch)
        answer = self._answers.get(key)
        if answer is None:
            return  # it ended by its own text while this token was made, or never had any
        token_ids: tuple[int, ...] = ()
        deltas: tuple[Delta, ...] = ()
        logprobs: tuple[TokenLogprob, ...] = ()
        finish = event.finish
        if event.token_id is not None and not answer.is_stopped:
            token_ids, deltas = (event.token_id,), answer.push(event.token_id)
            if event.scores is not None:
                logprobs = answer.spell(event.token_id, event.scores)
        elif event.ended_by is not None and event.scores is not None:
            logprobs = answer.spell_end(event.ended_by, event.scores)
        logprobs = (*self._spelled.pop(key, ()), *logprobs)
        if answer.is_stopped and finish != "cancelled":
            finish = "stop"
            self._submit(Cancel(*key))
        elif finish is not None:
            deltas += answer.flush(is_cut=finish != "stop")
            if answer.stop_text is not None and finish != "cancelled":
                finish = "stop"
        if finish is not None:
            del self._answers[key]
        usage = None
        if finish is not None:
            usage = replace(answer.usage, cached_tokens=event.num_cached)
        stop_text = answer.stop_text if finish == "stop" else None
        yield StepPart(*key, token_ids, deltas, finish, usage, logprobs, stop_text)


def _resuming(answer: AnswerText, token_ids: Sequence[int]) -> Iterator[None]:
    for start in range(0, len(token_ids), _RESUMED_AT_ONCE):
        answer.resume(token_ids[start : start + _RESUMED_AT_ONCE])
        yield


def _spelling(logprobs: Iterator[TokenLogprob], spelled: list[TokenLogprob]) -> Iterator[None]:
    while some := list(islice(logprobs, _SPELLED_AT_ONCE)):
        spelled += some
        yield
