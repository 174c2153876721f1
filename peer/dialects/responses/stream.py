"""An answer told in the Responses dialect: a strict state machine over its pieces.

One item is open at a time, and the final object is made of the items that were told. A whole reply
is the same machine with nobody listening to its events. Pure; the clock is an argument.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from cortex.engine.errors import ContextLengthExceeded
from cortex.engine.stream import (
    Accepted,
    Delta,
    Finished,
    Piece,
    ReasoningDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallEnd,
    Usage,
)

from .. import events as sse
from ..asked import Answer
from ..errors import ToldError
from ..mended_calls import MendedCalls
from ..openai_replies import render_logprob
from .open_items import Event, Json, OpenCall, OpenItem, OpenMessage, OpenThought, Place
from .toolbox import ToolName

RESPONSE_PREFIX = "resp_"
# Clients send a failed request again unless its code is one of a few. The codes of most requests
# that would fail again are not among them, so they are told as this one.
_FINAL_CODE = "invalid_prompt"
_INCOMPLETE = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
# For agents the end by a limit that the client did not set is a broken stream, tried again.
_CONTEXT_FULL = {
    "status": "failed",
    "error": {
        "code": ContextLengthExceeded.code(),
        "message": "the answer filled what the prompt left of the model's context;"
        " shorten the conversation",
    },
}
_CANCELLED = {
    "code": "cancelled",
    "message": "the answer was cancelled by whoever runs this peer",
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How the asker wants the answer told. `tools` are by the names that the model knows."""

    summarises: bool = False
    tells_tokens: bool = False
    tools: Mapping[str, ToolName] = field(default_factory=dict[str, ToolName])


class ResponseTeller:
    """Tells a response that begins as `response` says. The last event goes out with the answer's
    end, or with its failure: none is left to add.
    """

    # Agents shorten a conversation when a stream says so, and take a status for any bad request.
    told_in_stream = (ContextLengthExceeded,)

    def __init__(self, response: Json, manner: Manner, clock: Callable[[], float]) -> None:
        self.manner = manner
        self._response = response
        self._own_id: str = response["id"].removeprefix(RESPONSE_PREFIX)
        self._clock = clock
        self._numbers = itertools.count()
        self._items: list[Json] = []
        self._open: OpenItem | None = None
        self._calls = MendedCalls({name for name, tool in manner.tools.items() if tool.is_custom})
        # Of tokens whose text is still to come.
        self._logprobs: list[Json] = []
        self._snapshot = msgspec.Raw(msgspec.json.encode(response))
        self._is_created = False

    @property
    def tells_tokens(self) -> bool:
        return self.manner.tells_tokens

    def open(self, accepted: Accepted) -> bytes:
        return self._create() + self.keep_alive()

    def keep_alive(self) -> bytes:
        """What it was at the start, again: an event, because some clients count those alone."""
        return self._told([("response.in_progress", {"response": self._snapshot})])

    def tell(self, event: Piece | Finished) -> bytes:
        return self._told(self._take(event))

    def close(self) -> bytes:
        return b""

    def fail(self, error: ToldError) -> bytes:
        """Clients take no end of what was never created."""
        begun = b"" if self._is_created else self._create()
        return begun + self._told(self._end({"status": "failed", "error": _fault(error)}))

    def whole(self, answers: Sequence[Answer]) -> bytes:
        """What the stream of the same answer would have ended with."""
        (answer,) = answers
        for _ in itertools.chain(self._take(answer.whole), self._take(answer.finished)):
            pass
        return msgspec.json.encode(self._response)

    def _create(self) -> bytes:
        self._is_created = True
        return self._told([("response.created", {"response": self._snapshot})])

    def _told(self, events: Iterable[Event]) -> bytes:
        """Types are said twice: some clients read only the one, some only the other."""
        return b"".join(
            sse.named(kind, {"type": kind, "sequence_number": next(self._numbers)} | fields)
            for kind, fields in events
        )

    def _take(self, event: Piece | Finished) -> Iterator[Event]:
        return self._push(event) if isinstance(event, Piece) else self._finish(event)

    def _push(self, piece: Piece) -> Iterator[Event]:
        self._logprobs += map(render_logprob, piece.logprobs)
        yield from self._say(self._calls.take(piece.deltas))

    def _say(self, deltas: Iterable[Delta]) -> Iterator[Event]:
        for delta in deltas:
            match delta:
                case ReasoningDelta() if not isinstance(self._open, OpenThought):
                    thought = partial(OpenThought, is_summary=self.manner.summarises)
                    yield from self._begin(thought)
                case TextDelta() if not isinstance(self._open, OpenMessage):
                    yield from self._begin(partial(OpenMessage, waiting=self._logprobs))
                case ToolCallBegin():
                    # A name that was not offered is told as it is: the client knows what to say.
                    tool = self.manner.tools.get(delta.name) or ToolName(delta.name)
                    yield from self._begin(partial(OpenCall, call_id=delta.id, tool=tool))
                case ToolCallEnd():
                    yield from self._end_open(is_whole=delta.is_whole)
                case _:
                    pass
            if self._open is not None and not isinstance(delta, ToolCallBegin | ToolCallEnd):
                yield from self._open.push(delta.text)

    def _finish(self, finished: Finished) -> Iterator[Event]:
        yield from self._say(self._calls.end(finished.reason))
        if finished.reason == "stop":
            end = {"status": "completed", "completed_at": int(self._clock())}
        elif finished.reason == "cancelled":
            end = {"status": "failed", "error": _CANCELLED}
        elif finished.reason == "context" and self._response["max_output_tokens"] is None:
            end = _CONTEXT_FULL
        else:
            end = _INCOMPLETE
        yield from self._end(end | {"usage": _told_usage(finished.usage)})

    def _end(self, end: Json) -> Iterator[Event]:
        """The last event, with the whole response."""
        yield from self._end_open(is_whole=end["status"] == "completed")
        self._response = {**self._response, **end, "output": self._items}
        yield f"response.{end['status']}", {"response": self._response}

    def _begin(self, make: Callable[[Place], OpenItem]) -> Iterator[Event]:
        yield from self._end_open(is_whole=True)
        self._open = make(Place(self._own_id, len(self._items)))
        yield from self._open.begin()

    def _end_open(self, *, is_whole: bool) -> Iterator[Event]:
        item, self._open = self._open, None
        if item is not None:
            yield from item.end("completed" if is_whole else "incomplete")
            self._items.append(item.item)


def new_response(response_id: str, created_at: int, model: str, echo: Json) -> Json:
    """How a response begins; `echo` is what it says again of its request."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        # Nothing is stored here, and nothing runs on once its client has gone.
        "previous_response_id": None,
        "store": False,
        "background": False,
        "truncation": "disabled",
        **echo,
        "usage": None,
    }


def _told_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _fault(error: ToldError) -> Json:
    may_pass = error.status >= 500 or error.status == 429
    is_known = error.code == ContextLengthExceeded.code()
    is_final = not (may_pass and error.may_retry) and not is_known
    return {"code": _FINAL_CODE if is_final else error.code, "message": error.message}
