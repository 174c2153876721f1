"""What is pure of the hop: the order of sending, slices, and errors on their way."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine import errors as engine_errors
from cortex.engine.errors import CortexError, InsufficientVram, MemoryShortage
from cortex.engine.frames import FrameError
from cortex.engine.stream import Piece, Stage
from cortex.peer import errors as peer_errors
from cortex.peer.errors import RateLimitExceeded, RequestTooLarge, from_info, to_info
from cortex.peer.hop.calls import AnswerCall
from cortex.peer.hop.frames import pack, unpack
from cortex.peer.hop.link import SILENT_TICKS, TICK_S, HopLink
from cortex.peer.hop.messages import Beat, Cancel, Failed, Message, Part, Parts, Slice
from cortex.peer.hop.outbox import SLICE_BYTES, Outbox
from cortex.peer.hop.slices import Assembler


def all_errors() -> list[type[CortexError]]:
    """Every class that either tree names."""
    trees = (vars(engine_errors), vars(peer_errors))
    named = {thing for tree in trees for thing in tree.values() if isinstance(thing, type)}
    return sorted(
        (c for c in named if issubclass(c, CortexError) and c is not CortexError),
        key=lambda c: c.__name__,
    )


def sent(error: CortexError) -> CortexError:
    """The error as it comes out at the other end of a hop."""
    message = unpack(pack(Failed("a", to_info(error))))
    assert isinstance(message, Failed)
    return from_info(message.error)


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_is_the_same_one_behind_a_hop(kind: type[CortexError]):
    error = sent(kind("what happened", "what to do", param="messages"))
    assert type(error) is kind
    assert (error.message, error.hint, error.param) == ("what happened", "what to do", "messages")


@pytest.mark.parametrize("is_of_request", [True, False])
def test_error_that_only_a_newer_host_knows_stays_the_request_s_own(is_of_request: bool):
    class OfNextYear(CortexError, is_of_request=is_of_request): ...

    is_kept = type(sent(OfNextYear("what happened"))) is engine_errors.InvalidRequest
    assert is_kept == is_of_request


def test_what_an_error_knows_beside_its_words_comes_with_it():
    shortage = MemoryShortage(10, 5, is_final=True)
    full = sent(InsufficientVram("full", shortage=shortage))
    assert isinstance(full, InsufficientVram) and full.shortage == shortage
    limited = sent(RateLimitExceeded("slowly", retry_after_s=17))
    assert isinstance(limited, RateLimitExceeded) and limited.retry_after_s == 17


def drained(outbox: Outbox) -> list[Message]:
    messages: list[Message] = []
    while (frame := outbox.take()) is not None:
        message = unpack(frame)
        assert message is not None and len(frame) < 2 * SLICE_BYTES
        messages.append(message)
    return messages


def test_parts_are_joined_and_keep_their_place_among_messages():
    first, second = (Part(name, Stage("queued")) for name in "ab")
    outbox = Outbox()
    outbox.put_part(first)
    outbox.put_part(second)
    outbox.put(Cancel("a"))
    outbox.put_part(first)
    assert drained(outbox) == [Parts((first, second)), Cancel("a"), Parts((first,))]


def test_messages_pass_a_long_request_and_long_parts_keep_their_order():
    outbox = Outbox()
    outbox.put_request(b"a" * (3 * SLICE_BYTES), "long")
    outbox.put(Beat())
    kinds = [type(message).__name__ for message in drained(outbox)]
    assert kinds == ["Beat", "Slice", "Slice", "Slice"]
    outbox.put_part(Part("a", Piece((), tuple(range(SLICE_BYTES)))))
    outbox.put(Beat())
    kinds = [type(message).__name__ for message in drained(outbox)]
    assert kinds[-1] == "Beat" and set(kinds[:-1]) == {"Slice"}


def test_even_a_slow_link_brings_a_part_of_a_long_request_before_that_counts_as_silence():
    outbox = Outbox()
    outbox.put_request(bytes(1 << 20), "long")
    longest_bytes = max(map(len, iter(outbox.take, None)))
    assert longest_bytes / 20_000 < SILENT_TICKS * TICK_S


def test_withdrawn_request_goes_no_further():
    outbox = Outbox()
    outbox.put_request(b"a" * (3 * SLICE_BYTES), "long")
    outbox.put_request(b"b" * (2 * SLICE_BYTES), "other")
    outbox.take()
    outbox.withdraw("long")
    assert {m.request_id for m in drained(outbox) if isinstance(m, Slice)} == {"other"}


@given(st.lists(st.integers(1, 3 * SLICE_BYTES), max_size=4), st.data())
def test_sliced_messages_come_out_whole_one_after_the_other(sizes: list[int], data: st.DataObject):
    outbox, assembler = Outbox(), Assembler(4 * SLICE_BYTES, lambda _: nullcontext())
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    long = [frame for frame in frames if len(frame) > SLICE_BYTES]
    for number, frame in enumerate(long):
        outbox.put_request(frame, f"{number}")
    whole = [assembler.add(m) for m in drained(outbox) if isinstance(m, Slice)]
    assert [bytes(message) for message in whole if message is not None] == long


def test_too_long_a_message_is_refused_once_and_the_next_is_taken():
    assembler = Assembler(10, lambda _: nullcontext())
    with pytest.raises(RequestTooLarge, match="20 bytes"):
        assembler.add(Slice("a", 20, 0, b"0123456789"))
    assert assembler.add(Slice("a", 20, 10, b"0123456789")) is None
    assert assembler.add(Slice("b", 4, 0, b"0123")) == b"0123"


@pytest.mark.parametrize(
    "after", [Slice("a", 10, 5, b"0"), Slice("a", 9, 4, b"0"), Slice("a", 10, 4, b"0" * 7)]
)
def test_slice_that_does_not_follow_is_an_error(after: Slice):
    assembler = Assembler(10, lambda _: nullcontext())
    assembler.add(Slice("a", 10, 0, b"0123"))
    with pytest.raises(FrameError):
        assembler.add(after)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_frame_error(data: bytes):
    try:
        message = unpack(data)
    except FrameError:
        return
    assert message is None or isinstance(message, get_args(Message))


class MuteSocket:
    """Nothing comes over it."""

    is_closed = False

    async def receive(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.is_closed = True


async def test_a_link_that_is_cancelled_in_its_farewell_closes_its_socket():
    class Leaver:
        def end(self, why: str) -> None:
            asyncio.get_running_loop().call_soon(running.cancel)

    socket: Any = MuteSocket()
    ear: Any = Leaver()
    link = HopLink(socket, ear, Assembler(1, lambda _: nullcontext()))
    running = asyncio.create_task(link.run())
    await asyncio.sleep(0)
    link.close("it was over")
    with pytest.raises(asyncio.CancelledError):
        await running
    assert socket.is_closed


async def test_slow_reader_gets_pieces_melted_and_its_error_behind_them():
    call = AnswerCall(1)
    for token in range(1000):
        call.hear(Piece((), (token,)))
    call.end(peer_errors.HostLost("gone"))
    piece = await call.next()
    assert isinstance(piece, Piece) and piece.token_ids == tuple(range(1000))
    with pytest.raises(peer_errors.HostLost):
        await call.next()
