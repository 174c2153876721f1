"""What models cost: asked once, kept, and put right by what loads have taken here or elsewhere."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from cortex.engine.costs import ModelCosts
from cortex.engine.errors import CortexError, ModelInvalid
from cortex.engine.messages import Loaded
from cortex.engine.wishes import ModelWishes, PixelWishes
from cortex.peer.fleet.view import DeviceView, FleetView, PeerView, StoredModel
from cortex.peer.gossip.ids import ModelId, NodeId
from cortex.peer.placement.costs_book import CostsBook, device_kind
from cortex.peer.types import ModelInfo

MIB = 1 << 20
COSTS = ModelCosts(1000 * MIB, 50 * MIB, 1024, 32_768)
MODEL = ModelInfo("small", Path("/models/small"), (), 32_768, 7, b"weights!")


@dataclass
class Engine:
    """Answers with these costs, or the error, and counts how often it was asked."""

    costs: ModelCosts = COSTS
    error: CortexError | None = None
    asked: list[str] = field(default_factory=list[str])

    async def ask(self, model: ModelInfo) -> ModelCosts:
        self.asked.append(model.id)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.costs


def book(tmp_path: Path, engine: Engine, setting: str = "torch auto cpu") -> CostsBook:
    made = CostsBook(tmp_path / "costs.json", tmp_path / "learned.json", setting, "cpu", engine.ask)
    made.read()
    return made


def loaded(measured_bytes: int, estimated_bytes: int = 1000 * MIB) -> Loaded:
    return Loaded("j", "small", 1, 1.0, "", (), 1, measured_bytes, estimated_bytes)


def view(*stored: StoredModel, device: str = "8 cores") -> FleetView:
    me, other = NodeId(b"m" * 16), NodeId(b"o" * 16)
    peers = (
        PeerView(me, 1, "me", "up", True),
        PeerView(other, 1, "other", "up", False, devices=(DeviceView(device, 0),), stored=stored),
    )
    return FleetView("fleet", me, peers=peers)


async def test_the_engine_is_asked_once_whoever_asks(tmp_path: Path) -> None:
    engine = Engine()
    costs = book(tmp_path, engine)
    assert costs.known(MODEL) is None
    assert await asyncio.gather(costs.find(MODEL), costs.find(MODEL)) == [COSTS, COSTS]
    assert costs.known(replace(MODEL, id="by another name")) == COSTS
    assert engine.asked == ["small"]


async def test_what_was_asked_is_known_to_the_next_peer_here_but_not_in_another_setting(
    tmp_path: Path,
) -> None:
    before = book(tmp_path, Engine())
    await before.find(MODEL)
    before.learn(MODEL, loaded(1010 * MIB))
    await before.save()
    corrected = replace(COSTS, learned_bytes=10 * MIB, num_learned=1)
    assert book(tmp_path, Engine()).known(MODEL) == corrected
    assert book(tmp_path, Engine(), "torch bfloat16 cpu").known(MODEL) is None


async def test_a_model_whose_weights_have_no_name_yet_is_known_while_the_peer_lives(
    tmp_path: Path,
) -> None:
    engine, unnamed = Engine(), replace(MODEL, weights=b"")
    costs = book(tmp_path, engine)
    await costs.find(unnamed)
    assert costs.known(unnamed) == costs.known(MODEL) == COSTS
    assert costs.known(replace(unnamed, created_s=8)) is None
    await costs.save()
    assert not (tmp_path / "costs.json").exists()


async def test_what_the_engine_refuses_is_asked_again_the_next_time(tmp_path: Path) -> None:
    engine = Engine(error=ModelInvalid("config.json: hidden_act"))
    costs = book(tmp_path, engine)
    with pytest.raises(ModelInvalid):
        await costs.find(MODEL)
    engine.error = None
    assert await costs.find(MODEL) == COSTS


async def test_the_next_estimate_is_what_the_load_took(tmp_path: Path) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    for measured in (1012, 1010, 1011):
        costs.learn(MODEL, loaded(measured * MIB))
    known = costs.known(MODEL)
    assert known is not None and known.num_learned == 3
    assert known.loaded_bytes == pytest.approx(1011 * MIB, abs=2)
    assert known.fixed_bytes - COSTS.fixed_bytes == known.learned_bytes


async def test_a_load_that_was_disturbed_or_not_measured_teaches_nothing(tmp_path: Path) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    for each in (loaded(0, 0), loaded(100 * MIB), loaded(9000 * MIB)):
        costs.learn(MODEL, each)
    assert costs.known(MODEL) == COSTS


async def test_what_another_peer_learned_on_such_a_device_serves_until_something_is_learned_here(
    tmp_path: Path,
) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    told = replace(COSTS, learned_bytes=30 * MIB, num_learned=4)
    stored = StoredModel(ModelId(MODEL.weights), "s", 1, 1, (), 1, told)

    costs.see(view(stored, device="NVIDIA H100"))
    assert costs.known(MODEL) == COSTS
    costs.see(view(stored))
    assert costs.known(MODEL) == told
    costs.learn(MODEL, loaded(1001 * MIB))
    known = costs.known(MODEL)
    assert known is not None and known.num_learned == 1


async def test_a_peer_whose_disk_has_not_changed_has_learned_nothing_since(tmp_path: Path) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    first, second = (replace(COSTS, learned_bytes=n * MIB, num_learned=4) for n in (30, 50))
    told = view(StoredModel(ModelId(MODEL.weights), "s", 1, 1, (), 1, first))
    me, other = told.peers
    [stored] = other.stored
    third = replace(other, node=NodeId(b"t" * 16), stored=(replace(stored, costs=second),))
    costs.see(replace(told, peers=(me, other, third)))
    assert costs.known(MODEL) == second
    before = costs.num_changes

    free = replace(other, devices=(replace(other.devices[0], free_bytes=7),))
    costs.see(replace(told, peers=(me, free, third)))
    assert (costs.num_changes, costs.known(MODEL)) == (before, second)
    costs.see(replace(told, peers=(me, third)))
    costs.see(replace(told, peers=(me, other, third)))
    assert costs.known(MODEL) == first


async def test_corrections_of_other_numbers_and_beyond_reason_are_not_believed(
    tmp_path: Path,
) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    half = replace(COSTS, weights_bytes=500 * MIB, learned_bytes=MIB, num_learned=1)
    costs.see(view(StoredModel(ModelId(MODEL.weights), "s", 1, 1, (), 1, half)))
    assert costs.known(MODEL) == COSTS
    wild = replace(COSTS, learned_bytes=-(1 << 50), num_learned=1)
    costs.see(view(StoredModel(ModelId(MODEL.weights), "s", 1, 1, (), 1, wild)))
    known = costs.known(MODEL)
    assert known is not None and known.learned_bytes == -200 * MIB


async def test_kept_books_that_cannot_be_read_are_as_good_as_none(tmp_path: Path) -> None:
    for costs_text, learned_text in (
        ("{", "{"),
        ('{"way":"0","costs":{}}', '{"costs":{"a":[]}}'),
        ('{"way":"3","costs":{"a":{}}}', '{"costs":{"a":[9.0]}}'),
    ):
        (tmp_path / "costs.json").write_text(costs_text)
        (tmp_path / "learned.json").write_text(learned_text)
        costs = book(tmp_path, Engine())
        assert await costs.find(MODEL) == COSTS


async def test_costs_of_another_way_to_estimate_are_asked_for_again(tmp_path: Path) -> None:
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    await costs.save()
    path = tmp_path / "costs.json"
    path.write_text(path.read_text().replace('"way":"3"', '"way":"1"'))
    assert book(tmp_path, Engine()).known(MODEL) is None


async def test_what_loads_took_is_kept_beside_what_others_keep_there(tmp_path: Path) -> None:
    (tmp_path / "learned.json").write_text('{"loads": {"a": 1}}')
    costs = book(tmp_path, Engine())
    await costs.find(MODEL)
    costs.learn(MODEL, loaded(1010 * MIB))
    await costs.save()
    kept = json.loads((tmp_path / "learned.json").read_text())
    assert kept["loads"] == {"a": 1} and len(kept["costs"]) == 1


def test_processors_are_of_one_kind_and_gpus_of_their_name() -> None:
    assert {device_kind("cpu"), device_kind("8 cores"), device_kind("2 cores")} == {"cpu"}
    assert device_kind("NVIDIA H100") == "NVIDIA H100"


@pytest.mark.parametrize(
    "wishes", [ModelWishes("bfloat16"), ModelWishes(pixels=PixelWishes(max_pixels=4096))]
)
async def test_what_is_wished_of_a_model_alone_is_asked_for_by_itself(
    tmp_path: Path, wishes: ModelWishes
) -> None:
    engine = Engine()
    costs = book(tmp_path, engine)
    await costs.find(MODEL)
    own = replace(MODEL, wishes=wishes)
    assert costs.known(own) is None
    await costs.find(own)
    assert len(engine.asked) == 2
    assert costs.known(own) == COSTS
