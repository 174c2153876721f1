"""A key is used or dropped only where the peers of the fleet are ready, or with --yes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from cortex.cli.errors import UsageProblem
from cortex.cli.key_coverage import must_hold, must_not_use
from cortex.peer.keys.fleet_key import new_fleet_key
from cortex.peer.keys.keyring import Keyring
from cortex.peer.onlooker.pictures import FleetPicture, PeerPicture

OLD, NEW, FOREIGN = (new_fleet_key(random.Random(number).randbytes) for number in (1, 2, 3))
OLD_ID, NEW_ID = OLD.key_id.hex(), NEW.key_id.hex()
NOTHING: Any = ()
ATLAS = PeerPicture(
    node="a",
    name="atlas",
    state="up",
    is_asked=True,
    api=None,
    address=None,
    devices=NOTHING,
    models=NOTHING,
    stored=NOTHING,
    load=None,
    silent_s=0.0,
    build="",
    roles=NOTHING,
    num_cores=1,
    key_used=OLD_ID,
    keys_held=(OLD_ID, NEW_ID),
)
BOREA = replace(ATLAS, node="b", name="borea", is_asked=False)
RING = Keyring(NEW, (OLD,))


def picture_of(*peers: PeerPicture) -> FleetPicture:
    return FleetPicture(OLD_ID, (ATLAS, *peers), ())


def test_a_key_that_a_peer_does_not_hold_is_not_used() -> None:
    must_hold(picture_of(BOREA), RING, NEW_ID)
    late = replace(BOREA, keys_held=(OLD_ID,))
    with pytest.raises(UsageProblem, match=f"borea does not have fleet key {NEW_ID} yet") as caught:
        must_hold(picture_of(late), RING, NEW_ID)
    assert "--yes" in caught.value.hint
    with pytest.raises(UsageProblem, match="borea, celia do not have"):
        must_hold(picture_of(late, replace(late, node="c", name="celia")), RING, NEW_ID)


def test_a_key_that_a_peer_uses_is_not_dropped() -> None:
    ring = RING.dropping(OLD.key_id)
    must_not_use(picture_of(replace(BOREA, key_used=NEW_ID)), ring, OLD_ID)
    with pytest.raises(UsageProblem, match="borea does not use another fleet key") as caught:
        must_not_use(picture_of(BOREA), ring, OLD_ID)
    assert f"cortex key use {NEW_ID}" in caught.value.hint


@pytest.mark.parametrize("changes", [{"state": "dead"}, {"state": "left"}, {"key_used": ""}])
def test_who_is_not_here_or_tells_nothing_is_not_waited_for(changes: dict[str, Any]) -> None:
    must_hold(picture_of(replace(BOREA, keys_held=(), **changes)), RING, NEW_ID)


def test_without_a_peer_of_this_fleet_nobody_is_asked_for() -> None:
    late = replace(BOREA, keys_held=())
    must_hold(None, RING, NEW_ID)
    foreign = replace(ATLAS, key_used=FOREIGN.key_id.hex())
    must_hold(FleetPicture("", (foreign, late), ()), RING, NEW_ID)
    with pytest.raises(UsageProblem):
        must_hold(picture_of(late), RING, NEW_ID)
