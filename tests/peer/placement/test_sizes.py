"""In which sizes a model may be loaded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.costs import ModelCosts
from cortex.peer.placement.sizes import parts, sizes

_COSTS = st.builds(
    ModelCosts, *[st.integers(0, 1 << 40)] * 2, st.integers(0, 1 << 20), st.integers(64, 1 << 20)
)
_WISH = st.none() | st.integers(1, 1 << 16)


@given(_COSTS, _WISH, _WISH, st.integers(0, 1 << 45))
def test_parts_are_the_sum_and_wishes_are_kept(
    costs: ModelCosts, context_tokens: int | None, num_slots: int | None, budget_bytes: int
) -> None:
    found = sizes(
        costs,
        context_limit_tokens=32_768,
        wanted_context=context_tokens,
        wanted_slots=num_slots,
        device_budget_bytes=budget_bytes,
    )
    assert found
    assert [size.num_bytes for size in found] == sorted(
        (size.num_bytes for size in found), reverse=True
    )
    for size in found:
        assert sum(part.num_bytes for part in parts(costs, size)) == size.num_bytes
        assert context_tokens in (None, size.context_tokens)
        assert num_slots in (None, size.num_slots)
