"""JSON bodies as Structs, with errors that name the field.

It knows types, not what any field means. Fields nobody asks for are skipped at every depth; a
body's Structs give every other field None for a default, so that `null` reads as absent. What is
read by hand later (items of many kinds, schemas kept as sent, pictures) is `msgspec.Raw`: a view
into the body, which is copied nowhere.
"""

from __future__ import annotations

import functools
import re
from itertools import islice
from typing import Annotated, Any, NoReturn, TypeVar, cast

import msgspec

from cortex.engine.errors import InvalidRequest
from cortex.engine.types import MAX_PRIORITY, MIN_PRIORITY

T = TypeVar("T")

# Errors say the name of a model that nobody knows, and logs that of one that somebody does.
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Priority = Annotated[
    int,
    msgspec.Meta(
        ge=MIN_PRIORITY,
        le=MAX_PRIORITY,
        description="The lower goes first where requests wait; 0 where left out. Who waits gains"
        " one each 30 s.",
    ),
]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Escaped halves of surrogate pairs: whether there may be any, and each: a whole pair or a half.
# The backslashes before one come in twos, or it would be no escape; none is given back (`*+`), or
# megabytes of them would be remembered one by one.
_MAY_BE_LONE = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR_OR_LONE = re.compile(
    rb"(?<!\\)((?:\\\\)*+)"
    rb"(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
# msgspec words an error as a sentence, and where there is a path, " - at `$.a[0].b`" after it. The
# sentence may quote a client's value, of any length; a path holds names of ours alone.
_PATH_MARK = " - at `$"
_EXPECTED = re.compile(r"Expected `(?P<types>[^`]*)`(?P<bound>[^,]*)")
_LENGTH = re.compile(r"of length <= (\d+)")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_TYPE_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}
_BOUND_WORDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}
_MAX_SHOWN_CHARS = 40
# A value costs far more as an object than as the few bytes it can be written in, and there are no
# more values than commas (and brackets, whose depth is bounded). A million token ids are taken.
_MAX_COMMAS = 4_000_000
# Where no token ids may stand, strings and commas between values: a hundred megabytes as objects at
# the worst. 4,096 messages of eighty parts have as many, and so have the answers that clients send
# back with twenty log probabilities for each of nine thousand tokens. Nothing is given back here
# either, and a string without an end is one.
_MAX_MARKS = 2_000_000
_MARK = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|,', re.DOTALL)
_FEWER = "leave out earlier turns, and the log probabilities of answers where they are sent back"
# What JSON allows around a value.
_SPACE = b" \t\r\n"


def refuse(path: str, expected: str, hint: str = "") -> NoReturn:
    raise InvalidRequest(f"{path}: {expected}", hint, param=path)


def read_body(body: bytes, cls: type[T], *, has_token_ids: bool = False) -> T:
    """A whole body as a Struct. With `has_token_ids` it may hold millions of numbers.

    Raises InvalidRequest for anything else. Text that JSON can spell and UTF-8 cannot (half a
    surrogate pair, as clients that cut strings send) reads as replacement characters.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        body = body[len(_BYTE_ORDER_MARK) :]
    if body.count(b",") > _MAX_COMMAS if has_token_ids else _has_many_marks(body):
        hint = "send several requests" if has_token_ids else _FEWER
        raise InvalidRequest("the body holds too many values", hint)
    try:
        return cast(T, _decoder(cls).decode(without_lone_halves(body)))
    except msgspec.ValidationError as error:
        _refuse_value(str(error), "")
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except ValueError:  # msgspec's errors of syntax, and UTF-8's
        raise InvalidRequest("the body is not JSON", "send one JSON object, in UTF-8") from None


def _has_many_marks(body: bytes) -> bool:
    if body.count(b",") + body.count(b'"') <= _MAX_MARKS:
        return False
    # Those within a text are none.
    return any(islice(_MARK.finditer(body), _MAX_MARKS, None))


def read_raw(raw: msgspec.Raw, cls: type[T], path: str) -> T:
    """A part of a body that was kept raw, and the path that leads to it.

    Raises InvalidRequest.
    """
    try:
        return cast(T, _decoder(cls).decode(raw))
    except msgspec.ValidationError as error:
        _refuse_value(str(error), path)
    except RecursionError:
        raise InvalidRequest(f"{path}: nested too deeply", param=path) from None
    except ValueError:
        refuse(path, "is not JSON in UTF-8")


def is_absent(raw: msgspec.Raw) -> bool:
    """Whether nothing was sent, or null."""
    return bytes(memoryview(raw)[:8]).strip(_SPACE) in (b"", b"null")


def first_char(raw: msgspec.Raw) -> str:
    """What says the value's type: a bracket, a quotation mark, a digit, a letter."""
    return chr(memoryview(raw)[0]) if memoryview(raw) else ""


def object_text(raw: msgspec.Raw, path: str) -> str:
    """The JSON text of an object as it was sent; `{}` where there is none.

    Raises InvalidRequest.
    """
    if is_absent(raw):
        return "{}"
    if first_char(raw) != "{":
        refuse(path, "must be an object")
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        refuse(path, "is not JSON in UTF-8")


def names_in(raw: msgspec.Raw, path: str) -> frozenset[str]:
    """The names of an object's fields; none where there is no object."""
    if is_absent(raw):
        return frozenset()
    return frozenset(read_raw(raw, dict[str, msgspec.Raw], path))


def check_count(path: str, items: list[Any], most: int) -> None:
    if len(items) > most:
        refuse(path, f"holds {len(items)} items, at most {most} are taken")


def without_lone_halves(json_text: bytes) -> bytes:
    """JSON text with a replacement character for each escaped half of a surrogate pair."""
    if b"\\u" not in json_text or not _MAY_BE_LONE.search(json_text):
        return json_text
    return _PAIR_OR_LONE.sub(_whole, json_text)


def _whole(found: re.Match[bytes]) -> bytes:
    return found[0] if found[2] else found[1] + rb"\ufffd"


def _refuse_value(error: str, path: str) -> NoReturn:
    what, mark, place = error.rpartition(_PATH_MARK)
    what, place = (what, place[:-1].removeprefix(".")) if mark else (error, "")
    if missing := _MISSING.fullmatch(what):
        refuse(_joined(path, _joined(place, missing["name"])), "required")
    # A key of the client's own is told by what holds it.
    path = _joined(path, place.replace("[...]", ""))
    if not path:
        raise InvalidRequest("the body is not a JSON object", "send one JSON object")
    refuse(path, _worded(what))


def _joined(path: str, place: str) -> str:
    return path + place if not path or not place or place.startswith("[") else f"{path}.{place}"


def _worded(what: str) -> str:
    """What msgspec says was expected, in a client's words."""
    expected = _EXPECTED.match(what)
    if expected is None and what.endswith("out of range"):
        return "is a number out of range"
    if expected is None:
        value = what.removeprefix("Invalid enum value ")[:_MAX_SHOWN_CHARS]
        return f"{value} is none of the values it takes; GET /openapi.json lists them"
    types = [t for t in expected["types"].split(" | ") if t != "null"]
    sign, _, bound = expected["bound"].strip().partition(" ")
    if sign in _BOUND_WORDS:
        return f"must be {_BOUND_WORDS[sign]} {bound.removesuffix('.0')}"
    if longest := _LENGTH.search(expected["bound"]):
        return f"must be at most {longest[1]} characters long"
    if sign:  # "of length >= 1" is the only other bound that bodies have
        return "must not be empty"
    return f"must be {_named(types)}"


def _named(types: list[str]) -> str:
    # A float where whole numbers are taken is one such as 4.0.
    named = [t for t in types if t != "float" or "int" not in types]
    return " or ".join(dict.fromkeys(_TYPE_WORDS.get(t, t) for t in named))


@functools.cache
def _decoder(cls: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls)
