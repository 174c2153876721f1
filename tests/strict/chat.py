"""The chat-completions dialect, read strictly: what may come, in which order, and nothing else.

A stream and a whole reply are read into one form, so that they can be compared. Whatever breaks
a rule of it raises AssertionError with the rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .sse import (
    Comment,
    Event,
    Json,
    broken,
    check_openai_error,
    has_keys,
    hold,
    is_count,
    is_id,
    is_json_object,
    only_events,
)

_REASONS = ("stop", "length", "tool_calls", "content_filter")
# What may follow what in one choice.
_STEPS = ("nothing", "role", "reasoning", "content", "calls", "finish")
Step = Literal["nothing", "role", "reasoning", "content", "calls", "finish"]


@dataclass(slots=True)
class Call:
    id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class Choice:
    """`content` is None where there was none at all, in a stream "" as well."""

    index: int
    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list[Call])
    logprobs: list[Json] = field(default_factory=list[Json])
    finish_reason: str | None = None
    step: Step = "nothing"

    @property
    def gist(self) -> tuple[Any, ...]:
        """What stays the same when the request is sent again."""
        calls = [(call.name, call.arguments) for call in self.calls]
        return (self.index, self.content, self.reasoning, calls, self.logprobs, self.finish_reason)


@dataclass(slots=True)
class ChatReply:
    """`usage` is None in a stream that was not asked for it; `error` is what ended it early."""

    id: str = ""
    model: str = ""
    choices: list[Choice] = field(default_factory=list[Choice])
    usage: Json | None = None
    error: Json | None = None

    @property
    def gist(self) -> list[tuple[Any, ...]]:
        return [choice.gist for choice in self.choices]


def read_whole(body: Json) -> ChatReply:
    has_keys(body, "a reply", "id object created model choices usage", "system_fingerprint")
    hold(body["object"] == "chat.completion", f"object is {body['object']!r}")
    hold(is_id(body["id"], "chatcmpl-"), f"id is {body['id']!r}")
    hold(is_count(body["created"]), f"created is {body['created']!r}")
    check_usage(body["usage"])
    choices = [_read_choice(place, choice) for place, choice in enumerate(body["choices"])]
    hold(choices, "a reply without choices")
    return ChatReply(body["id"], body["model"], choices, body["usage"])


def _read_choice(place: int, choice: Json) -> Choice:
    has_keys(choice, "a choice", "index finish_reason logprobs message", "token_ids")
    hold(choice["index"] == place, f"choice {place} has index {choice['index']}")
    message = choice["message"]
    has_keys(message, "a message", "role content refusal", "reasoning_content tool_calls")
    hold(message["role"] == "assistant", f"role is {message['role']!r}")
    hold(message["refusal"] is None, "a refusal that nobody made")
    for name in ("reasoning_content", "tool_calls"):
        hold(message.get(name, True), f"{name} is empty instead of left out")
    calls = [_read_call(call) for call in message.get("tool_calls", ())]
    hold(message["content"] is not None or calls, "content is null without any call")
    read = Choice(
        place,
        message["content"] or "",
        message.get("reasoning_content", ""),
        calls,
        _read_logprobs(choice["logprobs"]),
        choice["finish_reason"],
    )
    _check_end(read)
    return read


def _read_call(call: Json) -> Call:
    has_keys(call, "a call", "id type function")
    has_keys(call["function"], "a call's function", "name arguments")
    hold(call["type"] == "function", f"a call's type is {call['type']!r}")
    hold(is_id(call["id"], "call_"), f"a call's id is {call['id']!r}")
    return Call(call["id"], call["function"]["name"], call["function"]["arguments"])


def _read_logprobs(logprobs: Any) -> list[Json]:
    if logprobs is None:
        return []
    has_keys(logprobs, "logprobs", "content refusal")
    for entry in logprobs["content"]:
        has_keys(entry, "a token's logprobs", "token logprob bytes top_logprobs")
        for told in (entry, *entry["top_logprobs"]):
            hold(isinstance(told["token"], str), f"token is {told['token']!r}")
            hold(-9999.0 <= told["logprob"] <= 0.0, f"logprob is {told['logprob']!r}")
            hold(all(0 <= byte < 256 for byte in told["bytes"]), f"bytes are {told['bytes']}")
    return logprobs["content"]


def _check_end(choice: Choice) -> None:
    reason = choice.finish_reason
    hold(reason in _REASONS, f"finish_reason is {reason!r}")
    if choice.calls:
        hold(reason in ("tool_calls", "length"), f"a choice with calls ends with {reason!r}")
    hold(reason != "tool_calls" or choice.calls, "tool_calls without any")
    hold(len({call.id for call in choice.calls}) == len(choice.calls), "two calls share an id")
    if reason == "tool_calls":
        for call in choice.calls:
            hold(is_json_object(call.arguments), f"arguments are {call.arguments!r}")


def check_usage(usage: Json) -> None:
    """Counts add up, and shares are shares."""
    plain = "prompt_tokens completion_tokens total_tokens"
    details = "prompt_tokens_details completion_tokens_details"
    has_keys(usage, "usage", f"{plain} {details}")
    hold(all(is_count(usage[name]) for name in plain.split()), f"usage is {usage}")
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    hold(usage["total_tokens"] == prompt + completion, f"the total is off: {usage}")
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    hold(0 <= cached <= prompt, f"cached tokens are no share of the prompt: {usage}")
    hold(0 <= reasoning <= completion, f"reasoning tokens are no share of the reply: {usage}")


class _Stream:
    """One reply on its way; `feed` takes its chunks in order."""

    def __init__(self, num_choices: int, *, include_usage: bool) -> None:
        self.reply = ChatReply()
        self._num_choices = num_choices
        self._include_usage = include_usage
        self._shared: tuple[Any, ...] | None = None

    def feed(self, chunk: Json) -> None:
        hold(self.reply.usage is None, f"a chunk after the usage: {chunk}")
        optional = "system_fingerprint" + (" usage" if self._include_usage else "")
        has_keys(chunk, "a chunk", "id object created model choices", optional)
        self._check_shared(chunk)
        if not chunk["choices"]:
            self._take_usage(chunk)
            return
        if self._include_usage:
            hold("usage" in chunk and chunk["usage"] is None, f"usage is not null yet: {chunk}")
        hold(len(chunk["choices"]) == 1, f"not one choice a chunk: {chunk}")
        self._take_choice(chunk["choices"][0])

    def end(self) -> ChatReply:
        if self.reply.error is None:
            hold(len(self.reply.choices) == self._num_choices, "a choice never began")
            for choice in self.reply.choices:
                hold(choice.step == "finish", f"choice {choice.index} never ended")
            wanted = self._include_usage
            hold((self.reply.usage is not None) == wanted, "no usage, though it was asked for")
        return self.reply

    def _check_shared(self, chunk: Json) -> None:
        shared = (chunk["id"], chunk["created"], chunk["model"], chunk["object"])
        if self._shared is None:
            hold(is_id(chunk["id"], "chatcmpl-"), f"id is {chunk['id']!r}")
            hold(chunk["object"] == "chat.completion.chunk", f"object is {chunk['object']!r}")
            self._shared = shared
            self.reply.id, self.reply.model = chunk["id"], chunk["model"]
        hold(shared == self._shared, f"{shared} after {self._shared}")

    def _take_usage(self, chunk: Json) -> None:
        hold(self._include_usage, f"a chunk without choices that nobody asked for: {chunk}")
        hold(all(c.step == "finish" for c in self.reply.choices), "usage before the end")
        check_usage(chunk["usage"])
        self.reply.usage = chunk["usage"]

    def _take_choice(self, told: Json) -> None:
        has_keys(told, "a choice", "index delta finish_reason", "logprobs token_ids")
        delta: Json = told["delta"]
        hold(None not in delta.values(), f"a delta with null: {delta}")
        if "role" in delta:
            self._begin(told["index"], delta)
            return
        hold(len(self.reply.choices) == self._num_choices, "a piece before every choice began")
        choice = self.reply.choices[int(told["index"])]
        hold(choice.step != "finish", f"a chunk after the end of choice {choice.index}: {told}")
        choice.logprobs += _read_logprobs(told.get("logprobs"))
        tells_tokens = bool(told.get("logprobs") or told.get("token_ids"))
        if told["finish_reason"] is None and delta == {} and tells_tokens:
            return
        if told["finish_reason"] is None:
            _take_delta(choice, delta)
        else:
            hold(delta == {}, f"the last chunk says something: {delta}")
            choice.finish_reason, choice.step = told["finish_reason"], "finish"
            _check_end(choice)

    def _begin(self, index: int, delta: Json) -> None:
        hold(delta == {"role": "assistant", "content": ""}, f"a choice begins with {delta}")
        hold(index == len(self.reply.choices), f"choice {index} begins out of turn, or twice")
        self.reply.choices.append(Choice(index, step="role"))


def _take_delta(choice: Choice, delta: Json) -> None:
    match delta:
        case {"reasoning_content": str(text), **rest} if not rest:
            _go(choice, "reasoning")
            choice.reasoning += text
        case {"content": str(text), **rest} if not rest:
            _go(choice, "content")
            choice.content += text
        case {"tool_calls": [call], **rest} if not rest:
            _go(choice, "calls")
            _take_call(choice, call)
        case _:
            broken(f"a delta that is not one of the dialect's: {delta}")


def _go(choice: Choice, step: Step) -> None:
    is_forward = _STEPS.index(step) >= _STEPS.index(choice.step)
    hold(is_forward, f"{step} after {choice.step} in choice {choice.index}")
    choice.step = step


def _take_call(choice: Choice, told: Json) -> None:
    function = told["function"]
    if told["index"] == len(choice.calls):
        has_keys(told, "a call's first piece", "index id type function")
        hold(function.get("arguments") == "", f"a call begins with {function}")
        choice.calls.append(_read_call({k: v for k, v in told.items() if k != "index"}))
        return
    hold(told["index"] == len(choice.calls) - 1, f"a piece of call {told['index']} out of turn")
    has_keys(told, "a call's later piece", "index function")
    has_keys(function, "a call's later piece", "arguments")
    choice.calls[-1].arguments += function["arguments"]


def read_stream(
    parsed: list[Event | Comment], *, num_choices: int = 1, include_usage: bool = False
) -> ChatReply:
    events = only_events(parsed)
    hold(all(event.name is None for event in events), "a chunk with an event: line")
    hold(events and events[-1].data == "[DONE]", "the stream does not end with [DONE]")
    stream = _Stream(num_choices, include_usage=include_usage)
    for event in events[:-1]:
        hold(stream.reply.error is None, f"an event after the error: {event}")
        if "error" in event.value:
            check_openai_error(event.value)
            stream.reply.error = event.value["error"]
        else:
            stream.feed(event.value)
    return stream.end()
