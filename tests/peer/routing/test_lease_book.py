"""What the book of an arbiter keeps to, whatever it is asked and whatever happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.peer.fleet.view import FleetView, PeerState, PeerView, PlacedModel, PlacementState
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.hop.messages import LeaseAsk
from cortex.peer.routing.lease_book import LeaseBook

MODEL = ModelId(b"model-id")
NODES = tuple(NodeId(n.to_bytes(8, "big")) for n in range(5))

nodes = st.lists(st.sampled_from(NODES), unique=True).map(tuple)
states = st.sampled_from(("up", "up", "draining", "suspect", "dead", "left"))
placings = st.sampled_from((None, None, "loading", "ready", "unloading"))
steps = st.tuples(
    nodes, nodes, nodes, st.lists(st.tuples(states, placings), min_size=5, max_size=5),
    st.integers(0, 20),
)  # fmt: skip


def view_of(peers: list[tuple[PeerState, PlacementState | None]]) -> FleetView:
    return FleetView("fleet", NODES[0], peers=tuple(map(peer_of, NODES, peers)))


def peer_of(node: NodeId, told: tuple[PeerState, PlacementState | None]) -> PeerView:
    state, placing = told
    placed = () if placing is None else (PlacedModel(MODEL, "m", placing, 1, 1),)
    return PeerView(node, 1, node.hex(), state, node == NODES[0], placed=placed)


@given(st.lists(steps, max_size=12))
def test_lease_is_never_for_one_that_is_of_no_use_and_ever_the_same_while_it_loads(
    told: list[
        tuple[
            tuple[NodeId, ...],
            tuple[NodeId, ...],
            tuple[NodeId, ...],
            list[tuple[PeerState, PlacementState | None]],
            int,
        ]
    ],
):
    book, now_s = LeaseBook(), 0
    for candidates, holders, lost, peers, passed_s in told:
        now_s += passed_s
        view = view_of(peers)
        wish = LeaseAsk("r", MODEL, candidates, holders, lost)
        leased = book.grant(wish, view, now_s)
        if leased is None:
            of_use = {peer.node for peer in view.peers if peer.takes_requests}
            assert not of_use.intersection(candidates) - {*holders, *lost}
            continue
        assert leased.holder not in {*holders, *lost}
        assert book.grant(wish, view, now_s) == leased


def grant(book: LeaseBook, view: FleetView, now_s: float, **wish: tuple[NodeId, ...]) -> NodeId:
    leased = book.grant(LeaseAsk("r", MODEL, NODES, **wish), view, now_s)
    assert leased is not None
    return leased.holder


IDLE: list[tuple[PeerState, PlacementState | None]] = [("up", None)] * 5


def with_third(state: PeerState, placing: PlacementState | None) -> FleetView:
    peers = list(IDLE)
    peers[2] = (state, placing)
    return view_of(peers)


def test_who_is_seen_loading_has_the_lease_before_anybody_asks():
    assert grant(LeaseBook(), with_third("up", "loading"), 0) == NODES[2]


def test_lease_lasts_as_long_as_its_holder_is_seen_loading_and_no_longer():
    book = LeaseBook()
    for now_s in range(0, 300, 20):
        assert grant(book, with_third("up", "loading"), now_s) == NODES[2]
    assert grant(book, with_third("up", "ready"), 301) == NODES[2]
    assert grant(book, view_of(IDLE), 302) == NODES[0], "it has been unloaded, or failed"


def test_holder_that_drains_or_dies_has_no_lease():
    for state in ("draining", "dead", "left"):
        book = LeaseBook()
        assert grant(book, with_third("up", "loading"), 0) == NODES[2]
        assert grant(book, with_third(state, "loading"), 1) == NODES[0]


def test_one_who_lost_a_loading_holder_gets_another_and_the_rest_do_not():
    book, view = LeaseBook(), with_third("up", "loading")
    assert grant(book, view, 0) == NODES[2]
    assert grant(book, view, 1, lost=(NODES[2],)) == NODES[0]
    assert grant(book, view, 2) == NODES[2]


def test_suspect_that_somebody_lost_is_nobodys_holder():
    book = LeaseBook()
    assert grant(book, with_third("up", "loading"), 0) == NODES[2]
    assert grant(book, with_third("suspect", "loading"), 1) == NODES[2], "it may only be slow"
    assert grant(book, with_third("suspect", "loading"), 2, lost=(NODES[2],)) == NODES[0]


def test_models_that_nobody_asks_about_any_more_are_forgotten():
    book = LeaseBook()
    for n in range(1100):
        book.grant(LeaseAsk("r", ModelId(n.to_bytes(8, "big")), NODES), view_of(IDLE), 0)
    assert len(book) <= 1024
    grant(book, view_of(IDLE), 100)
    assert len(book) == 1
