"""What a decode step writes is its rows' own."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cortex.engine.cache.pages import PageAllocator
from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import Pools
from cortex.engine.decoding.inputs import StepRow
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.decoding.steps import open_steps
from cortex.engine.messages import Wanted
from cortex.engine.models.base import ServableModel
from cortex.engine.sampling.wishes import DrawTokens, Truncations
from cortex.engine.sequence import Sequence, open_sequence
from cortex.engine.speculation.head import HeadDrafts
from cortex.engine.types import Prompt, Sampling

CPU = torch.device("cpu")


def test_padding_leaves_no_trace(model: ServableModel, draw_tokens: DrawTokens) -> None:
    """A step of three rows and one of padding, in pools that are full of something."""
    pools = Pools(
        model.shape.memory, model.dtype, CPU, num_pages=8, page_tokens=16, num_slots=4,
        operations=model.operations,
    )  # fmt: skip
    kept = [each for pair in pools.keys_values.values() for each in pair]
    states = [x for state in pools.states.values() for x in (state.conv, state.recurrent)]
    for tensor in (*kept, *states):
        tensor.fill_(0.5)
    step = DecodeStep(model, pools, torch.tensor([], dtype=torch.long), draw_tokens, 4)
    rows = [StepRow(7 + i, 20, Place([2 * i, 2 * i + 1], slot=i, num_tokens=20)) for i in range(3)]
    key = StepKey(4, 2, Truncations(False, False, False), keeps_scores=True)

    with torch.inference_mode():
        step(key, key.layout.views(torch.tensor(key.layout.pack(rows, 16))))

    new = {row.place.pages[1] * 16 + 4 for row in rows}
    for tensor in kept:
        assert {i for i in range(len(tensor)) if not bool((tensor[i] == 0.5).all())} == new
    for tensor in states:
        assert [bool((tensor[i] == 0.5).all()) for i in range(4)] == [False] * 3 + [True]


class Noted(HeadDrafts):
    """Keeps what it hears of, and what that was when it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(self, computed: Mapping[Sequence, torch.Tensor]) -> None:
        self.heard += [(hidden, hidden.clone()) for hidden in computed.values()]


def test_what_a_draft_head_hears_of_is_not_written_over(
    model: ServableModel, draw_tokens: DrawTokens
) -> None:
    pools = Pools(
        model.shape.memory, model.dtype, CPU, num_pages=4, page_tokens=16, num_slots=1,
        operations=model.operations,
    )  # fmt: skip
    pools.clear_state(0)
    prompt = Prompt((5, 9, 30), (), (), Sampling(seed=0), 8, (), stop_token_ids=())
    sequence = open_sequence(
        Wanted("a", 0), prompt, model.shape,
        capacity_tokens=64, grid_tokens=16, now_s=0.0,
    )  # fmt: skip
    sequence.pages, sequence.slot = PageAllocator(4).allocate(1), 0
    head, nothing = Noted(), torch.tensor([], dtype=torch.long)
    steps = open_steps(model, pools, nothing, draw_tokens, None, 1, head)
    assert steps is not None

    with torch.inference_mode():
        for _ in range(3):
            steps.launch([sequence], {})

    assert len(head.heard) == 3
    assert all(torch.equal(kept, told) for kept, told in head.heard)
