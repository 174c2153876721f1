"""A child's socket: nothing is read too early, whole messages are heard, the end is told once."""

from __future__ import annotations

import asyncio
import mmap
import socket
import weakref
from collections.abc import AsyncIterator

import pytest
from msgspec import Raw, msgpack

from cortex.engine.frames import LARGE_BYTES, pack_message, pack_parts
from cortex.engine.messages import Alive, Generate, Message, Prepared, Unloaded, Wanted
from cortex.peer.children.link import FrameLink, open_link

DEADLINE_S = 20
SAID: list[Message] = [Alive(1, 2, 3), Unloaded("job-1", "m"), Alive(4, 5, 6)]


class Ends:
    """A link, and the other end of its socket."""

    def __init__(self, link: FrameLink, child: socket.socket) -> None:
        self.link = link
        self.child = child

    def say(self, *messages: Message) -> None:
        self.child.sendall(b"".join(pack_message(message) for message in messages))


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    ends = Ends(await open_link(ours), theirs)
    yield ends
    ends.link.close()
    theirs.close()
    await ends.link.ended


async def test_messages_said_before_anybody_listens_are_heard_in_order(ends: Ends):
    heard: list[Message] = []
    ends.say(*SAID)
    await asyncio.sleep(0)
    assert ends.link.num_heard == 0
    ends.link.listen(heard.append)
    ends.child.close()
    async with asyncio.timeout(DEADLINE_S):
        assert await ends.link.ended == "ended"
    assert heard == SAID


async def test_bytes_that_are_no_message_end_the_link_and_what_follows_is_not_heard(ends: Ends):
    heard: list[Message] = []
    ends.link.listen(heard.append)
    ends.child.sendall(pack_message(SAID[0]) + b"\x00\x00\x00\x01\xc1" + pack_message(SAID[1]))
    async with asyncio.timeout(DEADLINE_S):
        assert (await ends.link.ended).startswith("sent a frame")
    assert heard == SAID[:1]


async def test_what_the_listener_raises_is_told_to_who_waits_for_the_end():
    ours, theirs = socket.socketpair()
    link = await open_link(ours)

    def stumble(message: Message) -> None:
        raise KeyError("a bug")

    link.listen(stumble)
    with theirs:
        theirs.sendall(pack_message(SAID[0]))
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(KeyError):
                await link.ended
    link.close()


async def test_frames_arrive_in_order_and_whole_however_large_they_are(ends: Ends):
    frames = [b"first", bytes(3_000_000), b"last"]
    for frame in frames:
        ends.link.send(frame)
    ends.child.setblocking(False)
    came = bytearray()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_S):
        while len(came) < sum(map(len, frames)):
            came += await loop.sock_recv(ends.child, 1_000_000)
    assert came == b"".join(frames)


async def test_first_frame_of_a_turn_of_the_loop_goes_at_once_and_the_others_together(ends: Ends):
    ends.child.setblocking(False)
    for number in range(4):
        ends.link.send(b"%d" % number)
    assert ends.child.recv(100) == b"0"
    with pytest.raises(BlockingIOError):
        ends.child.recv(100)
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.get_running_loop().sock_recv(ends.child, 100) == b"123"


async def test_a_large_prompt_that_was_heard_is_passed_on_as_it_is(ends: Ends):
    pixels = Raw(msgpack.encode(bytes(5 * LARGE_BYTES)))
    frame = pack_message(Prepared("r", 1, (), 9, b"", pixels))
    loop = asyncio.get_running_loop()
    ends.child.setblocking(False)
    heard: asyncio.Queue[Message] = asyncio.Queue()
    ends.link.listen(heard.put_nowait)
    async with asyncio.timeout(DEADLINE_S):
        await loop.sock_sendall(ends.child, frame)
        prepared = await heard.get()
        assert isinstance(prepared, Prepared) and prepared.prompt == pixels
        generate = Generate("m", (Wanted("r.0", 1), Wanted("r.1", 1)), prepared.prompt)
        for part in pack_parts(generate):
            ends.link.send(part)
        wanted, came = pack_message(generate), bytearray()
        while len(came) < len(wanted):
            came += await loop.sock_recv(ends.child, 1_000_000)
    assert came == wanted


async def test_a_link_that_has_ended_holds_nothing_that_was_on_its_way(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
):
    bodies: list[weakref.ref[mmap.mmap]] = []
    make = mmap.mmap

    def noted(fileno: int, length: int, *, flags: int) -> mmap.mmap:
        body = make(fileno, length, flags=flags)
        bodies.append(weakref.ref(body))
        return body

    monkeypatch.setattr(mmap, "mmap", noted)
    unsent = bytearray(5 * LARGE_BYTES)
    async with asyncio.timeout(DEADLINE_S):
        ends.link.listen(lambda _: None)
        ends.link.send(unsent)
        ends.child.sendall((2 * LARGE_BYTES).to_bytes(4, "big") + b"half a message")
        while not bodies:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0)
        assert bodies[0]() is not None
        ends.child.close()
        await ends.link.ended
    assert bodies[0]() is None
    unsent.clear()  # which it refuses while there are views of it
