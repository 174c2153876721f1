"""In which sizes a model may be loaded: a whole context first, the smallest that would do last."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.costs import ModelCosts
from cortex.engine.memory import MAX_SEQUENCES, PAGE_TOKENS, plan_memory
from cortex.peer.placement.books import Size
from cortex.peer.placement.sizes import LEAST_CONTEXT_TOKENS, most_context, parts, sizes

MIB = 1 << 20
GIB = 1 << 30
# Qwen3-0.6B and Qwen3.5-0.8B in bfloat16, as they are estimated.
PLAIN = ModelCosts(
    weights_bytes=1137 * MIB,
    workspace_bytes=64 * MIB,
    kv_bytes_per_token=112 * 1024,
    context_tokens=40_960,
    workspace_bytes_per_token=768,
    workspace_bytes_per_sequence=2_430_976,
    tokenizer_bytes=37 * MIB,
)
HYBRID = ModelCosts(
    weights_bytes=1436 * MIB,
    workspace_bytes=64 * MIB,
    kv_bytes_per_token=12 * 1024,
    context_tokens=262_144,
    state_bytes=19 * MIB,
    vision_peak_bytes=256 * MIB,
    image_bytes_per_token=2048,
    max_image_tokens=1024,
    workspace_bytes_per_token=1536,
    workspace_bytes_per_sequence=3_973_120,
)
# Qwen3.5-9B in bfloat16, with its draft head.
AGENTS = replace(
    HYBRID,
    weights_bytes=18 * GIB,
    kv_bytes_per_token=36 * 1024,
    state_bytes=50 * MIB,
)


def sized(
    costs: ModelCosts,
    budget_bytes: int,
    *,
    limit: int | None = 32_768,
    context: int | None = None,
    slots: int | None = None,
) -> tuple[Size, ...]:
    return sizes(
        costs,
        context_limit_tokens=limit,
        wanted_context=context,
        wanted_slots=slots,
        device_budget_bytes=budget_bytes,
    )


def test_on_an_empty_device_a_model_has_room_for_many_at_once() -> None:
    most = sized(HYBRID, 16 * GIB)[0]
    assert most.context_tokens == 32_768
    assert 16 <= most.num_slots <= 128
    assert most.num_bytes - HYBRID.weights_bytes <= 4 * GIB
    assert sized(PLAIN, 80 * GIB)[0].num_slots == 128


def held_tokens(costs: ModelCosts, size: Size) -> int:
    given_costs = replace(costs, context_tokens=size.context_tokens)
    return (
        PAGE_TOKENS
        * plan_memory(
            given_costs, size.num_bytes, size.num_slots, host_bytes=0, are_promised=True
        ).num_pages
    )


def test_beside_an_agents_whole_context_its_sub_agents_have_room() -> None:
    most = sized(AGENTS, 80 * GIB, limit=None, context=200_000)[0]
    assert held_tokens(AGENTS, most) >= 200_000 + 60_000
    assert held_tokens(AGENTS, sized(AGENTS, 140 * GIB, limit=None)[0]) >= 3 * 262_144
    assert most.num_bytes - AGENTS.loaded_bytes <= 20 * GIB
    # A smaller device leaves others their room, and holds one.
    assert held_tokens(AGENTS, sized(AGENTS, 36 * GIB, limit=None, context=200_000)[0]) < 210_000


def test_so_have_they_where_nobody_names_a_context() -> None:
    most = sized(AGENTS, 80 * GIB, limit=None)[0]
    assert held_tokens(AGENTS, most) >= 262_144 * 3 // 2
    assert 32 <= most.num_slots < 128
    assert most.num_bytes - AGENTS.loaded_bytes <= 20 * GIB


def test_whoever_names_context_and_slots_is_given_whole_contexts_up_to_half_the_device() -> None:
    named = sized(AGENTS, 80 * GIB, limit=None, context=200_000, slots=5)[0]
    assert held_tokens(AGENTS, named) >= 5 * 200_000
    many = sized(AGENTS, 80 * GIB, limit=None, context=200_000, slots=64)[0]
    assert 30 * GIB <= many.num_bytes - AGENTS.loaded_bytes <= 40 * GIB
    one = sized(AGENTS, 80 * GIB, limit=None, context=200_000, slots=1)[0]
    assert held_tokens(AGENTS, one) < 210_000


def test_a_quarter_of_the_device_is_left_behind_for_a_full_context_alone() -> None:
    most = sized(PLAIN, 8 * GIB)[0]
    # 65,536 tokens are 7 GiB; a full context is 3.5 of them.
    assert most.context_tokens == 32_768
    beside_bytes = most.num_bytes - PLAIN.loaded_bytes
    assert 3.5 * GIB <= beside_bytes <= 3.9 * GIB


def test_the_smallest_answers_one_short_conversation() -> None:
    least = sized(HYBRID, 16 * GIB)[-1]
    assert (least.context_tokens, least.num_slots) == (LEAST_CONTEXT_TOKENS, 1)
    assert least.num_bytes < HYBRID.fixed_bytes + 100 * MIB


def test_a_context_that_was_asked_for_is_in_every_size() -> None:
    for wanted in (1000, 20_000):
        ways = sized(PLAIN, 8 * GIB, context=wanted)
        assert {way.context_tokens for way in ways} == {wanted}
        assert len(ways) > 1
    assert sized(PLAIN, 8 * GIB, context=10**6)[0].context_tokens == 40_960


def test_slots_that_were_asked_for_are_in_every_size() -> None:
    assert {way.num_slots for way in sized(HYBRID, 16 * GIB, slots=3)} == {3}


def test_no_size_has_more_slots_than_the_engine_gives() -> None:
    many = sized(AGENTS, 80 * GIB, limit=None, context=4096, slots=MAX_SEQUENCES)
    assert sized(AGENTS, 80 * GIB, limit=None, context=4096, slots=1024) == many


def test_the_operators_limit_is_kept_and_the_models_own() -> None:
    assert sized(HYBRID, 80 * GIB, limit=2000)[0].context_tokens == 2000
    assert sized(PLAIN, 80 * GIB, limit=None)[0].context_tokens == 40_960


COSTS = st.builds(
    ModelCosts,
    weights_bytes=st.integers(0, GIB),
    workspace_bytes=st.integers(0, MIB),
    kv_bytes_per_token=st.integers(0, 10_000),
    context_tokens=st.integers(1, 300_000),
    state_bytes=st.integers(0, 30 * MIB),
    vision_peak_bytes=st.integers(0, MIB),
    image_bytes_per_token=st.integers(0, 3000),
    max_image_tokens=st.integers(0, 1024),
    workspace_bytes_per_token=st.integers(0, 2000),
    workspace_bytes_per_sequence=st.integers(0, MIB),
    tokenizer_bytes=st.integers(0, MIB),
    learned_bytes=st.integers(0, MIB),
    num_learned=st.integers(0, 3),
)


@given(
    COSTS,
    st.none() | st.integers(1, 100_000),
    st.none() | st.integers(1, 100_000),
    st.none() | st.integers(1, 64),
    st.integers(0, 64 * GIB),
)
def test_sizes_fall_and_the_parts_of_each_are_its_bytes(
    costs: ModelCosts, limit: int | None, context: int | None, slots: int | None, budget_bytes: int
) -> None:
    ways = sized(costs, budget_bytes, limit=limit, context=context, slots=slots)

    assert [way.num_bytes for way in ways] == sorted({w.num_bytes for w in ways}, reverse=True)
    for way in ways:
        assert sum(part.num_bytes for part in parts(costs, way)) == way.num_bytes
        # And the engine makes of it what was planned.
        given_costs = replace(costs, context_tokens=way.context_tokens)
        budget = plan_memory(
            given_costs, way.num_bytes, way.num_slots, host_bytes=0, are_promised=True
        )
        assert budget.num_sequences == way.num_slots
        # The last token of an answer is never fed back and needs no place.
        assert budget.num_pages * PAGE_TOKENS + 1 >= way.context_tokens


def usual(ways: tuple[Size, ...]) -> Size:
    return next(size for size in ways if not size.is_large)


def test_between_a_whole_context_and_what_is_welcome_there_are_halves() -> None:
    lengths = {size.context_tokens for size in sized(AGENTS, 80 * GIB, limit=None)}
    assert lengths == {1 << power for power in range(12, 19)}


def test_a_long_context_beyond_its_part_of_the_device_is_for_who_needs_it() -> None:
    small, large = sized(HYBRID, 8 * GIB, limit=None), sized(HYBRID, 32 * GIB, limit=None)
    assert small[0].context_tokens == usual(large).context_tokens == 262_144
    assert usual(small).context_tokens == 65_536
    # Whoever names it does not wait for the need.
    assert usual(sized(HYBRID, 8 * GIB, limit=None, context=262_144)).context_tokens == 262_144


def test_two_models_whose_whole_contexts_are_long_have_room_beside_each_other() -> None:
    # Llama-3.2-3B: 112 KiB a token, of which it has 131,072.
    long = replace(PLAIN, weights_bytes=6 * GIB, context_tokens=131_072)
    ways = sized(long, 24 * GIB, limit=None)
    assert usual(ways).context_tokens == 32_768
    assert 2 * usual(ways).num_bytes <= 24 * GIB
    assert ways[0].context_tokens == 131_072 and ways[0].is_large


def test_a_context_for_few_at_once_fits_where_one_for_many_does_not() -> None:
    ways = sized(AGENTS, 21 * GIB, limit=None)
    fitting = [size for size in ways if size.num_bytes <= 21 * GIB]
    assert (fitting[0].context_tokens, fitting[0].num_slots, fitting[0].is_large) == (
        65_536,
        4,
        True,
    )
    assert next(size for size in fitting if not size.is_large).context_tokens == 32_768
    assert most_context(AGENTS, 262_144, None, 21 * GIB) == 65_536


def test_what_a_device_could_give_is_told_even_where_it_has_no_room_at_all() -> None:
    assert most_context(AGENTS, 262_144, None, 80 * GIB) == 262_144
    assert most_context(AGENTS, 100_000, None, 80 * GIB) == 100_000
    assert most_context(AGENTS, 262_144, None, GIB) == LEAST_CONTEXT_TOKENS
