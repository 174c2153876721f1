"""What a peer tells of its address, and whom that is of use to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cortex.peer.fleet.notices import OF_KEYS, Notices
from cortex.peer.fleet.telling import About, ident
from cortex.peer.fleet.viewing import Viewer
from cortex.peer.gossip.facts import Facts
from cortex.peer.gossip.ids import NodeId
from cortex.peer.gossip.members import Standing, State
from cortex.peer.gossip.records import Address
from cortex.peer.gossip.sections import Ident, pack_content

OWN, OTHER = NodeId(b"own node"), NodeId(b"the twin")


def has_no_load(now_s: float, node: NodeId) -> None:
    return None


@pytest.mark.parametrize(
    ("listens", "told"),
    [
        ("0.0.0.0:31313", "10.0.0.7:31313"),
        ("[::]:31313", "10.0.0.7:31313"),
        ("127.0.0.1:13131", "127.0.0.1:13131"),
        ("192.168.1.20:13131", "192.168.1.20:13131"),
        ("", ""),
    ],
)
def test_an_api_on_every_address_is_told_by_the_one_that_others_reach(
    listens: str, told: str
) -> None:
    assert ident("atlas", [Address("10.0.0.7", 13132)], About(api=listens)).api == told
    both = [Address("fd00::7", 1), Address("10.0.0.7", 1)]
    assert ident("atlas", both, About(api="[::]:1")).api == "[fd00::7]:1"
    assert ident("atlas", both, About(api="0.0.0.0:1")).api == "10.0.0.7:1"


@pytest.mark.parametrize(
    ("ip", "api", "shown"),
    [
        ("10.0.0.9", "127.0.0.1:13131", None),
        ("10.0.0.9", "[::1]:13131", None),
        ("10.0.0.9", "10.0.0.9:13131", "10.0.0.9:13131"),
        ("10.0.0.7", "127.0.0.1:13133", "127.0.0.1:13133"),
        ("127.0.0.1", "127.0.0.1:13133", "127.0.0.1:13133"),
    ],
)
def test_an_api_that_only_its_own_machine_reaches_is_shown_there_alone(
    ip: str, api: str, shown: str | None
) -> None:
    standing = Standing(1, 0, State.ALIVE)
    own = SimpleNamespace(
        node=OWN, standing=standing, facts=Facts(), address=Address("10.0.0.7", 13132)
    )
    facts = Facts()
    told = ident("twin", [Address(ip, 13132)], About(api=api))
    facts.write(Ident.SECTION, pack_content(told))
    member = SimpleNamespace(
        node=OTHER,
        standing=standing,
        facts=facts,
        heard_from=Address(ip, 13132),
        published=Address(ip, 13132),
        since_s=0.0,
        heard_s=0.0,
        gen_since_s=0.0,
    )
    core: Any = SimpleNamespace(own=own, members=[member], load_of=has_no_load)
    view = Viewer("fleet", OWN).view(1.0, core, lambda digest: (), ())
    peer = view.peer(OTHER)
    assert peer is not None and peer.api == shown


def test_a_notice_ends_with_what_it_was_of() -> None:
    notices = Notices()
    notices.add(0.0, "a foreign fleet", "aa")
    notices.add(1.0, "a key that does not fit", OF_KEYS)
    notices.add(2.0, "no multicast")
    notices.forget({OF_KEYS})
    assert notices.at(3.0) == ("a foreign fleet", "no multicast")
    notices.forget({"aa"})
    assert notices.at(3.0) == ("no multicast",)
    assert notices.at(4000.0) == ()
