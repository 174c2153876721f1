"""Programs that look on: what they read, how they keep it up to date, whom they ask next."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.errors import InvalidApiKey, NoPeer
from cortex.peer.fleet.rendering import Rendered, Renderer
from cortex.peer.fleet.view import DeviceView, FleetView, PeerState, PeerView, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.onlooker import wording
from cortex.peer.onlooker.asking import Asking, Door, Sight
from cortex.peer.onlooker.feed import Feed, Lost, News, Seen, others
from cortex.peer.onlooker.folding import fold
from cortex.peer.onlooker.happenings import Happening
from cortex.peer.onlooker.pictures import (
    FleetPicture,
    PictureReader,
    read_picture,
)

GIB = 1024**3
SELF = NodeId(b"self5678")


def peer(node: bytes, name: str, state: PeerState = "up", **changes: Any) -> PeerView:
    return PeerView(NodeId(node), 1, name, state, is_self=node == SELF, **changes)


def rendered(*peers: PeerView, fleet: str = "3fa2", notices: tuple[str, ...] = ()) -> Rendered:
    me = peer(SELF, "me", api="me:1")
    return Renderer().render(FleetView(fleet, SELF, peers=(me, *peers), notices=notices))


def told_of(*peers: PeerView, **changes: Any) -> dict[str, Any]:
    return rendered(*peers, **changes).whole(0.0)


def picture_of(*peers: PeerView, **changes: Any) -> FleetPicture:
    return read_picture(told_of(*peers, **changes))


_STORED = st.builds(
    StoredModel,
    st.just(ModelId(b"weights1")),
    st.sampled_from(["qwen", "llama"]),
    st.just(GIB),
    st.just(4096),
    st.just(("text",)),
    st.just(0),
)
_PEERS = st.builds(
    peer,
    st.sampled_from([b"node-%03d" % n for n in range(5)]),
    st.sampled_from(["b", "c"]),
    st.sampled_from(["up", "draining", "suspect", "dead", "left"]),
    silent_s=st.integers(0, 9).map(float),
    stored=st.lists(_STORED, max_size=2).map(tuple),
)
_VIEWS = st.tuples(
    st.lists(_PEERS, max_size=4, unique_by=lambda peer: peer.node),
    st.lists(st.text(max_size=3), max_size=2).map(tuple),
)


@given(st.lists(_VIEWS, min_size=1, max_size=5))
def test_whoever_folds_the_news_has_what_is_told(views: list[Any]) -> None:
    mine: dict[str, Any] = {}
    before: Rendered | None = None
    for peers, notices in views:
        ordered = sorted(peers, key=lambda peer: (peer.name, peer.node))
        after = rendered(*ordered, notices=notices)
        whole = after.whole(0.0)
        events = [("snapshot", whole)] if before is None else [*after.news(before, 0.0)]
        for name, what in (*events, ("ages", after.ages(0.0))):
            mine = fold(mine, name, json.loads(json.dumps(what)))
        by_node = {peer["node"]: peer for peer in whole["peers"]}
        assert {peer["node"]: peer for peer in mine["peers"]} == by_node
        assert [peer["name"] for peer in mine["peers"]] == [p["name"] for p in whole["peers"]]
        assert mine["notices"] == whole["notices"]
        before = after


def test_a_newer_peer_s_events_fields_and_states_are_passed_over() -> None:
    told = fold(told_of(), "weather", {"sun": True})
    told["peers"][0] |= {"state": "dreaming", "mood": 3}
    assert read_picture(told | {"moon": 1}).peers[0].state == "up"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"self": "a", "fleet": 1, "peers": []},
        {"self": "a", "fleet": "", "peers": {}},
        {"self": "a", "fleet": "", "peers": [7]},
        {"self": "a", "fleet": "", "peers": [{"node": "a", "name": "a"}]},
        {"self": "a", "fleet": "", "peers": [{"node": "a", "name": "a", "state": "up", "api": 1}]},
        {"self": "a", "fleet": "", "peers": [], "notices": [None]},
        told_of() | {"peers": [told_of()["peers"][0] | {"silent_s": float("inf")}]},
        told_of() | {"peers": [told_of()["peers"][0] | {"silent_s": True}]},
    ],
)
def test_what_no_peer_says_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read_picture(told)


def test_no_text_of_a_peer_moves_the_cursor() -> None:
    picture = picture_of(peer(b"node-001", "a\x1b[2J\x9b\n\u2028b"), notices=("x" * 9999,))
    assert picture.peers[1].name == "a[2Jb"
    assert len(picture.notices[0]) == 512


def test_memory_is_unknown_where_one_device_has_not_told() -> None:
    whole, silent = DeviceView("NVIDIA A10", 24 * GIB, 4 * GIB), DeviceView("NVIDIA A10", 24 * GIB)
    told, half = picture_of(
        peer(b"node-001", "a", devices=(whole, whole)), peer(b"node-002", "b", devices=(silent,))
    ).peers[1:]
    assert (wording.devices(told), wording.memory(told)) == ("2x A10", "40.0/48.0 GiB")
    assert wording.memory(half) == "?/24.0 GiB"


def test_a_peer_that_nobody_has_joined_says_how_to() -> None:
    [words, notice] = wording.worries(picture_of(notices=("looked on eth0",)))
    assert "cortex join KEY" in words and "--join HOST:13132" in words
    assert notice == "looked on eth0"
    assert wording.worries(picture_of(fleet="")) == []
    assert wording.worries(picture_of(peer(b"node-001", "a"))) == []


def test_others_are_asked_in_the_order_of_their_health() -> None:
    picture = picture_of(
        peer(b"node-001", "a", "suspect", api="a:1"),
        peer(b"node-002", "b", "dead", api="b:1"),
        peer(b"node-003", "c", api="c:1"),
        peer(b"node-004", "d"),
    )
    assert others(picture) == ["c:1", "a:1"]


class FakeAsking:
    """Peers by their address, each with the sights that it gives before it is gone."""

    def __init__(self, **peers: list[dict[str, Any]]) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._peers = peers

    def events(self, door: Door) -> Generator[Sight]:
        self.asked.append((door.address, door.key))
        for told in self._peers.pop(door.address, []):
            yield Sight(told, read_picture(told))
        raise NoPeer(f"{door.address} is gone")

    def close(self) -> None: ...


def taken(feed: Feed, number: int) -> list[News]:
    found: list[News] = []
    for one in feed.news():
        found.append(one)
        if len(found) == number:
            feed.close()
    return found


def addresses(found: Sequence[News]) -> list[Any]:
    return [one.address if isinstance(one, Seen) else None for one in found]


def feed_of(asking: Any, *doors: Door, key: str | None = "general") -> Feed:
    return Feed(lambda: doors, key, asking, retry_s=0.0)


def test_a_feed_goes_on_with_another_peer_of_the_last_picture() -> None:
    a = told_of(peer(b"node-002", "b", api="b"))
    asking = FakeAsking(a=[a, a], b=[told_of()])
    found = taken(feed_of(asking, Door("a", "noted")), 4)
    assert addresses(found) == ["a", "a", None, "b"]
    assert isinstance(lost := found[2], Lost) and (lost.address, lost.retry_s) == ("a", 0.0)
    # The key of one peer's note opens no other peer.
    assert asking.asked == [("a", "noted"), ("b", "general")]


def test_a_feed_that_finds_nobody_says_why_and_asks_all_again() -> None:
    asking = FakeAsking()
    found = taken(Feed(lambda: [Door("a"), Door("b")], None, _any(asking), retry_s=0.001), 2)
    assert [str(one.error.message) for one in found if isinstance(one, Lost)] == ["b is gone"] * 2
    assert [address for address, _ in asking.asked] == ["a", "b", "a", "b"]
    [nobody] = taken(Feed(lambda: [], None, _any(asking)), 1)
    assert isinstance(nobody, Lost) and nobody.error.hint.startswith("start one with: cortex peer")


def test_another_fleet_behind_an_address_of_the_picture_is_not_shown() -> None:
    a = told_of(peer(b"node-002", "b", api="b"))
    asking = FakeAsking(a=[a], b=[told_of(fleet="other")])
    found = taken(feed_of(asking, Door("a")), 3)
    assert addresses(found) == ["a", None, None]
    # A fleet may change its key where somebody looks on by name.
    asking = FakeAsking(a=[told_of()], c=[told_of(fleet="other")])
    assert addresses(taken(feed_of(asking, Door("a"), Door("c")), 3)) == ["a", None, "c"]


def _any(value: Any) -> Any:
    return value


@contextmanager
def answering(*chunks: bytes, stays: bool = False) -> Generator[str]:
    """A server of one connection that says these words; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for chunk in chunks:
                    connection.sendall(chunk)
                if stays:
                    over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def reply(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (reply(b"{}"), NoPeer, "is no cortex peer"),
        (reply(b"<html>"), NoPeer, "is no cortex peer"),
        (reply(b"[" * 100_000), NoPeer, "is no cortex peer"),
        (reply(b"[]"), NoPeer, "is no cortex peer"),
        (b"SSH-2.0-OpenSSH\r\n", NoPeer, "is no cortex peer"),
        (reply(b"", "404 Not Found"), NoPeer, "shows no fleet"),
        (reply(b"", "401 Unauthorized"), InvalidApiKey, "API key"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", NoPeer, "no cortex peer|broke off"),
    ],
)
def test_what_answers_otherwise_is_told_in_a_sentence(
    said: bytes, kind: type[Exception], words: str
) -> None:
    with answering(said) as address, pytest.raises(kind, match=words):
        Asking(5).fleet(Door(address))


def test_an_address_where_nobody_is_or_that_is_none() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(NoPeer, match="no peer answers at"):
            Asking(5).fleet(Door(address))
    for wrong in ("127.0.0.1:notaport", "", "a b:1", "a:99999"):
        with pytest.raises(NoPeer):
            Asking(5).fleet(Door(wrong))


@pytest.mark.parametrize("said", [(), (STREAM + chunk(b"event: snap"),)])
def test_a_peer_that_falls_silent_counts_as_gone(said: tuple[bytes, ...]) -> None:
    with (
        answering(*said, stays=True) as address,
        pytest.raises(NoPeer, match=r"silent for 0\.05 s"),
    ):
        list(Asking(0.05).events(Door(address)))


def test_a_stream_is_read_whatever_its_pieces_until_it_breaks_off() -> None:
    text = b"event: snapshot\ndata: " + json.dumps(told_of()).encode() + b"\n\n: rest\n\n"
    said = [STREAM, *(chunk(text[at : at + 7]) for at in range(0, len(text), 7))]
    with answering(*said) as address:
        seen = Asking(5).events(Door(address))
        assert next(seen).picture.fleet == "3fa2"
        with pytest.raises(NoPeer, match="has ended"):
            next(seen)


def test_what_happens_comes_with_the_picture_that_it_changes_nothing_of() -> None:
    happened = {"time": 7, "peer": "a", "what": "evicted", "model": "m", "text": "evicted m"}
    told = (("snapshot", told_of()), ("happening", happened), ("happening", {"time": 7}))
    text = b"".join(f"event: {name}\ndata: {json.dumps(what)}\n\n".encode() for name, what in told)
    with answering(STREAM, chunk(text)) as address:
        seen = Asking(5).events(Door(address))
        first, second = next(seen), next(seen)
        assert first.happening is None and second.picture == first.picture
        assert second.happening == Happening(7, "a", "evicted", "m", "evicted m")
        with pytest.raises(NoPeer, match="no cortex peer"):
            next(seen)


async def test_a_stream_that_nobody_wants_any_more_ends_at_once() -> None:
    asking = Asking(60)
    with answering(STREAM, stays=True) as address:
        reading = asyncio.create_task(asyncio.to_thread(lambda: list(asking.events(Door(address)))))
        async with asyncio.timeout(30):
            while not reading.done():
                asking.close()
                await asyncio.sleep(0.01)
        with pytest.raises(NoPeer):
            reading.result()


def test_only_peers_that_are_told_anew_are_read_again() -> None:
    stored = (StoredModel(ModelId(b"weights1"), "qwen", GIB, 4096, ("text",), 0),)
    told = told_of(peer(b"node-001", "a", stored=stored), peer(b"node-002", "b"))
    reader = PictureReader()
    before = reader.read(told)
    changed = {**told["peers"][1], "state": "suspect"}
    after = reader.read({**told, "peers": [told["peers"][0], changed, told["peers"][2]]})
    assert after.peers[0] is before.peers[0] and after.peers[2] is before.peers[2]
    assert after == read_picture({**told, "peers": [told["peers"][0], changed, told["peers"][2]]})
    assert after.peers[1].stored is before.peers[1].stored, "its disk was not told anew"
    other = {**told, "self": told["peers"][1]["node"]}
    assert reader.read(other) == read_picture(other) != after
