"""Every byte has one place, and what can never fit is said before anything is done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.errors import InsufficientVram
from cortex.engine.memory import (
    REMEMBERED_PREFIXES,
    MemoryBudget,
    ModelCosts,
    describe,
    format_bytes,
    needed_bytes,
    plan_memory,
)

MIB = 1 << 20
GIB = 1 << 30
# Qwen3.5-0.8B in bfloat16, roughly.
SMALL = ModelCosts(
    weights_bytes=1700 * MIB,
    workspace_bytes=100 * MIB,
    kv_bytes_per_token=12 * 1024,
    context_tokens=262_144,
    state_bytes=19 * MIB,
    vision_peak_bytes=200 * MIB,
    image_bytes_per_token=1024 * 2,
    max_image_tokens=1024,
)


def test_what_needs_no_states_and_sees_nothing_has_the_rest_in_pages() -> None:
    costs = ModelCosts(1000, 100, 2, 640)
    budget = plan_memory(costs, 10_000, max_sequences=100, host_bytes=777)
    assert (budget.states_bytes, budget.encoder_bytes) == (0, 0)
    assert budget.num_pages == 8900 // 128
    assert budget.prefix_bytes == 777
    assert budget.unused_bytes < budget.page_bytes


def test_pages_beyond_what_all_sequences_could_fill_are_not_made() -> None:
    costs = ModelCosts(1000, 100, 2, 640)
    budget = plan_memory(costs, 100_000, max_sequences=4, host_bytes=777)
    assert (budget.num_pages, budget.prefix_bytes) == (40, 777)
    assert budget.unused_bytes == 100_000 - 1100 - 40 * 128


def test_model_that_does_not_fit_is_refused_with_both_numbers() -> None:
    with pytest.raises(InsufficientVram) as caught:
        plan_memory(SMALL, GIB, max_sequences=16, host_bytes=0)
    shortage = caught.value.shortage
    assert shortage is not None
    assert shortage.available_bytes == GIB
    assert str(shortage.required_bytes) in caught.value.message
    # Exactly as much is enough for one.
    least = plan_memory(SMALL, shortage.required_bytes, max_sequences=16, host_bytes=0)
    assert (least.num_pages, least.num_sequences) == (1, 1)


def test_table_names_every_part_and_adds_up() -> None:
    budget = plan_memory(SMALL, 8 * GIB, max_sequences=16, host_bytes=GIB)
    table = describe(budget.parts())
    assert [line[:28].strip() for line in table.splitlines()] == [
        "weights",
        "work of a step",
        "work of the largest picture",
        "keys and values",
        "recurrent states",
        "encoded pictures",
        "remembered prefixes",
        "unused",
        "total",
    ]
    assert "16 sequences" in table
    assert f"{budget.num_pages:,} pages of 64 tokens" in table
    assert "1.0 GiB  in host memory, beside the total" in table
    *parts, total = (part for part in budget.parts() if part.name != REMEMBERED_PREFIXES)
    assert sum(part.num_bytes for part in parts) == total.num_bytes == 8 * GIB


def test_sizes_read_as_people_say_them() -> None:
    sizes = (0, 1023, 1536, 3 * MIB, 24 * GIB)
    assert [format_bytes(size) for size in sizes] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "3.0 MiB",
        "24.0 GiB",
    ]


COSTS = st.builds(
    ModelCosts,
    weights_bytes=st.integers(0, 1000),
    workspace_bytes=st.integers(0, 100),
    kv_bytes_per_token=st.integers(0, 50),
    context_tokens=st.integers(1, 2000),
    state_bytes=st.integers(0, 3000),
    vision_peak_bytes=st.integers(0, 500),
    image_bytes_per_token=st.integers(0, 3),
    max_image_tokens=st.integers(0, 100),
    workspace_bytes_per_token=st.integers(0, 3),
    workspace_bytes_per_sequence=st.integers(0, 100),
    tokenizer_bytes=st.integers(0, 100),
    learned_bytes=st.integers(0, 50),
    num_learned=st.integers(0, 2),
)


@given(COSTS, st.integers(1, 10_000), st.integers(1, 20))
def test_what_is_needed_for_tokens_and_sequences_lets_them_be_promised(
    costs: ModelCosts, num_tokens: int, num_sequences: int
) -> None:
    num_tokens = min(num_tokens, num_sequences * costs.context_tokens)
    total_bytes = needed_bytes(costs, num_tokens, num_sequences)

    budget = plan_memory(costs, total_bytes, num_sequences, host_bytes=0, are_promised=True)

    assert budget.num_sequences == num_sequences
    assert budget.num_pages * budget.page_tokens >= num_tokens
    assert sum(part.num_bytes for part in budget.parts()) == 2 * total_bytes
    # It is not much more than that.
    slack = 16 + 2 * budget.page_bytes
    assert budget.unused_bytes <= slack


@st.composite
def plans(draw: st.DrawFn) -> MemoryBudget | None:
    costs = draw(COSTS)
    try:
        return plan_memory(
            costs,
            draw(st.integers(0, 100_000)),
            draw(st.integers(1, 20)),
            host_bytes=draw(st.integers(0, 1000)),
            page_tokens=draw(st.sampled_from([16, 64])),
        )
    except InsufficientVram as error:
        shortage = error.shortage
        assert shortage is not None
        assert shortage.required_bytes > shortage.available_bytes
        return None


@given(plans())
def test_a_plan_never_needs_more_bytes_than_there_are(budget: MemoryBudget | None) -> None:
    if budget is None:
        return
    assert budget.unused_bytes >= 0
    assert budget.num_pages >= 1
    assert budget.num_sequences >= 1
    assert budget.prefix_bytes >= 0
    assert budget.encoder_bytes >= budget.costs.chunk_images_bytes
