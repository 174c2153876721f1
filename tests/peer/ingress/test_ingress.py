"""Requests that find their peer: retries, queues, cold models, counts and vectors."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    EngineFailed,
    InsufficientVram,
    InvalidRequest,
    ModelInvalid,
    ModelNotFound,
    Overloaded,
    VisionUnsupported,
)
from cortex.engine.messages import Loaded
from cortex.engine.stream import Accepted, Piece, Stage
from cortex.engine.types import ImagePart, RawText, VectorWish
from cortex.peer.errors import AttemptsExhausted, HostLost, HostOutdated, UnsupportedParameter
from cortex.peer.gossip.messages import LoadAnswer
from cortex.peer.models.names import ModelNames
from cortex.peer.observing.live import LiveRequest
from cortex.peer.routing import asked


def live_request(*, is_streamed: bool = False, began_s: float | None = None) -> LiveRequest:
    now_s = asyncio.get_running_loop().time() if began_s is None else began_s
    live = LiveRequest("id", "chat", "-", now_s)
    live.is_streamed = is_streamed
    return live


async def test_a_gateway_answers_with_what_others_have(open_fleet: Any, listen: Any, ask: Any):
    live = live_request()
    async with open_fleet(2) as fleet:
        told = await listen(fleet, ask(), live)
        assert told.num_accepted == 1 and told.ends[0][0] == "length"
        assert (live.host, live.start, live.model_id) == ("peer1", "cold", "fake")
        assert live.queue_s is not None and live.completion_tokens == 12
        assert [model.id for model in await fleet.ingress.models()] == ["fake"]


async def test_turns_of_a_conversation_go_to_one_peer(open_fleet: Any, listen: Any, ask: Any):
    async with open_fleet(5) as fleet:
        for text in "abcdefgh":
            fleet.hops.asked.clear()
            for _ in range(2):
                await listen(fleet, ask(text))
            first, second = (host for host, _ in fleet.hops.asked)
            assert first == second


async def test_a_failed_start_is_tried_elsewhere_twice_and_no_more(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(5) as fleet:
        fleet.hops.refusing = set(list(fleet.hops.nodes)[:2])
        assert (await listen(fleet, ask())).ends
        fleet.hops.asked.clear()
        fleet.hops.refusing = set(fleet.hops.nodes)
        with pytest.raises(EngineFailed, match="came to nothing on peer"):
            await listen(fleet, ask())
        hosts = [host for host, _ in fleet.hops.asked]
        assert len(hosts) == len(set(hosts)) == 3


async def test_a_peer_that_refused_a_connection_is_asked_last(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        await listen(fleet, ask())
        first = fleet.hops.asked[0][0]
        fleet.hops.refusing = {first}
        await listen(fleet, ask())
        fleet.hops.asked.clear()
        await listen(fleet, ask())
        [(host, _)] = fleet.hops.asked
        assert host != first


async def test_what_is_wrong_with_the_request_is_tried_nowhere_else(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0], lambda: InvalidRequest("no")
        with pytest.raises(InvalidRequest):
            await listen(fleet, ask())
        assert len(fleet.hops.asked) == 1


@pytest.mark.parametrize("kind", [ContextLengthExceeded, UnsupportedParameter, HostOutdated])
async def test_a_prompt_too_long_or_in_words_too_new_for_one_peer_goes_to_another(
    open_fleet: Any, listen: Any, ask: Any, kind: type[CortexError]
):
    async with open_fleet(3) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0], lambda: kind("not here")
        assert (await listen(fleet, ask())).ends
        assert len({host for host, _ in fleet.hops.asked}) == 2
        fleet.hops.deaths = [0, 0]
        live = LiveRequest("req_1", "openai", "", 0.0)
        with pytest.raises(kind):
            await listen(fleet, ask(), live)
        assert len(fleet.hops.asked) == 4
        # Nobody was lost, and the request is refused for what is wrong with it.
        assert (live.num_failovers, fleet.local.tally.failovers) == (0, {})
        assert not fleet.local.chronicle.latest(9)


async def test_a_broken_copy_of_a_model_is_tried_elsewhere_twice_and_no_more(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(6) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0], lambda: ModelInvalid("cut off")
        assert (await listen(fleet, ask())).ends
        assert len({host for host, _ in fleet.hops.asked}) == 2
        fleet.hops.asked.clear()
        fleet.hops.deaths = [0] * 5
        with pytest.raises(ModelInvalid, match="cut off"):
            await listen(fleet, ask())
        assert len({host for host, _ in fleet.hops.asked}) == 3


async def test_where_no_peer_has_room_the_client_hears_why_of_all_of_them(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(4) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0, 0, 0], lambda: InsufficientVram("no room")
        with pytest.raises(InsufficientVram) as refused:
            await listen(fleet, ask())
        hosts = [host for host, _ in fleet.hops.asked]
        assert len(hosts) == len(set(hosts)) == 3
        told = refused.value.message
        assert told.startswith("'fake' has no place now: ")
        assert sorted(told.partition("now: ")[2].split("; ")) == [
            f"peer{number}: no room" for number in (1, 2, 3)
        ]


async def test_where_one_peer_has_no_room_the_next_one_answers(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(4) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0, 0], lambda: InsufficientVram("no room")
        assert (await listen(fleet, ask())).ends
        assert len({host for host, _ in fleet.hops.asked}) == 3


async def test_no_more_than_eight_peers_are_asked_that_have_no_room(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(12) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0] * 11, lambda: InsufficientVram("no room")
        with pytest.raises(InsufficientVram):
            await listen(fleet, ask())
        assert len(fleet.hops.asked) == 8


async def test_a_request_that_ends_engines_is_not_passed_on_for_ever(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(6) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0] * 5, lambda: AttemptsExhausted("three times")
        with pytest.raises(AttemptsExhausted):
            await listen(fleet, ask())
        assert len(fleet.hops.asked) == 2


async def test_a_client_that_leaves_ends_the_work_there(open_fleet: Any, ask: Any):
    async with open_fleet(2) as fleet:
        events = fleet.ingress.chat(ask(max_tokens=1000), None)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Piece):
                    break
        assert fleet.hops.num_closed == 1
        assert fleet.hops.nodes[b"\0" * 7 + b"\1"].health.live_requests == 0
        await asyncio.wait_for(fleet.ingress.idle(), 1)


async def test_a_full_peer_is_passed_over_and_a_full_fleet_says_when_to_come_back(
    open_fleet: Any, listen: Any, ask: Any, loop_time: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked, "_PATIENCE_S", 1.0)
    async with open_fleet(3) as fleet:
        for node in fleet.hops.nodes:
            load = fleet.membership.view.peer(node).load
            fleet.membership.answers[node] = LoadAnswer(
                node=node, gen=1, seq=1, load=load, verdict="busy", wait_ms=6500
            )
        began_s = loop_time()
        with pytest.raises(Overloaded, match="peer1, peer2") as caught:
            await listen(fleet, ask())
        assert caught.value.retry_after_s == 7
        assert 0.9 < loop_time() - began_s < 3, "it hopes for a place for a while"
        asking = asyncio.create_task(listen(fleet, ask()))
        await asyncio.sleep(0)
        fleet.membership.answers.clear()
        assert (await asking).ends


async def test_a_full_peer_that_would_have_to_load_the_model_is_waited_for_no_longer(
    open_fleet: Any, listen: Any, ask: Any, loop_time: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(asked, "_PATIENCE_S", 1.0)
    async with open_fleet(2) as fleet:
        fleet.membership.change(1, placed=())
        fleet.hops.full = set(fleet.hops.nodes)
        began_s = loop_time()
        with pytest.raises(Overloaded, match="every peer that holds 'fake' is busy: peer1"):
            await listen(fleet, ask())
        assert loop_time() - began_s < 3


async def test_who_waits_for_a_place_hears_so_within_a_second(
    open_fleet: Any, ask: Any, loop_time: Any
):
    live = live_request(is_streamed=True)
    async with open_fleet(2) as fleet:
        (host,) = fleet.hops.full = set(fleet.hops.nodes)
        began_s = loop_time()
        async with aclosing(fleet.ingress.chat(ask(), live)) as events:
            for _ in range(3):
                assert await anext(events) == Stage("queued")
                assert loop_time() - began_s < 1
                began_s = loop_time()
            assert live.host == "", "nobody has taken it"
            fleet.hops.full.remove(host)
            assert any([isinstance(event, Accepted) async for event in events])
            assert live.host == "peer1"
        # It was refused there again and again, and was taken nowhere else.
        assert len(fleet.hops.asked) > 2
        assert (live.num_failovers, fleet.local.tally.failovers) == (0, {})


async def test_a_host_that_turns_out_full_sends_the_request_on(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(3) as fleet:
        fleet.hops.deaths, fleet.hops.error = [0], lambda: Overloaded("full")
        assert (await listen(fleet, ask())).ends
        assert len({host for host, _ in fleet.hops.asked}) == 2
        assert fleet.local.tally.failovers == {("fake", "retry", "overloaded"): 1}


async def test_where_all_who_have_a_model_are_full_one_that_is_getting_it_is_asked(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        fleet.hops.full = {fleet_values.node(1)}
        fleet.membership.change(2, placed=fleet_values.peer(2, warmth="loading").placed)
        assert (await listen(fleet, ask())).ends
        assert [host for host, _ in fleet.hops.asked] == [
            fleet_values.node(1),
            fleet_values.node(2),
        ]


async def test_a_burst_over_what_hosts_take_waits_instead_of_being_refused(
    open_fleet: Any, listen: Any, ask: Any
):
    """Gossip says that there is room for all of them, and each host takes two."""
    async with open_fleet(3, max_live_requests=2) as fleet:
        asking = [listen(fleet, ask(f"number {number}")) for number in range(16)]
        assert all(told.ends for told in await asyncio.gather(*asking))


async def test_own_sends_count_until_they_show_in_a_record(
    open_fleet: Any, ask: Any, fleet_values: Any, loop_time: Any
):
    """Gossip alone: nobody answers probes, and each request keeps its place."""
    async with open_fleet(3) as fleet:
        fleet.membership.mute = set(fleet.hops.nodes)
        for node in fleet.hops.nodes:
            number = int.from_bytes(node, "big")
            record = fleet_values.load(node, num_live=1, num_free=0)
            fleet.membership.change(number, load=record, made_s=loop_time())
        started: list[Any] = []
        for _ in range(12):
            events = fleet.ingress.chat(ask(max_tokens=5000), None)
            started.append(events)
            await anext(events)
        hosts = [host for host, _ in fleet.hops.asked]
        for events in started:
            await events.aclose()
        assert {hosts.count(node) for node in fleet.hops.nodes} == {6}


async def test_a_cold_model_is_loaded_where_the_arbiter_says(
    open_fleet: Any, listen: Any, ask: Any
):
    live = live_request(is_streamed=True)
    async with open_fleet(4) as fleet:
        for number in (1, 2, 3):
            fleet.membership.change(number, placed=())
        await listen(fleet, ask(), live)
        (asked,) = fleet.places.asked
        assert len(asked) == 3
        assert fleet.hops.asked[0][0] == asked[0]
        assert live.start == "cold"


async def test_a_loading_peer_is_waited_for_and_no_other_begins(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(4) as fleet:
        for number in (1, 2, 3):
            fleet.membership.change(number, placed=())
        loading = fleet_values.peer(2, warmth="loading")
        fleet.membership.change(2, placed=loading.placed)
        await listen(fleet, ask())
        assert fleet.hops.asked[0][0] == fleet_values.node(2)
        assert fleet.places.asked == []


async def test_a_copy_is_placed_on_an_idle_holder_where_the_warm_are_full(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        full = fleet_values.load(fleet_values.node(1), num_live=8, num_free=0)
        fleet.membership.change(1, load=full)
        fleet.membership.change(2, placed=())
        await listen(fleet, ask())
        assert fleet.places.asked == [(fleet_values.node(2),)]
        assert fleet.hops.asked[0][0] == fleet_values.node(2)


async def test_a_plain_request_waits_for_a_load_no_longer_than_is_due(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2, cold_wait_s=0.2, eta_s=33.3) as fleet:
        fleet.membership.change(1, placed=())
        node = fleet.hops.nodes[b"\0" * 7 + b"\1"]
        never = asyncio.Event()

        async def load(*_: object) -> Loaded:
            await never.wait()
            return Loaded("job", "fake", 0, 0.0)

        node._rack.devices.load = load  # pyright: ignore
        with pytest.raises(Overloaded, match="is being loaded on peer1") as caught:
            await listen(fleet, ask(), live_request())
        assert caught.value.retry_after_s == 34
        events = fleet.ingress.chat(ask(), live_request(is_streamed=True))
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Accepted):
                    break
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    async for event in events:
                        assert not isinstance(event, Piece)
        never.set()


async def test_a_plain_request_that_is_old_waits_for_a_load_as_long_as_any(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2) as fleet:
        fleet.membership.change(1, placed=())
        live = live_request()
        live.began_s -= 1000.0
        assert (await listen(fleet, ask(), live)).ends


async def test_a_plain_request_waits_no_longer_where_the_host_turns_out_to_be_cold(
    open_fleet: Any, listen: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
):
    never = asyncio.Event()

    async def load(place: Any, on_stage: Any) -> Loaded:
        on_stage(Stage("loading"))
        await never.wait()
        return Loaded("job", "fake", 0, 0.0)

    async with open_fleet(2, cold_wait_s=0.2) as fleet:  # by the fleet's word it is warm
        (node,) = fleet.hops.nodes.values()
        monkeypatch.setattr(node._rack.devices, "load", load)
        try:
            async with asyncio.timeout(3):
                with pytest.raises(Overloaded, match="is being loaded on peer1"):
                    await listen(fleet, ask(), live_request())
        finally:
            never.set()


async def test_counts_come_from_this_peer_or_from_one_that_can(
    open_fleet: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3, is_gateway=False) as fleet:
        number = await fleet.ingress.count(ask())
        assert fleet.hops.asked == []
        fleet.membership.change(0, state="draining")
        fleet.hops.refusing = {fleet_values.node(1)}
        for text in "abcd":
            assert await fleet.ingress.count(ask(text)) > 0
        assert await fleet.ingress.count(ask()) == number
        fleet.hops.refusing.add(fleet_values.node(2))
        with pytest.raises(HostLost):
            await fleet.ingress.count(ask())


async def test_vectors_are_tried_elsewhere_and_come_in_order(open_fleet: Any, ask: Any):
    texts = [f"text {number}" for number in range(12)]
    requests = [
        structs.replace(ask(), messages=(), raw=RawText(text), vector=VectorWish(4))
        for text in texts
    ]
    async with open_fleet(4) as fleet:
        async with fleet.ingress.vectors(requests) as vectors:
            undisturbed = [vector.data for vector in vectors]
        assert len(set(undisturbed)) == 12
        fleet.hops.deaths = [0, 2, 3, 1]
        async with fleet.ingress.vectors(requests) as vectors:
            assert [vector.data for vector in vectors] == undisturbed


async def test_a_model_that_nobody_has_and_a_picture_for_the_blind_are_refused(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2) as fleet:
        with pytest.raises(ModelNotFound, match="not in this fleet"):
            await listen(fleet, ask(model="other"))
        stored = fleet.membership.view.peers[1].stored[0]
        blind = replace(stored, id="blind", model=b"blind666", capabilities=("text",))
        fleet.membership.change(1, stored=(stored, blind))
        picture = structs.replace(ask().messages[0], content=(ImagePart(b"GIF"),))
        with pytest.raises(VisionUnsupported, match="'fake' sees pictures"):
            await listen(fleet, ask(model="blind", messages=(picture,)))
        assert fleet.hops.asked == []


async def test_a_peer_that_goes_is_idle_when_the_last_request_has_ended(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(2) as fleet:
        under_way = asyncio.create_task(listen(fleet, ask()))
        async with asyncio.timeout(5):
            await fleet.hops.was_asked.wait()
        idle = asyncio.create_task(fleet.ingress.idle())
        await asyncio.sleep(0)
        assert (await listen(fleet, ask())).ends  # asked on a connection that was still there
        assert (await under_way).ends
        await asyncio.wait_for(idle, 1)


async def test_a_model_is_shown_by_every_name_that_it_can_be_asked_by(open_fleet: Any):
    async with open_fleet(2, names=ModelNames({"nickname": "fake"})) as fleet:
        [listed, aliased] = await fleet.ingress.models()
        assert await fleet.ingress.model("nickname") == aliased
        variant = f"{listed.id}@{listed.weights.hex()[:8]}"
        assert await fleet.ingress.model(listed.id) == listed
        assert await fleet.ingress.model(variant) == dataclasses.replace(listed, id=variant)
        with pytest.raises(ModelNotFound, match="in this fleet"):
            await fleet.ingress.model("nothing of the kind")
        with pytest.raises(ModelNotFound) as caught:
            await fleet.ingress.model("nicename")
        assert "nickname" in caught.value.hint


async def test_a_prompt_too_long_for_one_peer_is_refused_with_the_most_that_any_peer_has(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(5) as fleet:
        for number, context_tokens in ((1, 100), (2, 400), (3, 200), (4, 300)):
            [stored] = fleet_values.peer(number).stored
            told = (replace(stored, context_tokens=context_tokens),)
            fleet.membership.change(number, stored=told)
        fleet.hops.deaths = [0] * 4
        fleet.hops.error = lambda: ContextLengthExceeded(str(fleet.hops.asked[-1][0][-1]))
        with pytest.raises(ContextLengthExceeded) as refused:
            await listen(fleet, ask())
        hosts = [host[-1] for host, _ in fleet.hops.asked]
        assert refused.value.message == "2" and hosts[-1] == 2
        context = {1: 100, 2: 400, 3: 200, 4: 300}
        assert [context[host] for host in hosts] == sorted(context[host] for host in hosts)


async def test_who_made_a_prompt_and_had_no_place_for_it_says_nothing_of_who_has_less(
    open_fleet: Any, listen: Any, ask: Any, fleet_values: Any
):
    async with open_fleet(3) as fleet:
        undisturbed = await listen(fleet, ask())
        first = fleet.hops.asked[0][0][-1]
        [stored] = fleet_values.peer(3 - first).stored
        less = (replace(stored, context_tokens=stored.context_tokens // 2),)
        fleet.membership.change(3 - first, stored=less)
        # Once its prompt was made.
        fleet.hops.deaths = [2]
        fleet.hops.error = lambda: ContextLengthExceeded("prompt is too long: 9 tokens > 8 maximum")
        assert await listen(fleet, ask()) == undisturbed


async def test_of_all_who_refuse_a_prompt_the_one_with_the_most_room_is_heard(
    open_fleet: Any, listen: Any, ask: Any
):
    async with open_fleet(4) as fleet:
        most = [100, 400, 200]
        fleet.hops.deaths = [2] * 3
        fleet.hops.error = lambda: ContextLengthExceeded(f"too long: 500 > {most.pop()} maximum")
        with pytest.raises(ContextLengthExceeded, match="> 400 maximum"):
            await listen(fleet, ask())
        assert not most


async def test_a_model_that_has_come_and_is_not_served_is_refused_with_the_reason(
    open_fleet: Any, listen: Any, ask: Any, tmp_path: Path
):
    async with open_fleet(2, is_gateway=False, models_dirs=(tmp_path,)) as fleet:
        with pytest.raises(ModelNotFound, match="in this fleet"):
            await listen(fleet, ask(model="new"))
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "config.json").write_text('{"architectures": ["OfAnotherKind"]}')
        with pytest.raises(ModelNotFound, match="'new' is here, but cortex does not serve it"):
            await listen(fleet, ask(model="new"))
