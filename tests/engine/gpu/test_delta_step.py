"""One token of the gated delta net by Triton is what torch computes, in place and slot by slot."""

from __future__ import annotations

from itertools import accumulate

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex.engine.attention.tables import StepSlots
from cortex.engine.kernels.gpu.delta_step import delta_step
from cortex.engine.kernels.gpu.operations import TritonOperations
from cortex.engine.layers.gated_delta import DeltaInputs, DeltaWeights, LinearState
from cortex.engine.layers.operations import PLAIN

TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 3e-2}
CPU = torch.device("cpu")


class Mixer:
    """A gated delta net of these heads, each (number, size), for a step of some rows."""

    def __init__(
        self, keys: tuple[int, int], values: tuple[int, int], taps: int, dtype: torch.dtype
    ) -> None:
        self._source = torch.Generator().manual_seed(keys[1])
        self._dtype = dtype
        (key_heads, key_dim), (value_heads, value_dim) = keys, values
        self.channels = 2 * key_heads * key_dim + value_heads * value_dim
        self.weights = DeltaWeights(
            self.draw(self.channels, taps), self.draw(value_heads).float(), self.draw(value_heads),
            self.draw(value_dim).float(), 1e-6, key_heads, value_heads, key_dim, value_dim,
        )  # fmt: skip

    def draw(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self._source).to(self._dtype)

    def kept(self, num_slots: int) -> LinearState:
        w = self.weights
        recurrent = self.draw(num_slots, w.value_heads, w.key_dim, w.value_dim).float()
        return LinearState(self.draw(num_slots, w.conv.shape[1] - 1, self.channels), recurrent)

    def projected(self, rows: int) -> list[torch.Tensor]:
        """qkv, z, b and a, side by side as one product gives them."""
        w = self.weights
        sizes = [self.channels, w.value_heads * w.value_dim, w.value_heads, w.value_heads]
        # A step as small as -30 or as large as 30 leaves no more than rounding.
        scale = torch.cat([torch.ones(sum(sizes[:-1])), torch.full((sizes[-1],), 10.0)])
        joined = self.draw(rows, 1, sum(sizes)) * scale.to(self._dtype)
        return list(joined.tensor_split(list(accumulate(sizes[:-1])), dim=-1))


def wide(weights: DeltaWeights) -> DeltaWeights:
    return weights._replace(
        conv=weights.conv.float(), a_log=weights.a_log.float(), dt_bias=weights.dt_bias.float()
    )


@settings(max_examples=5)
@given(
    heads=st.sampled_from([((2, 16), (4, 16)), ((2, 24), (6, 20)), ((1, 128), (3, 128))]),
    slots=st.permutations(range(5)), rows=st.integers(1, 4), taps=st.sampled_from([3, 4]),
    dtype=st.sampled_from(list(TOLERANCES)),
)  # fmt: skip
def test_steps_move_their_slots_alone_as_torch_does(
    heads: tuple[tuple[int, int], tuple[int, int]], slots: list[int], rows: int, taps: int,
    dtype: torch.dtype,
) -> None:  # fmt: skip
    mixer = Mixer(*heads, taps, dtype)
    kept = mixer.kept(5)
    before = LinearState(kept.conv.clone(), kept.recurrent.clone())
    expected = LinearState(kept.conv.float().clone(), kept.recurrent.clone())
    chosen, tolerance = slots[:rows], TOLERANCES[dtype]

    for _ in range(2):
        given_now = mixer.projected(rows)
        qkv, z, b, a = given_now
        out = delta_step(mixer.weights, qkv, z, b, a, kept, torch.tensor(chosen))

        given_wide = DeltaInputs(*(x.float() for x in given_now))
        expected_out = PLAIN.mix_kept(
            wide(mixer.weights), given_wide, expected, StepSlots(chosen, CPU)
        )
        torch.testing.assert_close(out.float(), expected_out, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(kept.recurrent, expected.recurrent, rtol=1e-4, atol=1e-4)
    assert torch.equal(kept.conv.float(), expected.conv)
    others = slots[rows:]
    assert torch.equal(kept.recurrent[others], before.recurrent[others])
    assert torch.equal(kept.conv[others], before.conv[others])


def test_a_row_has_the_same_bits_in_any_company_and_padding_touches_nothing() -> None:
    mixer = Mixer((2, 16), (4, 16), 4, torch.float32)
    kept = mixer.kept(4)
    qkv, z, b, a = mixer.projected(3)

    def stepped(rows: list[int], slots: list[int]) -> tuple[torch.Tensor, LinearState]:
        state = LinearState(kept.conv.clone(), kept.recurrent.clone())
        out = delta_step(
            mixer.weights, qkv[rows], z[rows], b[rows], a[rows], state, torch.tensor(slots)
        )
        return out, state

    together, after = stepped([0, 1, 2], [3, -1, 0])
    alone, after_alone = stepped([2], [0])

    assert torch.equal(together[2], alone[0])
    assert torch.equal(after.recurrent[0], after_alone.recurrent[0])
    for untouched in (1, 2):
        assert torch.equal(after.recurrent[untouched], kept.recurrent[untouched])
        assert torch.equal(after.conv[untouched], kept.conv[untouched])


def test_a_step_on_a_state_of_its_own_has_the_bits_of_one_in_a_slot(
    operations: TritonOperations,
) -> None:
    mixer = Mixer((2, 16), (4, 16), 4, torch.bfloat16)
    kept = mixer.kept(3)
    own = LinearState(kept.conv[[2, 0]], kept.recurrent[[2, 0]])
    inputs = DeltaInputs(*mixer.projected(2))

    out, after = operations.gated_delta_mix(mixer.weights, inputs, own)
    in_slots = operations.mix_kept(mixer.weights, inputs, kept, StepSlots([2, 0], CPU))

    assert torch.equal(out, in_slots)
    assert torch.equal(after.conv, kept.conv[[2, 0]])
    assert torch.equal(after.recurrent, kept.recurrent[[2, 0]])
