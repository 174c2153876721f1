"""What is known of devices without asking their engines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from cortex.engine.costs import ModelCosts
from cortex.engine.errors import (
    CortexError,
    DevicePoisoned,
    EngineFailed,
    InternalError,
    ModelInvalid,
    to_info,
)
from cortex.engine.messages import Alive, JobFailed, Load, Message, Progress
from cortex.engine.stream import Stage
from cortex.peer.children.slot import ChildSlot
from cortex.peer.config import Card, PeerConfig
from cortex.peer.devices import device
from cortex.peer.devices.device import Devices
from cortex.peer.devices.device_memory import is_of_start
from cortex.peer.devices.gpus import Gpu
from cortex.peer.devices.places import Place
from cortex.peer.observing.chronicle import Chronicle
from cortex.peer.observing.recent import Recent
from cortex.peer.observing.tally import PeerTally
from cortex.peer.placement.books import Need, Size
from cortex.peer.placement.load_history import LoadHistory
from cortex.peer.types import ModelInfo

GIB = 1 << 30
MODEL = ModelInfo("m", None, ("text",), 4096, 0)
COSTS = ModelCosts(1, 2, 3, 4, precision="bfloat16")


class Known:
    """A book of costs that were told of every model."""

    def known(self, model: ModelInfo) -> ModelCosts:
        return COSTS


class Refusals:
    """A book of costs that knows none: whoever would find one meets an error, and is counted."""

    def __init__(self, error: CortexError) -> None:
        self._error = error
        self.asked: list[ModelInfo] = []

    def known(self, model: ModelInfo) -> None:
        return None

    async def find(self, model: ModelInfo) -> ModelCosts:
        self.asked.append(model)
        raise self._error


@pytest.fixture
def open_devices(make_config: Callable[..., PeerConfig]) -> Callable[..., Devices]:
    def opened(
        *names: str,
        cards: tuple[Card, ...] = (),
        costs: Any = None,
        clock: Any = None,
        history: Any = None,
        tally: Any = None,
        chronicle: Any = None,
    ) -> Devices:
        known: Any = costs or Known()
        nothing: Any = None
        config = make_config(devices=names, cards=cards)
        budgets = [32 * GIB] * len(names)
        return Devices(
            *(config, budgets, nothing, print, nothing, history, known, tally, chronicle),
            clock or (lambda: 0.0),
        )

    return opened


@pytest.mark.parametrize(
    ("names", "precision"),
    [(("A100",), "bfloat16"), (("A100", "A100"), "bfloat16"), (("A100", "T4"), "")],
)
def test_how_it_will_compute_is_known_where_all_cards_are_the_same(
    open_devices: Callable[..., Devices], names: tuple[str, ...], precision: str
):
    cards = tuple(Card(number, f"GPU-{number}", name) for number, name in enumerate(names))
    own = [card.device for card in cards]
    assert open_devices(*own, cards=cards).precision_of(MODEL) == precision
    assert open_devices(*own, "cpu", cards=cards).precision_of(MODEL) == ""


def test_how_it_will_compute_is_known_on_one_device_of_which_nobody_tells(
    open_devices: Callable[..., Devices],
):
    assert open_devices("cuda:0").precision_of(MODEL) == "bfloat16"
    assert open_devices("cuda:0", "cuda:1").precision_of(MODEL) == ""


@pytest.mark.parametrize("is_burying", [False, True])
def test_what_an_engine_has_that_is_on_its_way_out_is_nobody_elses(
    open_devices: Callable[..., Devices], monkeypatch: pytest.MonkeyPatch, is_burying: bool
):
    monkeypatch.setattr(ChildSlot, "is_burying", is_burying)
    devices = open_devices("fake:0", "cpu")
    full = Gpu(0, "A100", 32 << 30, 1 << 30, "570")
    assert devices.look_at_gpus([full], {}, [0, 0]) is not is_burying
    assert devices.look_at_memory(1 << 30, [0, 0]) is not is_burying


def test_a_cpus_budget_is_of_the_start_unless_somebody_gave_one(
    make_config: Callable[..., PeerConfig], open_devices: Callable[..., Devices]
):
    assert [one.is_of_start for one in open_devices("cpu", "cuda:0").devices] == [True, False]
    assert not is_of_start(make_config(memory_bytes=GIB), "cpu")


def test_what_is_remembered_and_the_engine_itself_hide_nothing_of_what_others_take(
    open_devices: Callable[..., Devices], monkeypatch: pytest.MonkeyPatch
):
    devices = open_devices("cpu")
    devices.devices = (replace(devices.devices[0], budget_bytes=27 * GIB),)

    def foreign_gib(pid: int | None, private_gib: int, available_gib: int) -> float:
        def private_bytes(_: int | None) -> int:
            return private_gib * GIB

        monkeypatch.setattr(ChildSlot, "pid", pid)
        monkeypatch.setattr(device, "private_bytes", private_bytes)
        devices.look_at_memory(available_gib * GIB, [15 * GIB])
        return devices.devices[0].foreign_bytes / GIB

    # Beside the models 9 GiB are for prompts, and 2 have been there since the engine began.
    devices.engines[0].slot.last_told = Alive(0, 0, 0, remembered_bytes=9 * GIB)
    assert foreign_gib(pid=7, private_gib=2, available_gib=36) == 0
    devices._note_empty(0)  # pyright: ignore[reportPrivateUsage]
    assert foreign_gib(pid=7, private_gib=2 + 15 + 9, available_gib=12) == 0
    assert foreign_gib(pid=7, private_gib=2 + 15 + 9, available_gib=5) == 7
    # What it has not touched yet is to come.
    assert foreign_gib(pid=7, private_gib=2 + 15, available_gib=5 + 9) == 7
    assert foreign_gib(pid=None, private_gib=0, available_gib=5 + 9 + 15 + 2) == 7
    assert foreign_gib(pid=8, private_gib=1, available_gib=5 + 9 + 15) == 7


@pytest.mark.parametrize("is_told", [False, True])
def test_who_gives_more_memory_than_there_is_can_load_no_less_for_it(
    open_devices: Callable[..., Devices], monkeypatch: pytest.MonkeyPatch, is_told: bool
):
    def private_bytes(_: int | None) -> int:
        return GIB

    monkeypatch.setattr(ChildSlot, "pid", 7)
    monkeypatch.setattr(device, "private_bytes", private_bytes)
    room_bytes = list[int]()
    for given_gib in (4, 6, 8, 12, 16, 32, 64):
        devices = open_devices("cpu")
        devices.devices = (replace(devices.devices[0], budget_bytes=given_gib * GIB * 3 // 4),)
        if is_told:  # by an engine that has seen as much when it began
            told = Alive(0, 0, 0, remembered_bytes=min(given_gib, 8) * GIB // 4)
            devices.engines[0].slot.last_told = told
        devices.look_at_memory(8 * GIB, [0])
        room_bytes.append(devices.devices[0].budget_bytes - devices.devices[0].foreign_bytes)
    assert room_bytes == sorted(room_bytes) and room_bytes[-1] == 6 * GIB


async def test_what_a_load_takes_is_not_taken_for_the_empty_engines(
    open_devices: Callable[..., Devices], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    held_bytes, no_need = GIB, cast(Need, None)

    def private_bytes(_: int | None) -> int:
        return held_bytes

    async def ready(_: ChildSlot) -> None:
        pass

    def post(_: ChildSlot, message: Message) -> None:
        nonlocal held_bytes
        assert isinstance(message, Load)
        held_bytes += 7 * GIB  # before it says a word of it
        hear = devices.engines[0]._hear  # pyright: ignore[reportPrivateUsage]
        hear(Progress(message.job_id, Stage("loading", 1, 2)))
        hear(JobFailed(message.job_id, to_info(InternalError("enough for a test"))))

    monkeypatch.setattr(ChildSlot, "pid", 7)
    monkeypatch.setattr(ChildSlot, "ready", ready)
    monkeypatch.setattr(ChildSlot, "post", post)
    monkeypatch.setattr(device, "private_bytes", private_bytes)
    devices = open_devices(
        "cpu", history=LoadHistory(tmp_path), tally=PeerTally(), chronicle=Chronicle(Recent())
    )
    with pytest.raises(InternalError):
        await devices.load(Place(MODEL, 0, Size(8, 1, GIB), no_need), lambda _: None)
    assert devices._empty(0, held_bytes) == GIB  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("error", [ModelInvalid("a tensor has no place"), InternalError("a bug")])
async def test_a_model_that_is_refused_is_surveyed_again_when_something_else_is_known_of_it(
    open_devices: Callable[..., Devices], error: CortexError
):
    book = Refusals(error)
    devices = open_devices("fake:0", costs=book)
    named = replace(MODEL, weights=b"w" * 8)
    other = replace(MODEL, id="other")
    for stored in ([MODEL, other], [MODEL, other], [named, other], [named, other]):
        await devices.survey(stored)
    assert book.asked == [MODEL, other, named]


@pytest.mark.parametrize("error", [ModelInvalid("a shard: stale handle"), InternalError("a bug")])
async def test_a_model_that_is_refused_is_surveyed_again_after_rests_that_grow_to_an_hour(
    open_devices: Callable[..., Devices], error: CortexError
):
    book, now_s, asked_s = Refusals(error), 0, list[int]()
    devices = open_devices("fake:0", costs=book, clock=lambda: now_s)
    for now_s in range(0, 5 * 3600, 10):
        num_asked = len(book.asked)
        await devices.survey([MODEL])
        asked_s += [now_s] * (len(book.asked) - num_asked)
    rests_s = [after - before for before, after in itertools.pairwise(asked_s)]
    assert rests_s == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_a_model_that_was_away_is_surveyed_again(open_devices: Callable[..., Devices]):
    book = Refusals(ModelInvalid("a file is not there"))
    devices = open_devices("fake:0", costs=book)
    for stored in ([MODEL], [], [MODEL]):
        await devices.survey(stored)
    assert book.asked == [MODEL, MODEL]


@pytest.mark.parametrize("error", [EngineFailed("it died"), DevicePoisoned("an illegal access")])
async def test_an_engine_that_failed_has_refused_no_model(
    open_devices: Callable[..., Devices], error: CortexError
):
    book = Refusals(error)
    devices = open_devices("fake:0", costs=book)
    for _ in range(2):
        await devices.survey([MODEL])
    assert book.asked == [MODEL, MODEL]
