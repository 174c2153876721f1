"""What a decode step writes is its rows' own."""

from __future__ import annotations

import torch

from cortex.engine.cache.place import Place
from cortex.engine.cache.pools import Pools
from cortex.engine.decoding.inputs import StepRow
from cortex.engine.decoding.keys import StepKey
from cortex.engine.decoding.step import DecodeStep
from cortex.engine.models.base import ServableModel
from cortex.engine.sampling.wishes import DrawTokens, Truncations

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
