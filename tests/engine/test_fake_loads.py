"""Models of any size for the fake engine: estimated, loaded in their time, within the budget."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex.engine.errors import ModelInvalid
from cortex.engine.fake_loads import FakeLoads, read_fake_model
from cortex.engine.messages import (
    Estimate,
    JobFailed,
    Load,
    Loaded,
    Message,
    Progress,
)

MIB = 1 << 20
_FAKE = Path(__file__).parent.parent.parent / "engine" / "assets" / "fake"


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """A folder of the fake engine's with these words in its config.json."""

    def make(name: str, **words: object) -> Path:
        folder = Path(shutil.copytree(_FAKE, tmp_path / name))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | words))
        return folder

    return make


def loads(said: list[Message], memory_bytes: int | None = None) -> FakeLoads:
    return FakeLoads(memory_bytes, said.append, lambda _: None)


@pytest.mark.parametrize("value", [-1, "many", None, 1 << 60])
def test_a_size_that_is_none_is_refused_by_name(
    make_model: Callable[..., Path], value: object
) -> None:
    said: list[Message] = []
    folder = make_model("odd", weights_bytes=value)
    with pytest.raises(ModelInvalid, match="weights_bytes"):
        read_fake_model(folder)
    loads(said).estimate(Estimate("e", str(folder)))
    loads(said).load(Load("l", "m", str(folder)))
    assert all(isinstance(each, JobFailed) for each in said) and len(said) == 2


def test_models_reserve_their_share_and_no_more_than_there_is(
    make_model: Callable[..., Path],
) -> None:
    said: list[Message] = []
    folder = str(make_model("m", weights_bytes=50 * MIB))
    made = loads(said, 100 * MIB)

    for name in ("a", "b"):
        made.load(Load(name, name, folder, 60 * MIB, 4096, 8))
    made.unload("a")
    made.load(Load("b", "b", folder, 60 * MIB, 4096, 8))

    ends = [each for each in said if not isinstance(each, Progress)]
    assert isinstance(ends[0], Loaded) and isinstance(ends[2], Loaded)
    assert ends[0].num_slots == 8
    assert ends[0].memory[-1].num_bytes == 60 * MIB
    assert isinstance(ends[1], JobFailed) and ends[1].error.code == "insufficient_vram"
    assert made.weights_bytes == 50 * MIB


def test_a_share_that_is_too_small_for_the_weights_is_refused(
    make_model: Callable[..., Path],
) -> None:
    said: list[Message] = []
    loads(said).load(Load("l", "m", str(make_model("m", weights_bytes=50 * MIB)), 40 * MIB))
    (failed,) = said
    assert isinstance(failed, JobFailed) and failed.error.code == "insufficient_vram"


async def test_a_load_that_is_cancelled_is_told_so_once_and_its_memory_is_free(
    make_model: Callable[..., Path],
) -> None:
    said: list[Message] = []
    made = loads(said, 100 * MIB)
    slow = str(make_model("slow", weights_bytes=50 * MIB, load_s=60))
    quick = str(make_model("quick", weights_bytes=50 * MIB))
    made.load(Load("1", "slow", slow, 90 * MIB))
    made.cancel("1")
    made.cancel("1")
    made.load(Load("2", "quick", quick, 90 * MIB))
    made.cancel("2")  # too late

    ends = [each for each in said if not isinstance(each, Progress)]
    assert isinstance(ends[0], JobFailed) and ends[0].error.code == "load_cancelled"
    assert isinstance(ends[1], Loaded) and len(ends) == 2
    assert list(made.tokenizers) == ["quick"]
