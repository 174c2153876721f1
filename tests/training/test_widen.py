"""A wider tower is not a new one: what was learnt stays, and twins part as they learn."""

from __future__ import annotations

import torch

from cortex.engine.models.qwen3_5_config import VisionConfig
from cortex.engine.models.qwen3_5_vision import VisionTower
from training.widen import widened

torch.set_num_threads(1)
GRIDS = [(1, 4, 6), (1, 2, 2)]
HEAD_DIM = 8


def tower(width: int) -> VisionTower:
    torch.manual_seed(5)
    config = VisionConfig(2, width, 4 * width, width // HEAD_DIM, 16, 2, 2, 24, 16)
    return VisionTower(config)


def wide_one(narrow: VisionTower) -> VisionTower:
    published = {f"model.visual.{name}": t for name, t in narrow.state_dict().items()}
    made = widened(published, torch.Generator().manual_seed(1))
    wide = tower(2 * narrow.config.hidden_size)
    wide.load_state_dict({name.removeprefix("model.visual."): t for name, t in made.items()})
    return wide


def patches() -> torch.Tensor:
    return torch.randn((28, 3 * 2 * 16 * 16), generator=torch.Generator().manual_seed(3))


def test_a_tower_twice_as_wide_sees_what_it_saw() -> None:
    narrow = tower(32)
    with torch.no_grad():
        seen, seen_wide = narrow(patches(), GRIDS), wide_one(narrow)(patches(), GRIDS)
    assert seen.std() > 0.1
    torch.testing.assert_close(seen_wide, seen, rtol=1e-4, atol=1e-5)


def test_twins_do_not_learn_alike() -> None:
    wide = wide_one(tower(32))
    wide(patches(), GRIDS).square().sum().backward()
    for name, parameter in wide.named_parameters():
        assert parameter.grad is not None
        if name.startswith("merger.linear_fc2"):
            continue
        grad = parameter.grad.T if name == "pos_embed.weight" else parameter.grad
        runs = grad.reshape(3 if "qkv" in name else 1, 2, -1)
        apart = (runs[:, 0] - runs[:, 1]).abs().max()
        assert apart > 0.01 * runs.abs().max(), name


def test_what_is_not_the_towers_stays_as_it_is() -> None:
    own = {"model.language_model.norm.weight": torch.ones(4)}
    assert widened(own, torch.Generator()) == own
