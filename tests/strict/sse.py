"""Server-sent events, read as strictly as the standard allows, and the words all checks use.

It knows no dialect. A stream must consist of whole events of valid UTF-8, each ended by a blank
line, with no field but `event` and `data`; comments stand alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn, cast

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is None where the event has no `event:` line."""

    name: str | None
    data: str

    @property
    def value(self) -> Json:
        value: Any = json.loads(self.data)
        if not isinstance(value, dict):
            broken(f"an event's data is no object: {self.data[:200]}")
        return cast(Json, value)


@dataclass(frozen=True, slots=True)
class Comment:
    text: str


def broken(rule: str) -> NoReturn:
    raise AssertionError(rule)


def hold(condition: object, rule: str) -> None:
    """`rule` is what must hold, or what is wrong, with the value."""
    if not condition:
        broken(rule)


def has_keys(value: Json, what: str, required: str, optional: str = "") -> None:
    """The object has every required key, and no key that is neither required nor optional."""
    keys, needed = set(value), set(required.split())
    hold(needed <= keys, f"{what} lacks {sorted(needed - keys)}: {value}")
    extra = keys - needed - set(optional.split())
    hold(not extra, f"{what} has {sorted(extra)}: {value}")


def is_id(text: object, prefix: str) -> bool:
    """An id as we make them: its prefix, then letters, digits, `_` and `-`, 64 at most."""
    if not isinstance(text, str) or not text.startswith(prefix) or len(text) > 64:
        return False
    rest = text.removeprefix(prefix)
    return bool(rest) and all(c.isascii() and (c.isalnum() or c in "_-") for c in rest)


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def parse(body: bytes) -> list[Event | Comment]:
    """Every event and comment of a stream that has ended."""
    text = body.decode("utf-8")
    hold("\r" not in text, "a stream has carriage returns")
    hold(text == "" or text.endswith("\n\n"), f"the stream stops inside an event: {text[-200:]!r}")
    return [_parse_block(block) for block in text.split("\n\n")[:-1]]


def _parse_block(block: str) -> Event | Comment:
    lines = block.split("\n")
    hold(all(lines), f"an empty line too many: {block!r}")
    if all(line.startswith(":") for line in lines):
        return Comment("\n".join(line[1:].strip() for line in lines))
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    hold(len(names) <= 1 and len(data) == 1, f"not one event: {block[:200]!r}")
    hold(len(names) + len(data) == len(lines), f"unknown fields: {block[:200]!r}")
    return Event(names[0] if names else None, data[0])


def only_events(parsed: list[Event | Comment]) -> list[Event]:
    return [part for part in parsed if isinstance(part, Event)]


def is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def check_openai_error(body: Json) -> None:
    """The envelope of every path but those below /v1/messages."""
    has_keys(body, "the error's body", "error")
    error = body["error"]
    hold(isinstance(error, dict), f"error is no object: {body}")
    hold({"message", "type", "param", "code"} <= set(error), f"the error lacks a field: {error}")
    hold(isinstance(error["message"], str) and error["message"], f"no message: {error}")
    hold(isinstance(error["type"], str) and error["type"], f"no type: {error}")


_MESSAGES_ERRORS = """invalid_request_error authentication_error permission_error not_found_error
    request_too_large rate_limit_error overloaded_error api_error timeout_error""".split()  # noqa: SIM905


def check_messages_error(body: Json, *, in_stream: bool = False) -> None:
    """The envelope below /v1/messages; inside a stream the request's id may be left out."""
    optional = "request_id" if in_stream else ""
    has_keys(
        body, "the error's body", "type error" + ("" if in_stream else " request_id"), optional
    )
    hold(body["type"] == "error", f"type is {body['type']!r}")
    error = body["error"]
    hold({"type", "message"} <= set(error), f"the error lacks a field: {error}")
    hold(error["type"] in _MESSAGES_ERRORS, f"unknown type: {error}")
    hold(isinstance(error["message"], str) and error["message"], f"no message: {error}")
    if not in_stream:
        hold(isinstance(error["details"]["error_code"], str), f"no error_code: {error}")
