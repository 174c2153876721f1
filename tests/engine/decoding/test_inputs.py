"""All that a decode step is told lies in one tensor, and arrives at once."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.cache.place import Place
from cortex.engine.decoding.inputs import Staging, StepRow, layout_of, send_chunk
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.runner import Runner
from cortex.engine.sequence import Sequence, open_sequence
from tests.engine import asking
from tests.engine.calls import TOLD, WAITED, Calls

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


@pytest.mark.parametrize("model_name", ["golden_model", "dense_model"])
def test_the_host_tells_a_prompts_chunk_all_at_once_and_waits_for_nothing(
    request: pytest.FixtureRequest, model_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: ServableModel = request.getfixturevalue(model_name)
    calls, read, sent = Calls(), list[int](), list[int]()
    prefill, send = Runner.prefill, Staging.send

    def counted(runner: Runner, sequence: Sequence, end: int) -> torch.Tensor:
        read.append(end)
        with calls:
            return prefill(runner, sequence, end)

    def counting(staging: Staging, numbers: array[int]) -> torch.Tensor:
        sent.append(len(numbers))
        return send(staging, numbers)

    asked = asking.opened(model, is_exact=False)
    asked.add("a", asking.prompt_of(range(1, 100)))
    monkeypatch.setattr(Runner, "prefill", counted)
    monkeypatch.setattr(Staging, "send", counting)

    asked.step()

    assert len(sent) == len(read) >= 3
    assert not calls.counted.keys() & (TOLD | WAITED)


@pytest.mark.parametrize(("start", "end"), [(0, 7), (3, 20), (19, 21)])
def test_of_a_chunk_everything_is_found_where_it_belongs(
    golden: Path, golden_model: ServableModel, start: int, end: int
) -> None:
    prompt, _ = asking.golden_case(golden, "image_square")
    sequence = open_sequence(
        Wanted("a", 0), prompt, golden_model.shape,
        capacity_tokens=1000, grid_tokens=48, now_s=0.0,
    )  # fmt: skip
    allocator = PageAllocator(100)
    allocator.allocate(7)
    sequence.pages, sequence.slot = allocator.allocate(30), 3
    sequence.num_computed = start

    inputs = send_chunk(sequence, end, PAGE_TOKENS, Staging(torch.device("cpu")))

    assert inputs.token_ids.tolist() == sequence.tokens[start:end]
    assert inputs.positions[:, 0].tolist() == sequence.positions.between(start, end).tolist()
    assert inputs.behind.tolist() == [sequence.tokens[min(end, len(sequence.tokens) - 1)]]
    assert (inputs.slots.tolist(), inputs.lengths.tolist()) == ([3], [end])
    assert inputs.pages.tolist() == [[*range(7, 7 + -(-end // PAGE_TOKENS))]]
    assert all(view.storage_offset() % 2 == 0 for view in inputs)
