"""Messages survive the socket; anything else is refused by name and never by surprise."""

from __future__ import annotations

import asyncio
import tracemalloc
import types
import typing
from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine import messages
from cortex.engine.frames import (
    LARGE_BYTES,
    MAX_FRAME_BYTES,
    FrameError,
    FrameSplitter,
    pack_message,
    pack_parts,
    pack_value,
    read_message,
    unpack_message,
    unpack_value,
)
from cortex.engine.messages import Alive, CancelPrepare, Generate, Prepare, Prepared, Wanted
from cortex.engine.types import (
    ChatRequest,
    ImagePart,
    Message,
    PreparedImage,
    Prompt,
    Sampling,
    TextPart,
)

_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5)
_SCALARS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False),
    str: _TEXT,
    bytes: st.binary(max_size=5),
    memoryview: st.binary(max_size=5).map(memoryview),
    # One packed value, whatever it is of.
    msgspec.Raw: _TEXT.map(msgspec.msgpack.encode).map(msgspec.Raw),
}
_MESSAGES = get_args(messages.Message)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of an annotated type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        kind, bounds = args
        if kind is str:
            most: int = bounds.max_length
            fits: st.SearchStrategy[str] = st.from_regex(str(bounds.pattern))
            return fits.filter(lambda text: len(text) <= most)
        assert kind is int, "no other type has bounds"
        return st.integers(bounds.ge, bounds.le)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint is type(None):
        return st.none()
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(a) for a in args])
    if origin is tuple and args[-1] is Ellipsis:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(a) for a in args])
    hints = typing.get_type_hints(hint, include_extras=True)
    return st.builds(hint, **{name: values(h) for name, h in hints.items()})


def packed(plain: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(plain)


@given(st.one_of([values(cls) for cls in _MESSAGES]))
def test_every_message_comes_back_as_it_was(message: Any) -> None:
    frame = pack_message(message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert unpack_message(frame[4:]) == message


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_as_frames(data: bytes) -> None:
    with pytest.raises(FrameError):
        unpack_message(data)


_PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 9), _TEXT, st.binary(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "kind", "text"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(st.sampled_from(_MESSAGES), st.data())
def test_fields_of_wrong_shapes_are_refused_as_frames(cls: type[Any], data: st.DataObject) -> None:
    names = list(typing.get_type_hints(cls))
    plain = {name: data.draw(_PLAIN, label=name) for name in names}
    try:
        unpack_message(packed({"type": cls.__name__, **plain}))
    except FrameError:
        return


def test_unknown_fields_of_a_newer_sender_are_ignored() -> None:
    plain = {"type": "CancelPrepare", "request_id": "r", "reason": ["new"]}
    assert unpack_message(packed(plain)) == CancelPrepare("r")


@pytest.mark.parametrize(
    "more",
    [
        {"must_obey": "x"},
        {"sampling": {"must_obey": 1}},
        {"tools": [{"name": "a", "must_obey": 1}]},
        {"messages": [{"role": "user", "must_obey": 1}]},
        {"raw": {"kind": "RawText", "text": "a", "must_obey": 1}},
    ],
)
def test_request_that_asks_for_what_is_not_known_here_is_refused(more: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"model": "m", "messages": [], "seed": 1, "now_s": 2}
    with pytest.raises(FrameError, match="must_obey"):
        unpack_value(ChatRequest, packed(plain | more))


def test_what_a_request_does_not_ask_for_is_not_written() -> None:
    """So that an older reader takes one that uses no field of a newer writer's."""
    request = ChatRequest("m", (Message("user", (TextPart("hi"),)),), 1, 2, stop=(), echo=False)
    assert msgspec.msgpack.decode(pack_value(request)) == {
        "model": "m",
        "messages": [{"role": "user", "content": [{"kind": "TextPart", "text": "hi"}]}],
        "seed": 1,
        "now_s": 2,
    }


def test_missing_fields_take_their_defaults_or_are_refused() -> None:
    plain: dict[str, Any] = {"model": "m", "messages": [], "seed": 1, "now_s": 2}
    assert unpack_value(ChatRequest, packed(plain)) == ChatRequest("m", (), 1, 2)
    del plain["seed"]
    with pytest.raises(FrameError, match="ChatRequest"):
        unpack_value(ChatRequest, packed(plain))


@pytest.mark.parametrize(
    "plain",
    [
        {
            "type": "Prepared",
            "request_id": "r",
            "prompt_tokens": 2,
            "images": [],
            "max_tokens": 9,
            "prompt_hash": b"hash",
        },
        {"type": "Generate", "model_id": "m", "wanted": [{"request_id": "r", "epoch": 1}]},
    ],
)
def test_a_message_without_its_prompt_is_refused_where_it_arrives(plain: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="prompt"):
        unpack_message(packed(plain))
    assert unpack_message(packed({**plain, "prompt": {}}))


def test_map_with_a_list_for_a_key_is_refused() -> None:
    with pytest.raises(FrameError):
        unpack_message(b"\x81\x91\x01\x01")


def test_pictures_travel_as_bytes() -> None:
    image = PreparedImage(b"\x00" * 32, (1, 2, 3), memoryview(bytes(range(256))))
    assert unpack_value(PreparedImage, pack_value(image)) == image


def test_parts_keep_their_kinds_and_order() -> None:
    content = (TextPart("a"), ImagePart(b"\xff", "x.png"), TextPart(""))
    request = ChatRequest("m", (Message("user", content),), seed=0, now_s=0)
    frame = pack_message(Prepare("r", "/m", request, 10))
    assert unpack_message(frame[4:]) == Prepare("r", "/m", request, 10)


def reader_of(data: bytes | bytearray) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_messages_are_read_one_after_the_other_until_the_end() -> None:
    sent = [Alive(1, 2, 3), CancelPrepare("r")]
    reader = reader_of(b"".join(map(pack_message, sent)))
    assert [await read_message(reader), await read_message(reader)] == sent
    assert await read_message(reader) is None


async def test_frame_cut_short_reads_as_the_end() -> None:
    assert await read_message(reader_of(pack_message(Alive(1, 2, 3))[:-1])) is None


async def test_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    reader = reader_of((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="over"):
        await read_message(reader)


@given(st.integers(1, 40))
def test_frames_torn_into_reads_of_any_size_come_whole_and_in_order(size: int):
    sent = [Alive(1, 2, 3), CancelPrepare("r"), Alive(4, 5, 6)]
    data = b"".join(map(pack_message, sent))
    splitter = FrameSplitter()
    reads = (data[at : at + size] for at in range(0, len(data), size))
    assert [message for read in reads for message in splitter.split(read)] == sent


def test_a_frame_over_the_limit_is_refused_by_its_header_alone():
    with pytest.raises(FrameError, match="is over"):
        list(FrameSplitter().split((MAX_FRAME_BYTES + 1).to_bytes(4, "big")))


# Large frames

_PIXELS = bytes(range(256)) * (LARGE_BYTES // 128)
_SEEN = Prompt(
    (1, 2), (), (PreparedImage(b"h", (1, 2, 2), memoryview(_PIXELS)),), Sampling(0), 9, (), ()
)
_LARGE = msgspec.Raw(pack_value(_SEEN))
_CARRIERS = [
    Prepared("r", 2, (), 9, b"hash", _LARGE),
    Generate("m", (Wanted("r.0", 1), Wanted("r.1", 1, (7, 8), 1)), _LARGE),
]


def prompt_in(message: messages.Message | None) -> msgspec.Raw:
    assert isinstance(message, Prepared | Generate)
    return message.prompt


@pytest.mark.parametrize("message", _CARRIERS)
def test_a_large_prompt_is_sent_from_where_it_lies(message: messages.Message) -> None:
    head, prompt = pack_parts(message)
    assert bytes(head) + bytes(prompt) == pack_message(message)
    assert len(head) < 200
    assert isinstance(prompt, memoryview) and prompt.obj is _LARGE


_SMALL = msgspec.Raw(pack_value(Prompt((1, 2), (), (), Sampling(0), 9, (), ())))


@pytest.mark.parametrize("message", [Alive(1, 2, 3), Generate("m", (Wanted("r", 1),), _SMALL)])
def test_small_messages_are_one_part(message: messages.Message) -> None:
    [part] = pack_parts(message)
    assert part == pack_message(message)
    assert unpack_message(part[4:]) == message


@given(st.integers(100_000, 600_000))
def test_large_frames_torn_among_small_ones_come_whole_and_in_order(size: int) -> None:
    sent = [Alive(1, 2, 3), *_CARRIERS, CancelPrepare("r")]
    data = b"".join(map(pack_message, sent))
    splitter = FrameSplitter()
    reads = (data[at : at + size] for at in range(0, len(data), size))
    assert [message for read in reads for message in splitter.split(read)] == sent


async def test_large_frames_are_read_among_small_ones() -> None:
    sent = [Alive(1, 2, 3), *_CARRIERS, CancelPrepare("r")]
    reader = reader_of(b"".join(map(pack_message, sent)))
    assert [await read_message(reader) for _ in range(5)] == [*sent, None]


async def test_a_large_frame_cut_short_reads_as_the_end() -> None:
    assert await read_message(reader_of(pack_message(_CARRIERS[0])[:-1])) is None


def test_what_a_large_frame_says_is_held_once_and_its_pictures_are_views_of_it() -> None:
    data = bytes(pack_message(_CARRIERS[0]))
    splitter = FrameSplitter()
    tracemalloc.start()
    try:
        heard = [
            m for at in range(0, len(data), 4096) for m in splitter.split(data[at : at + 4096])
        ]
        [image] = unpack_value(Prompt, prompt_in(heard[0])).images
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert image.rgb == _PIXELS
    # The frame's own memory is the system's; every copy would be Python's.
    assert peak_bytes < len(_PIXELS) / 4
