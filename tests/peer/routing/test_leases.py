"""One loader for a cold model, whoever asks and whoever dies: bursts of first requests on a whole
fleet, in a time that the test turns by hand.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from cortex.peer.errors import NoPeer
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.hop.messages import LeaseAsk, Leased
from cortex.peer.routing import leases
from cortex.peer.routing.leases import arbiters

MODEL = ModelId(b"model-id")
NUM_REQUESTS = 100


async def burst(fleet: Any, rng: random.Random) -> list[NodeId]:
    """A hundred first requests within a second, each at an ingress of its own."""
    holders: list[NodeId] = []
    for at_s in sorted(rng.random() for _ in range(NUM_REQUESTS)):
        fleet.now_s = at_s
        living = [node for node in fleet.nodes if node not in fleet.dead]
        holders.append(await fleet.ask(rng.choice(living)))
    return holders


def lagging(make_fleet: Any, rng: random.Random, num_peers: int = 10, **changes: Any) -> Any:
    return make_fleet(num_peers, rng, lambda: rng.uniform(0.3, 1.2), **changes)


@pytest.mark.parametrize("seed", range(10))
async def test_hundred_first_requests_on_ten_ingresses_have_one_loader(make_fleet: Any, seed: int):
    rng = random.Random(seed)
    fleet = lagging(make_fleet, rng)
    holders = await burst(fleet, rng)
    assert len(fleet.loads_s) == len(set(holders)) == 1


async def test_where_views_differ_and_questions_are_lost_duplicates_stay_below_one_in_a_hundred(
    make_fleet: Any,
):
    num_doubled, num_bursts = 0, 100
    for seed in range(num_bursts):
        rng = random.Random(seed)
        fleet = lagging(make_fleet, rng, loss=0.02, model=ModelId(rng.randbytes(8)))
        for node in fleet.nodes:
            if rng.random() < 0.05:
                fleet.blind_to[node] = rng.choice([n for n in fleet.nodes if n != node])
        await burst(fleet, rng)
        num_doubled += len(fleet.loads_s) > 1
    assert num_doubled <= num_bursts // 100


async def test_without_leases_the_same_views_would_load_it_often(make_fleet: Any):
    """What the test above would find if nobody decided."""
    num_doubled = 0
    for seed in range(20):
        rng = random.Random(seed)
        fleet = lagging(make_fleet, rng, loss=1.0)
        for node in fleet.nodes:
            if rng.random() < 0.2:
                fleet.blind_to[node] = rng.choice([n for n in fleet.nodes if n != node])
        await burst(fleet, rng)
        num_doubled += len(fleet.loads_s) > 1
    assert num_doubled > 2


@pytest.mark.parametrize(("now_s", "state"), [(1.0, "up"), (6.0, "dead")])
async def test_arbiter_that_dies_is_followed_by_one_that_sees_who_is_loading(
    make_fleet: Any, now_s: float, state: str
):
    fleet = make_fleet(10, random.Random(1))
    arbiter, _, *others = arbiters(fleet.view_of(fleet.nodes[0]), MODEL)
    holder = await fleet.leases[others[0]].place(MODEL, others)
    fleet.load(holder)
    fleet.kill(arbiter, seen_after_s=5.0)
    fleet.now_s = now_s
    assert fleet.view_of(holder).peer(arbiter).state == state
    candidates = [node for node in fleet.nodes if node not in (arbiter, holder)]
    for node in candidates:
        assert await fleet.leases[node].place(MODEL, candidates) == holder, "whoever it knows of"


async def test_holder_that_dies_frees_the_lease_and_one_other_loads(make_fleet: Any):
    rng = random.Random(2)
    fleet = lagging(make_fleet, rng)
    first = await fleet.ask(fleet.nodes[0])
    fleet.kill(first, seen_after_s=1.5)
    fleet.now_s = 0.1
    holders = await burst(fleet, rng)
    assert first not in holders
    assert len(set(holders)) == 1


async def test_holder_that_never_begins_loses_its_lease(make_fleet: Any):
    fleet = make_fleet(4, random.Random(3))
    own = fleet.leases[fleet.nodes[0]]
    first = await own.place(MODEL, fleet.nodes)
    assert await own.place(MODEL, fleet.nodes) == first
    others = [node for node in fleet.nodes if node != first]
    assert await own.place(MODEL, others) == first, "it is still expected to"
    fleet.now_s = 31.0
    assert await own.place(MODEL, others) != first


async def test_another_one_beside_the_holders_is_one_for_all_who_ask(make_fleet: Any):
    fleet = make_fleet(6, random.Random(4))
    first = await fleet.ask(fleet.nodes[0])
    asked = [
        await fleet.leases[node].place(MODEL, fleet.nodes, holders=[first]) for node in fleet.nodes
    ]
    assert len(set(asked)) == 1 and first not in asked


async def test_no_candidate_left_is_said(make_fleet: Any):
    fleet = make_fleet(3, random.Random(5))
    for node in fleet.nodes:
        with pytest.raises(NoPeer, match=MODEL.hex()):
            await fleet.leases[node].place(MODEL, fleet.nodes[:1], lost=fleet.nodes[:1])


async def test_parts_of_a_fleet_that_do_not_see_each_other_load_their_own(make_fleet: Any):
    fleet = make_fleet(2, random.Random(6))
    one, other = fleet.nodes
    fleet.blind_to = {one: other, other: one}
    fleet.loss = 1.0
    assert [await fleet.ask(node) for node in fleet.nodes] == [one, other]


async def test_question_is_asked_of_a_few_peers_and_then_decided_here(make_fleet: Any):
    fleet = make_fleet(20, random.Random(7), loss=1.0)
    last = arbiters(fleet.view_of(fleet.nodes[0]), MODEL)[-1]
    await fleet.leases[last].place(MODEL, fleet.nodes)
    assert fleet.num_questions == 3


async def test_questions_that_are_all_under_way_at_one_time_get_one_answer(make_fleet: Any):
    fleet = make_fleet(10, random.Random(8), pause=lambda: asyncio.sleep(0))
    asked = [
        fleet.leases[node].place(MODEL, fleet.nodes) for node in fleet.nodes for _ in range(10)
    ]
    assert len(set(await asyncio.gather(*asked))) == 1


async def test_arbiter_that_says_nothing_holds_nobody_up_for_long(
    make_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    for name in ("_ANSWER_S", "_FORWARD_S"):
        monkeypatch.setattr(leases, name, 0.02)
    fleet = make_fleet(3, random.Random(9), pause=lambda: asyncio.sleep(3600))
    last = arbiters(fleet.view_of(fleet.nodes[0]), MODEL)[-1]
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await fleet.leases[last].place(MODEL, fleet.nodes)
    assert loop.time() - began_s < 0.5


async def test_next_arbiter_is_asked_beside_those_that_say_nothing(
    make_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leases, "_SILENT_S", 0.01)
    monkeypatch.setattr(leases, "_FORWARD_S", 0.02)
    monkeypatch.setattr(leases, "_ANSWER_S", 0.6)
    fleet = make_fleet(8, random.Random(10))
    order = arbiters(fleet.view_of(fleet.nodes[0]), MODEL)
    fleet.silent = set(order[:2])
    async with asyncio.timeout(1):  # where both, one after the other, take longer
        places = [fleet.leases[node].place(MODEL, fleet.nodes) for node in order[3:]]
        assert len(set(await asyncio.gather(*places))) == 1


async def test_word_of_a_slow_arbiter_goes_before_that_of_the_next_one(
    make_fleet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(leases, "_SILENT_S", 0.0)
    fleet = make_fleet(4, random.Random(11))
    first, second, *_, asker = arbiters(fleet.view_of(fleet.nodes[0]), MODEL)

    async def lease(arbiter: NodeId, wish: LeaseAsk) -> Leased:
        for _ in range(5 if arbiter == first else 0):
            await asyncio.sleep(0)
        return Leased(wish.request_id, arbiter)

    monkeypatch.setattr(fleet.leases[asker]._hops, "lease", lease)
    assert await fleet.leases[asker].place(MODEL, fleet.nodes) == first != second
