"""Who comes and goes between two views, and how it is noted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cortex.peer.fleet.comings import chronicler, comings
from cortex.peer.fleet.view import FleetView, PeerState, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.observing.chronicle import Chronicle
from cortex.peer.observing.recent import Recent

ME = PeerView(NodeId(b"m" * 8), 1, "me", "up", is_self=True, build="cortex")
BOREA = PeerView(NodeId(b"b" * 8), 1, "borea", "up", is_self=False, build="cortex", silent_s=4.6)


def view(*others: PeerView) -> FleetView:
    return FleetView("f", ME.node, peers=(ME, *others))


@pytest.mark.parametrize(
    ("was", "now", "what"),
    [
        (None, "up", "joined"),
        (None, "suspect", "suspect"),
        (None, "dead", None),
        (None, "left", None),
        ("up", "up", None),
        ("up", "suspect", "suspect"),
        ("suspect", "up", "back"),
        ("suspect", "dead", "dead"),
        ("dead", "up", "joined"),
        ("left", "up", "joined"),
        ("up", "draining", "draining"),
        ("draining", "left", "left"),
    ],
)
def test_what_becomes_of_a_peer_is_told_once(
    was: PeerState | None, now: PeerState, what: str | None
) -> None:
    before = view() if was is None else view(replace(BOREA, state=was))
    told = list(comings(before, view(replace(BOREA, state=now))))
    assert [(one.peer, one.what) for one in told] == ([("borea", what)] if what else [])


def test_who_has_not_said_who_he_is_has_not_joined_yet() -> None:
    stranger = replace(BOREA, build="")
    assert list(comings(view(), view(stranger))) == []
    assert [one.what for one in comings(view(stranger), view(BOREA))] == ["joined"]


def test_the_chronicle_tells_of_the_others_not_of_oneself() -> None:
    chronicle = Chronicle(Recent(), lambda: 7.0)
    note = chronicler(chronicle, view())
    note(view(BOREA))
    note(view(replace(BOREA, state="suspect")))
    note(view(replace(BOREA, state="suspect", silent_s=9.0)))
    told = [(one.about, one.what, one.text) for one in chronicle.latest(9)]
    assert told == [
        ("borea", "joined", "joined the fleet"),
        ("borea", "suspect", "has not answered for 5 s"),
    ]
    assert chronicle.latest(9, own_only=True) == []
