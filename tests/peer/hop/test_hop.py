"""Requests over a hop: real sockets, a real node with the fake engine behind them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

import pytest

from cortex.engine.errors import ModelNotFound, Overloaded
from cortex.engine.fake import FakeConfig
from cortex.engine.messages import Cancel as EngineCancel
from cortex.engine.stream import Accepted, Began, Event, Finished, Piece, Resume, Stage, Vector
from cortex.engine.types import RawText, VectorWish
from cortex.peer.config import PeerConfig
from cortex.peer.deltas import said
from cortex.peer.errors import CannotContinue, HostLeaving, HostLost, HostRefused, RequestCancelled
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.gossip.records import Address
from cortex.peer.hop.dialling import Dialler
from cortex.peer.hop.line import Line
from cortex.peer.hop.link import HopLink
from cortex.peer.hop.messages import Ask, Failed, LeaseAsk, OrderAsk
from cortex.peer.orders.values import CancelJob, Done, DrainOrder, Job, JobList, ListJobs, WatchJob
from cortex.peer.release import own_release

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
Hops = Any  # this folder's conftest


async def collect(events: AsyncGenerator[Event | Vector]) -> list[Event | Vector]:
    async with aclosing(events):
        return [event async for event in events]


def pieces(events: Sequence[Event | Vector], choice: int = 0) -> list[Piece]:
    return [event for event in events if isinstance(event, Piece) and event.choice == choice]


def tokens(events: Sequence[Event | Vector], choice: int = 0) -> tuple[int, ...]:
    return tuple(token for piece in pieces(events, choice) for token in piece.token_ids)


def text(events: Sequence[Event | Vector], choice: int = 0) -> str:
    return said(delta for piece in pieces(events, choice) for delta in piece.deltas).text


def without_stages(events: Sequence[Event | Vector]) -> list[Event | Vector]:
    """What does not depend on how fast anybody read."""
    return [event for event in events if not isinstance(event, Stage | Piece)]


async def until(events: AsyncGenerator[Event | Vector], kind: type[Event]) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


async def test_a_dialling_that_breaks_is_told_by_its_kind_and_its_words_are_not_logged(
    hops: Hops, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    error = LookupError("secret words")

    async def dial(self: Dialler, host: NodeId) -> None:
        raise error

    monkeypatch.setattr(Dialler, "dial", dial)
    async with hops.fleet() as fleet:
        with pytest.raises(HostRefused, match="LookupError"):
            await collect(fleet.ask(hops.request()))
        assert fleet.lost == [hops.node]
    assert "type=LookupError" in caplog.text and "secret" not in caplog.text


async def test_a_connection_that_breaks_by_a_bug_is_told_of_once(
    hops: Hops,
    make_config: MakeConfig,
    memory_children: Children,
    monkeypatch: pytest.MonkeyPatch,
):
    any_link: Any = HopLink
    close_socket, children = any_link._close_socket, memory_children()

    async def close_badly(link: Any) -> None:
        await close_socket(link)
        if isinstance(link._ear, Line):
            raise LookupError("a bug")

    monkeypatch.setattr(HopLink, "_close_socket", close_badly)
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        await collect(fleet.ask(hops.request()))
        [opened] = fleet.hops._lines.values()
        opened.result().link.close("broke")
        await hops.until(lambda: not fleet.hops._lives)
        assert fleet.lost == [hops.node]


@pytest.mark.parametrize("num_choices", [1, 3])
async def test_events_over_a_hop_are_those_of_the_host_itself(
    hops: Hops, make_config: MakeConfig, memory_children: Children, num_choices: int
):
    request = hops.request(num_choices=num_choices)
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        await host.node.preload("fake")  # whoever comes first would wait for it
        local = await collect(host.node.serve(request))
        far = await collect(fleet.ask(request))
    assert without_stages(far) == without_stages(local)
    assert isinstance(far[0], Stage)
    for choice in range(num_choices):
        assert tokens(far, choice) == tokens(local, choice) != ()
        assert text(far, choice) == text(local, choice) != ""


async def test_vector_comes_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    request = hops.request(raw=RawText("a text"), vector=VectorWish())
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        [local] = [e for e in await collect(host.node.serve(request)) if isinstance(e, Vector)]
        assert (await collect(fleet.ask(request)))[-1] == local


async def test_engines_that_have_ended_under_a_request_are_told_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        await collect(fleet.hops.ask(hops.node, hops.model, hops.request(), None, 2))
    assert [wanted.epoch for wanted in children.wanted] == [3]


async def test_prompt_is_counted_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        local = await host.node.count(hops.request())
        assert await fleet.hops.count(hops.node, hops.model, hops.request()) == local > 0


async def test_arbiter_answers_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    wish = LeaseAsk("", hops.model, (NodeId(b"best----"), NodeId(b"second--")))
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        leased = await fleet.hops.lease(hops.node, wish)
    assert leased.holder == b"best----"


async def test_an_order_is_carried_out_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        done = [report async for report in fleet.hops.order(hops.node, CancelJob("job_1"))]
        jobs = [one async for one in fleet.hops.order(hops.node, WatchJob("job_1", True))]
    assert done == [Done()]
    # A reader that is slow gets the newest alone.
    assert jobs[-1] == Job("job_1", hops.node, "load", "done", seconds=2.0)
    assert all(isinstance(job, Job) and job.id == "job_1" for job in jobs)


async def test_an_order_that_is_refused_says_why_over_a_hop(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        with pytest.raises(Overloaded, match="no more jobs"):
            async for _ in fleet.hops.order(hops.node, DrainOrder()):
                pass


@pytest.mark.parametrize("order", [b"", b"\xc1", b"\x81\xa4type\xa6future", b"\x93" * 5000])
async def test_an_order_that_only_newer_peers_know_is_refused_and_the_hop_goes_on(
    hops: Hops, make_config: MakeConfig, memory_children: Children, order: bytes
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        told = await hops.told(fleet, OrderAsk("r1", order))
        assert [one async for one in fleet.hops.order(hops.node, CancelJob("x"))] == [Done()]
    assert isinstance(told, Failed) and told.error.code == "host_outdated"
    assert f"peer 'borea' runs cortex {own_release()}" in told.error.message


async def test_a_job_of_a_kind_that_only_newer_peers_know_is_listed_beside_an_answer(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        answer = asyncio.create_task(collect(fleet.ask(hops.request(max_tokens=50))))
        [told] = [one async for one in fleet.hops.order(hops.node, ListJobs())]
        assert isinstance((await answer)[-1], Finished)
        assert fleet.lost == []
    assert isinstance(told, JobList)
    assert [job.kind for job in told.jobs] == ["from the future"]


async def test_one_connection_carries_many_requests_at_once(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    requests = [hops.request(f"number {number}") for number in range(20)]
    children = memory_children(fake=FakeConfig(token_interval_ms=2))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        far = await asyncio.gather(*(collect(fleet.ask(request)) for request in requests))
        assert len(host.runner.server.connections) == 1
        local = [await collect(host.node.serve(request)) for request in requests]
    assert [tokens(events) for events in far] == [tokens(events) for events in local]


async def test_resume_makes_exactly_the_rest(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    request = hops.request(num_choices=2)
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        whole = await collect(fleet.ask(request))
        [accepted] = [event for event in whole if isinstance(event, Accepted)]
        [began] = [event for event in whole if isinstance(event, Began)]
        resume = Resume(accepted.prompt_hash, began.computes_in, (tokens(whole)[:5], None))
        rest = await collect(fleet.ask(request, resume))
        assert tokens(rest) == tokens(whole)[5:]
        assert [event.choice for event in rest if isinstance(event, Finished)] == [0]
        with pytest.raises(CannotContinue):
            await collect(fleet.ask(request, Resume(b"another", began.computes_in, ((), ()))))


async def test_other_weights_under_the_name_are_refused(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        with pytest.raises(ModelNotFound, match="other weights"):
            await collect(fleet.hops.ask(hops.node, ModelId(b"another."), hops.request()))


@pytest.mark.parametrize(
    ("num_choices", "token_ids"),
    [(0, None), (1, ((), ())), (2, (None, None)), (1, ((-1,),)), (1, ((2**40,),))],
)
async def test_what_no_ingress_asks_is_refused(
    hops: Hops,
    make_config: MakeConfig,
    memory_children: Children,
    num_choices: int,
    token_ids: tuple[tuple[int, ...] | None, ...] | None,
):
    children = memory_children()
    resume = None if token_ids is None else Resume(b"", "", token_ids)
    request = hops.request(num_choices=num_choices)
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        ask = Ask("a", hops.model, request, resume)
        refused = await hops.told(fleet, ask)
        assert isinstance(refused, Failed) and refused.error.code == "invalid_request"


async def test_full_host_says_so_and_the_connection_goes_on(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    config = make_config(max_live_requests=1)
    async with hops.fleet() as fleet, hops.host(fleet, config, children.spawn):
        async with aclosing(fleet.ask(hops.request(max_tokens=1000))) as first:
            await until(first, Piece)
            with pytest.raises(Overloaded):
                await collect(fleet.ask(hops.request()))
            await until(first, Piece)
        assert fleet.lost == []


async def test_leaving_frees_the_slot_within_a_step(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=20))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        async with aclosing(fleet.ask(hops.request(max_tokens=1000))) as events:
            await until(events, Piece)
            assert [live.dialect for live in host.node.live] == ["hop"]
        began_s = asyncio.get_running_loop().time()
        await hops.until(lambda: any(isinstance(m, EngineCancel) for m in children.heard))
        assert asyncio.get_running_loop().time() - began_s < 1.0
        assert not list(host.node.live) and host.node.health.live_requests == 0


async def test_host_that_cancels_a_request_tells_why(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with (
        hops.fleet() as fleet,
        hops.host(fleet, make_config(), children.spawn) as host,
        aclosing(fleet.ask(hops.request(max_tokens=1000))) as events,
    ):
        await until(events, Piece)
        [live] = host.node.live
        live.cancel()
        with pytest.raises(RequestCancelled):
            await until(events, Finished)


async def test_gone_host_is_lost_at_once_with_what_it_said_before(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with (
        hops.fleet(tick_s=60) as fleet,
        hops.host(fleet, make_config(), children.spawn, tick_s=60) as host,
        aclosing(fleet.ask(hops.request(max_tokens=1000))) as events,
    ):
        await until(events, Piece)
        for connection in host.runner.server.connections:
            connection.transport.abort()
        with pytest.raises(HostLost, match="closed"):
            await until(events, Finished)
        await hops.until(lambda: fleet.lost == [hops.node])
        await hops.until(lambda: not list(host.node.live))


async def test_leaving_host_is_left_at_once_and_nobody_blames_it(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        async with aclosing(fleet.ask(hops.request(max_tokens=1000))) as events:
            await until(events, Piece)
            leaving = asyncio.create_task(host.hop.leave())
            with pytest.raises(HostLeaving):
                await until(events, Finished)
            await leaving
        assert fleet.lost == [] and not list(host.node.live)
        with pytest.raises(HostRefused, match="503"):
            await collect(fleet.ask(hops.request()))


async def test_host_that_is_not_there_is_refused_once_for_all_who_wait(
    hops: Hops, unused_tcp_port: int
):
    async with hops.fleet() as fleet:
        fleet.addresses[hops.node] = [Address("127.0.0.1", unused_tcp_port)]
        asked = (collect(fleet.ask(hops.request())) for _ in range(3))
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert all(type(error) is HostRefused for error in errors)
        assert len({id(error) for error in errors}) == 3
        assert fleet.lost == [hops.node]


async def test_whatever_ends_a_dialling_the_next_one_who_asks_dials_anew(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        addresses = fleet.addresses[hops.node]
        fleet.addresses[hops.node] = cast(Any, 1)
        with pytest.raises(HostRefused, match="TypeError"):
            await collect(fleet.ask(hops.request()))
        fleet.addresses[hops.node] = addresses
        assert tokens(await collect(fleet.ask(hops.request())))
        assert fleet.lost == [hops.node]


async def test_one_who_leaves_while_it_is_dialled_holds_up_no_other(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn) as host:
        leaver, stayer = (asyncio.create_task(collect(fleet.ask(hops.request()))) for _ in "ab")
        await hops.until(lambda: bool(host.runner.server.connections))
        leaver.cancel()
        assert tokens(await stayer)


async def test_host_is_found_at_any_of_its_addresses(
    hops: Hops, make_config: MakeConfig, memory_children: Children, unused_tcp_port: int
):
    children = memory_children()
    async with hops.fleet() as fleet, hops.host(fleet, make_config(), children.spawn):
        fleet.addresses[hops.node].insert(0, Address("127.0.0.1", unused_tcp_port))
        assert tokens(await collect(fleet.ask(hops.request())))


async def test_unused_connection_is_closed_and_opened_again(
    hops: Hops, make_config: MakeConfig, memory_children: Children
):
    children = memory_children()
    async with hops.fleet(idle_ticks=2) as fleet:
        async with hops.host(fleet, make_config(), children.spawn) as host:
            await collect(fleet.ask(hops.request()))
            await hops.until(lambda: not host.runner.server.connections)
            assert tokens(await collect(fleet.ask(hops.request())))
        assert fleet.lost == []
