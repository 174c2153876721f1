"""A head that is told where to look looks there, and is watched by the layer's own arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cortex.engine.models.qwen3_5 import DecoderLayer, LanguageModel
from training.places import Point
from training.pointing import Pointed, Watch, gathered, pointing_loss
from training.state import new_trainee

torch.set_num_threads(1)
TOKENS = 12
NOWHERE = gathered([[], []])


def run(model: LanguageModel) -> None:
    embeddings = torch.randn(2, TOKENS, 256, generator=torch.Generator().manual_seed(3))
    positions = torch.arange(TOKENS).expand(3, 2, TOKENS)
    model(embeddings, positions, None)


def test_all_that_a_head_can_look_at_is_all_that_it_looks_at() -> None:
    model = new_trainee(1).model.language_model
    watch = Watch(model)
    run(model)

    points = gathered([[Point(5, tuple(range(6)))], [Point(2, (0, 1, 2)), Point(4, (0,))]])
    looked = watch.looked(3, 2, points)

    assert looked[:2].tolist() == pytest.approx([1.0, 1.0])
    assert 0 < looked[2].item() < 1


def test_shares_are_those_by_which_the_layer_weighs_its_values() -> None:
    model = new_trainee(1).model.language_model
    watch, layer = Watch(model), model.layers[5]
    assert isinstance(layer, DecoderLayer)
    attention = layer.self_attn
    given: list[torch.Tensor] = []

    def take(module: nn.Module, args: tuple[torch.Tensor]) -> None:
        given.append(args[0])

    def numbered(module: nn.Module, args: object, values: torch.Tensor) -> torch.Tensor:
        """Every value is its token's number."""
        return torch.arange(TOKENS).float()[None, :, None].expand_as(values)

    attention.o_proj.register_forward_pre_hook(take)
    attention.v_proj.register_forward_hook(numbered)
    with torch.no_grad():  # a gate that lets through half of everything
        attention.q_proj.weight.view(4, 2, 64, 256)[:, 1] = 0
    run(model)

    shares = torch.stack(
        [watch.looked(5, 1, gathered([[], [Point(9, (token,))]]))[0] for token in range(TOKENS)]
    )
    mean_token = (shares * torch.arange(TOKENS)).sum()
    assert given[0][1, 9, 64].item() == pytest.approx(mean_token.item() / 2, rel=1e-4)


def test_a_head_that_is_told_where_to_look_learns_it() -> None:
    model = new_trainee(1).model.language_model
    watch = Watch(model)
    pointed = Pointed(gathered([[Point(8, (2,))], [Point(7, (5,))]]), NOWHERE, NOWHERE, NOWHERE)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    shares: list[float] = []
    for _ in range(8):
        run(model)
        loss, metrics = pointing_loss(watch, pointed)
        assert loss is not None
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        shares.append(metrics["answers"])
    assert shares[-1] > 2 * shares[0]


def test_a_batch_without_points_has_nothing_to_learn_from_them() -> None:
    watch = Watch(new_trainee(1).model.language_model)
    assert pointing_loss(watch, Pointed(NOWHERE, NOWHERE, NOWHERE, NOWHERE)) == (None, {})
