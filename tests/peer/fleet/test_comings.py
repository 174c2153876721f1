"""Who comes and goes between two views, and how it is noted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cortex.peer.fleet.comings import chronicler, comings
from cortex.peer.fleet.view import DeviceView, FleetView, PeerState, PeerView
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.observing.chronicle import Chronicle
from cortex.peer.observing.recent import Recent

ME = PeerView(NodeId(b"m" * 8), 1, "me", "up", is_self=True, build="cortex")
RTX = DeviceView("NVIDIA GeForce RTX 4090", 24 << 30)
BOREA = PeerView(
    NodeId(b"b" * 8),
    1,
    "borea",
    "up",
    False,
    (Address("192.168.1.21", 13132),),
    api="192.168.1.21:13131",
    build="cortex",
    devices=(RTX,),
    silent_s=4.6,
)


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


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"devices": (RTX, RTX, DeviceView("NVIDIA A100-SXM4", 1)), "api": None},
            "2x 4090 + 1x A100-SXM4, 192.168.1.21:13132",
        ),
        ({"devices": (), "roles": ("gateway",)}, "gateway, 192.168.1.21:13131"),
        # An API that is not for others is not told.
        (
            {"devices": (DeviceView("2 cores", 1),), "api": "127.0.0.1:13131"},
            "2 cores, 192.168.1.21:13132",
        ),
    ],
)
def test_a_peer_that_comes_is_told_with_what_it_computes_on_and_its_address(
    fields: dict[str, Any], words: str
) -> None:
    [joined] = comings(view(), view(replace(BOREA, **fields)))
    assert joined.text == f"joined ({words})"


def test_of_oneself_it_is_told_that_one_drains_and_no_more() -> None:
    def told(was: PeerState, now: PeerState) -> list[str]:
        views = (FleetView("f", ME.node, peers=(replace(ME, state=s),)) for s in (was, now))
        return [f"{one.peer} {one.text}" for one in comings(*views)]

    assert told("up", "draining") == ["me takes nothing new"]
    assert told("draining", "up") == ["me answers again"]
    assert told("draining", "left") == []
    assert list(comings(None, view())) == []


def test_the_chronicle_tells_of_the_others_not_of_oneself() -> None:
    chronicle = Chronicle(Recent(), lambda: 7.0)
    note = chronicler(chronicle)
    note(view(BOREA))
    note(view(replace(BOREA, state="suspect")))
    note(view(replace(BOREA, state="suspect", silent_s=9.0)))
    told = [(one.about, one.what, one.text) for one in chronicle.latest(9)]
    assert told == [
        ("borea", "joined", "joined (1x 4090, 192.168.1.21:13131)"),
        ("borea", "suspect", "has not answered for 5 s"),
    ]
    assert chronicle.latest(9, own_only=True) == []
