"""All that a decode step is told lies in one tensor, and arrives at once."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.cache.place import Place
from cortex.engine.decoding.inputs import StepRow, layout_of

PAGE_TOKENS = 16

places = st.builds(
    Place, st.just([*range(7, 16)]), slot=st.integers(0, 63), num_tokens=st.integers(0, 140)
)
numbers = st.integers(0, 1 << 20)


@given(rows=st.lists(st.builds(StepRow, numbers, numbers, places), min_size=1, max_size=5))
def test_what_is_packed_is_found_where_it_belongs(rows: list[StepRow]) -> None:
    layout = layout_of(rows, PAGE_TOKENS)

    inputs = layout.views(torch.tensor(layout.pack(rows, PAGE_TOKENS)))

    for i, row in enumerate(rows):
        assert inputs.token_ids[i].tolist() == [row.token_id]
        assert inputs.positions[i].tolist() == [row.position]
        assert inputs.slots[i] == row.place.slot
        assert inputs.lengths[i] == row.place.num_tokens + 1
        used = row.place.num_tokens // PAGE_TOKENS + 1
        assert inputs.pages[i].tolist() == [*range(7, 7 + used)] + [0] * (layout.num_pages - used)
    assert all(view.storage_offset() % 2 == 0 for view in inputs)


def test_pages_of_a_long_conversation_are_copied_as_they_are_held() -> None:
    held = PageAllocator(5000).allocate(4000)
    assert held is not None
    row = StepRow(1, 2, Place(held.pages, 0, 4000 * PAGE_TOKENS - 1))

    packed = layout_of([row], PAGE_TOKENS).pack([row], PAGE_TOKENS)

    assert packed.tobytes().endswith(held.pages.tobytes())
