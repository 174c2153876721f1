"""A node whose devices hold some of its models and not all, with fake engines in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cortex.engine.errors import ContextLengthExceeded, EngineFailed, InsufficientVram, Overloaded
from cortex.engine.fake import FakeConfig
from cortex.engine.messages import Loaded
from cortex.engine.stream import Event, Finished, Piece, Stage
from cortex.engine.types import ChatRequest, Message, TextPart
from cortex.peer.children.process import ChildProcess
from cortex.peer.config import EvictionConfig, ModelConfig, PeerConfig
from cortex.peer.devices.losses import NUM_BAD_LOADS
from cortex.peer.errors import UnsupportedParameter
from cortex.peer.fleet.own_state import own_state
from cortex.peer.fleet.rates import Rates
from cortex.peer.fleet.telling import verdict
from cortex.peer.gossip.ids import ModelId
from cortex.peer.node import Node
from cortex.peer.placement.plan import LoadWish
from cortex.peer.serving.server import serving
from tests.peer import in_memory

MakeConfig = Callable[..., PeerConfig]
Children = Any  # conftest's MemoryChildren: test modules cannot import each other
DEADLINE_S = 60
# What `cortex status` has, and more than that for a busy machine.
STATUS_S = 5.0
GIB = 1 << 30


@pytest.fixture
def make_sized(make_models: Callable[..., Path]) -> Callable[..., Path]:
    """Models of so many bytes; each loads for `load_s`."""

    def make(load_s: float = 0.0, **sizes: int) -> Path:
        root = make_models(*sizes)
        for name, num_bytes in sizes.items():
            path = root / name / "config.json"
            config = json.loads(path.read_text()) | {"weights_bytes": num_bytes, "load_s": load_s}
            path.write_text(json.dumps(config))
        return root

    return make


def ask(model: str, max_tokens: int = 4, prompt: str = "hello") -> ChatRequest:
    messages = (Message("user", (TextPart(prompt),)),)
    return ChatRequest(model, messages, seed=1, now_s=0, max_tokens=max_tokens)


async def answer(node: Node, model: str, max_tokens: int = 4, prompt: str = "hello") -> list[Event]:
    events = node.chat(ask(model, max_tokens, prompt))
    async with asyncio.timeout(DEADLINE_S), aclosing(events):
        return [event async for event in events]


async def until(events: AsyncGenerator[Event], kind: type[Event]) -> None:
    async for event in events:
        if isinstance(event, kind):
            return


def where(node: Node) -> dict[str, int]:
    return {each.model.id: each.device for each in node.placement.ready}


async def test_each_of_two_devices_has_an_engine_of_its_own(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=GIB, b=GIB)
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    config = make_config(models_dirs=(root,), memory_bytes=2 * GIB, devices=("fake:0", "fake:1"))
    async with Node(config, children.spawn) as node:
        answers = await asyncio.gather(*(answer(node, model, 30) for model in "aabb"))
        assert all(isinstance(events[-1], Finished) for events in answers)
        assert children.num_loads == 2
        assert sorted(where(node).values()) == [0, 1]
        assert len(children.engines) == len(node.health.engines) == 2
        # The death of one is nothing to the other.
        async with aclosing(node.chat(ask("a", 200))) as events:
            await until(events, Piece)
            dead = where(node)["b"]
            order = [child.pid for child in children.engines]
            pid = node.health.engines[dead].pid
            children.engines[order.index(pid)].kill()
            rest = [event async for event in events]
        assert isinstance(rest[-1], Finished)
        assert node.health.engines[1 - dead].num_restarts == 0
        assert set(where(node)) == {"a"}


async def test_steering_loads_pins_plans_and_lets_go(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=GIB, b=GIB + 1)
    config = make_config(
        models_dirs=(root,), memory_bytes=2 * GIB, eviction=EvictionConfig(min_residency_s=0.0)
    )
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        # A quarter of a CPU's memory is for what is remembered of prompts.
        assert node.placement.devices[0].budget_bytes == 2 * GIB * 3 // 4
        await node.shelf.weigh()
        ids = {model.id: ModelId(model.weights) for model in node.stored}
        steering = node.steering
        first = await steering.load(LoadWish(ids["a"], context_tokens=8192), lambda _: None)
        assert (first.is_there, first.size.context_tokens) == (False, 8192)
        again = await steering.load(LoadWish(ids["a"]), lambda _: None)
        assert again.is_there
        await node.survey()  # as every peer does from time to time
        planned = steering.plan(LoadWish(ids["b"])).plan
        assert planned is not None and [each.id for each in planned.victims] == ["a"]
        assert sum(part.num_bytes for part in planned.parts) == planned.size.num_bytes
        steering.pin("a", is_pinned=True)
        refused = steering.plan(LoadWish(ids["b"]))
        assert refused.plan is None and refused.refusals[0].reason == "pinned"
        steering.pin("a", is_pinned=False)
        done = await steering.load(LoadWish(ids["b"]), lambda _: None)
        assert [each.id for each in done.victims] == ["a"]
        await steering.unload("b")
        assert node.placement.placed == ()
        assert node.tally.evictions == {("a", "lru"): 1, ("b", "asked"): 1}
        told = [one.text for one in node.chronicle.latest(99) if one.what == "evicted"]
        assert len(told) == 1 and "to make room for b" in told[0]
        assert node.recent.number(asyncio.get_running_loop().time(), "evictions") == 1


async def test_a_plan_names_no_device_that_the_operator_keeps_a_model_from(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    config = make_config(
        models_dirs=(make_sized(a=GIB),),
        devices=("fake:0", "fake:1"),
        models=(ModelConfig("a", devices=(1,)),),
    )
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        wish = LoadWish(ModelId(node.stored[0].weights))
        planned = node.steering.plan(wish)
        assert planned.plan is not None and planned.plan.device == 1
        assert (planned.others, planned.refusals) == ((), ())
        assert (await node.steering.load(wish, lambda _: None)).device == 1
        await node.steering.unload("a")
        await node.reconfigure(replace(config, models=(ModelConfig("a", devices=(7,)),)))
        nowhere = node.steering.plan(wish)
        assert nowhere.plan is None and "none of the devices" in nowhere.refusals[0].words


async def test_a_large_device_is_given_a_large_size_beside_a_small_one(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_sized(a=1000),), devices=("fake:0", "fake:1"))
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        devices = node._rack.devices  # pyright: ignore[reportPrivateUsage]
        wish = LoadWish(ModelId(node.stored[0].weights))

        def sizes_by_device(*budgets: int) -> dict[int, int]:
            devices.devices = [
                replace(books, budget_bytes=budget)
                for books, budget in zip(devices.devices, budgets, strict=True)
            ]
            planned = node.steering.plan(wish)
            assert planned.plan is not None
            return {each.device: each.size.num_bytes for each in (planned.plan, *planned.others)}

        alone = sizes_by_device(GIB, GIB)
        mixed = sizes_by_device(GIB, 100_000)
        assert mixed[0] == alone[0] > mixed[1]


async def test_a_peer_whose_engine_has_not_started_finds_out_what_its_models_take(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_sized(a=GIB),), memory_bytes=2 * GIB)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        for model in node.stored:
            plan = node.steering.plan(LoadWish(ModelId(model.weights))).plan
            assert plan is not None
            assert sum(part.num_bytes for part in plan.parts) == plan.size.num_bytes > 0


async def test_an_engine_that_does_not_start_is_not_started_again_for_a_look(
    make_config: MakeConfig, make_sized: Callable[..., Path]
):
    num_tried = 0

    async def spawn(command: Sequence[str]) -> Any:
        nonlocal num_tried
        num_tried += 1
        raise OSError("no such program")

    config = make_config(models_dirs=(make_sized(a=GIB, b=GIB),), memory_bytes=2 * GIB)
    async with asyncio.timeout(DEADLINE_S), Node(config, spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        await node.survey()
        assert num_tried == 1


@pytest.mark.parametrize("path", ["/healthz", "/fleet", "/models", "/v1/models", "/requests"])
async def test_a_peer_says_how_it_is_while_a_device_is_loading(
    make_config: MakeConfig,
    make_sized: Callable[..., Path],
    memory_children: Children,
    path: str,
):
    config = make_config(models_dirs=(make_sized(60.0, a=GIB),))
    async with (
        asyncio.timeout(DEADLINE_S),
        serving(config, memory_children().spawn) as server,
        ClientSession(f"http://{server.address}") as client,
        aclosing(server.node.chat(ask("a"))) as events,
    ):
        async for event in events:
            if isinstance(event, Stage) and event.name == "loading":
                break
        async with asyncio.timeout(STATUS_S), client.get(path) as reply:
            assert reply.status == 200
            assert await reply.json()
        assert [placed.state for placed in server.node.placement.placed] == ["loading"]


async def test_a_load_whose_only_client_leaves_is_given_up(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_sized(2.0 * DEADLINE_S, a=GIB),))
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        async with aclosing(node.chat(ask("a"))) as events:
            async for event in events:
                if isinstance(event, Stage) and event.name == "loading":
                    break
        await in_memory.until(lambda: not node.placement.placed)
        assert node.tally.of("a").num_failed_loads == 0
        assert any("gave up loading a" in one.text for one in node.chronicle.latest(99))


@pytest.mark.parametrize("num_live", [0, 1, 2])
@pytest.mark.parametrize("is_draining", [False, True])
async def test_what_the_fleet_is_told_of_room_is_what_a_request_finds(
    make_config: MakeConfig, memory_children: Children, num_live: int, is_draining: bool
):
    config = make_config(max_live_requests=2)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        admission = node._admission  # pyright: ignore[reportPrivateUsage]
        with ExitStack() as held:
            for _ in range(num_live):
                held.enter_context(admission.admitted(1))
            if is_draining:
                node.begin_drain()
            told = own_state(config, node.stored, node.placement, node.health, Rates())
            word, _ = verdict(told, ModelId(b"anything"))
            try:
                await answer(node, "fake")
                is_refused = False
            except Overloaded:
                is_refused = True
        assert (word == "busy") == is_refused == (is_draining or num_live == 2)


async def test_a_forced_load_is_begun_whatever_the_books_say(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=GIB)
    config = make_config(models_dirs=(root,), memory_bytes=2 * GIB)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        wish = LoadWish(ModelId(node.stored[0].weights))
        # Other programs seem to have all of the memory.
        node._rack.devices.look_at_memory(0, (0,))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(InsufficientVram, match="other programs hold"):
            await node.steering.load(wish, lambda _: None)
        assert node.steering.plan(wish).plan is None
        done = await node.steering.load(replace(wish, is_forced=True), lambda _: None)
        assert not done.is_there
        [placed] = node.placement.placed
        assert (placed.model.id, placed.state) == ("a", "ready")
        # It is in nobody's way by that, and stays when it is idle.
        assert node.placement.devices[0].reserved_bytes <= 2 * GIB
        assert node.tally.evictions == {}


async def test_a_forced_load_that_the_engine_has_no_room_for_is_refused_with_its_numbers(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=3 * GIB)
    config = make_config(models_dirs=(root,), memory_bytes=2 * GIB)
    children = memory_children(fake=FakeConfig(memory_bytes=2 * GIB))
    async with asyncio.timeout(DEADLINE_S), Node(config, children.spawn) as node:
        await node.shelf.weigh()
        wish = LoadWish(ModelId(node.stored[0].weights), is_forced=True)
        with pytest.raises(InsufficientVram, match=r"3\.\d GiB .* GiB") as refused:
            await node.steering.load(wish, lambda _: None)
        assert "has no place here" not in refused.value.message  # those are the peer's words
        assert node.placement.placed == ()


async def test_engine_is_started_anew_after_so_many_models_and_no_request_fails_by_it(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=GIB, b=GIB)
    config = make_config(
        models_dirs=(root,),
        memory_bytes=2 * GIB,
        eviction=EvictionConfig(min_residency_s=0.0, defrag_after_cycles=3),
    )
    children = memory_children()
    async with Node(config, children.spawn) as node:
        answers = [await answer(node, model) for model in "abababab"]
        assert all(isinstance(events[-1], Finished) for events in answers)
        assert len(children.engines) == 1 + 2
        assert node.health.engines[0].last_end is None, "none of them died"
    told = {one.what for one in node.chronicle.latest(99)}
    assert told == {"loading", "loaded", "evicted"}


async def test_a_peer_of_which_one_device_never_starts_answers_by_the_other(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_sized(a=1000),), devices=("fake:0", "fake:1"))
    children, num_starts = memory_children(), 0

    async def spawn(command: Sequence[str]) -> ChildProcess:
        """The second engine that is started is that of the sound device, and lives on."""
        nonlocal num_starts
        if "cortex.engine.text" not in command:
            num_starts += 1
            if num_starts != 2:
                raise FileNotFoundError(2, "no such device")
        return await children.spawn(command)

    async with Node(config, spawn) as node:
        assert isinstance((await answer(node, "a"))[-1], Finished)
        assert where(node) == {"a": 1}
        told = " ".join(one.text for one in node.chronicle.latest(99))
        assert "ended its engine: others are chosen before it for 5 min" in told


async def test_of_an_only_device_nobody_is_told_that_others_are_chosen_before_it(
    make_config: MakeConfig, make_sized: Callable[..., Path]
):
    async def spawn(command: Sequence[str]) -> ChildProcess:
        raise FileNotFoundError(2, "no such device")

    async with Node(make_config(models_dirs=(make_sized(a=1000),)), spawn) as node:
        for _ in range(NUM_BAD_LOADS):
            with pytest.raises(EngineFailed):
                await node.preload("a")
        told = [one.text for one in node.chronicle.latest(99)]
        assert any(text.endswith("ended its engine") for text in told)


async def test_as_many_answers_at_once_as_the_operator_says_of_the_model(
    make_config: MakeConfig, make_sized: Callable[..., Path], memory_children: Children
):
    root = make_sized(a=GIB, b=GIB)
    config = make_config(models_dirs=(root,), models=(ModelConfig("a", max_slots=3),))
    async with Node(config, memory_children().spawn) as node:
        await answer(node, "a")
        await answer(node, "b")
        slots = {each.model.id: each.size.num_slots for each in node.placement.ready}
    assert slots["a"] == 3
    assert slots["b"] > 3


@pytest.fixture
def make_long(make_sized: Callable[..., Path]) -> Callable[..., Path]:
    """A model "a" of 1 GiB that could have 262,144 tokens of context, 16 KiB each, and others."""

    def make(**others: int) -> Path:
        root = make_sized(a=GIB, **others)
        path = root / "a" / "config.json"
        more = {"max_position_embeddings": 262_144, "kv_bytes_per_token": 16 * 1024}
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
        return root

    return make


async def test_a_model_is_offered_with_the_context_that_its_device_could_give_it(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_long(),), memory_bytes=4 * GIB)  # 3 GiB for models
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        assert node.stored[0].context_length == 32_768, "nobody knows yet"
        await node.survey()
        assert node.stored[0].context_length == (await node.models())[0].context_length == 131_072
        with pytest.raises(ContextLengthExceeded, match=r"> 131072 maximum") as refused:
            await answer(node, "a", prompt="a" * 200_000)
        assert "--memory" in refused.value.hint
        # What fits is loaded for, though it is more than is usual.
        assert isinstance((await answer(node, "a"))[-1], Finished)
        assert node.placement.ready[0].size.context_tokens == 32_768
        assert isinstance((await answer(node, "a", prompt="a" * 100_000))[-1], Finished)
        assert node.placement.ready[0].size.context_tokens == 131_072


async def test_a_prompt_that_has_no_room_beside_others_for_now_is_not_called_too_long(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_long(b=GIB),), memory_bytes=4 * GIB)
    children = memory_children(fake=FakeConfig(token_interval_ms=5))
    async with asyncio.timeout(DEADLINE_S), Node(config, children.spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        async with aclosing(node.chat(ask("b", 20_000))) as events:
            await until(events, Piece)
            with pytest.raises(InsufficientVram, match="tokens of context for now") as short:
                await answer(node, "a", prompt="a" * 100_000)
        assert short.value.shortage is None, "waiting helps"
        assert isinstance((await answer(node, "a", prompt="a" * 100_000))[-1], Finished)


async def test_what_is_loaded_is_offered_though_its_device_is_found_to_have_less(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_long(),), memory_bytes=4 * GIB)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        await answer(node, "a", prompt="a" * 100_000)
        model = node.shelf.catalogue.find("a")
        loaded = Loaded("job", "a", 8, 1.0, estimated_bytes=1000, measured_bytes=1499)
        node.costs.learn(model, loaded)
        assert node.stored[0].context_length == 131_072
        await node.steering.unload("a")
        assert node.stored[0].context_length == 65_536
        assert node.stored is node.stored, "found out once"


async def test_a_device_that_tells_nothing_of_itself_takes_no_context_from_the_others(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    devices = "fake:0", "fake:1"
    config = make_config(models_dirs=(make_long(),), memory_bytes=4 * GIB, devices=devices)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        await node.survey()
        rack = node._rack.devices  # pyright: ignore[reportPrivateUsage]
        rack.devices = (replace(rack.devices[0], budget_bytes=0), *rack.devices[1:])
        assert node.stored[0].context_length == 131_072


async def test_what_somebody_has_loaded_short_is_offered_so_and_says_how_to_have_more(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    config = make_config(models_dirs=(make_long(),), memory_bytes=40 * GIB)
    async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
        await node.shelf.weigh()
        weights = ModelId(node.stored[0].weights)
        await node.steering.load(LoadWish(weights, context_tokens=4096), lambda _: None)
        assert node.stored[0].context_length == 4096
        with pytest.raises(ContextLengthExceeded, match="> 4096 maximum") as refused:
            await answer(node, "a", prompt="a" * 9000)
        assert "cortex load with a larger --context" in refused.value.hint
        await node.steering.load(LoadWish(weights, context_tokens=16_384), lambda _: None)
        assert isinstance((await answer(node, "a", prompt="a" * 9000))[-1], Finished)


async def test_more_context_than_a_model_has_is_refused_with_the_number_and_the_setting(
    make_config: MakeConfig, make_long: Callable[..., Path], memory_children: Children
):
    folder = make_long()
    for given, most, says in (
        ({}, 262_144, "or less"),
        ({"context_limit_tokens": 8192}, 8192, "raise `context`"),
    ):
        config = make_config(models_dirs=(folder,), memory_bytes=40 * GIB, **given)
        async with asyncio.timeout(DEADLINE_S), Node(config, memory_children().spawn) as node:
            await node.shelf.weigh()
            wish = LoadWish(ModelId(node.stored[0].weights), context_tokens=most + 1)
            with pytest.raises(UnsupportedParameter, match=f"{most} tokens of context") as refused:
                await node.steering.load(wish, lambda _: None)
            assert says in refused.value.hint
            planned = node.steering.plan(wish)
            assert planned.plan is None
            assert planned.refusals[0].words == f"{refused.value.message}: {refused.value.hint}"
            if given:
                with pytest.raises(ContextLengthExceeded) as long:
                    await answer(node, "a", prompt="a" * 9000)
                assert "`context` in cortex.toml" in long.value.hint
