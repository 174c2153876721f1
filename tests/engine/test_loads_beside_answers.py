"""Loads beside answers, on the device's own queue: what goes on, what waits, what is cancelled."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from msgspec import Raw

from bench.estimated_shapes import SMALL
from cortex.engine.errors import EngineFailed
from cortex.engine.events import DeviceEvent, ModelLoaded, NewToken
from cortex.engine.frames import pack_value
from cortex.engine.gauge import private_bytes
from cortex.engine.heap import give_freed_memory_back
from cortex.engine.loop import DeviceLoop, Job
from cortex.engine.memory import REMEMBERED_PREFIXES
from cortex.engine.messages import (
    CancelLoad,
    Generate,
    JobFailed,
    Load,
    Loaded,
    Progress,
    Unload,
    Unloaded,
    Wanted,
)
from cortex.engine.reading import read_model
from cortex.engine.types import Prompt, Sampling
from cortex.engine.wishes import DtypeWish, ModelWishes, Wishes

TIMEOUT_S = 60.0
MIB = 1 << 20
_GREEDY = Sampling(seed=0, temperature=0.0)
PROMPT = Raw(pack_value(Prompt((5, 6, 7), (), (), _GREEDY, 12, (), ())))

E = TypeVar("E", bound=DeviceEvent)


class Device:
    """A device loop on its thread, and what it says."""

    def __init__(self, memory_bytes: int | None = None, num_engines: int = 1) -> None:
        self._said: queue.SimpleQueue[DeviceEvent] = queue.SimpleQueue()
        self._loop = DeviceLoop(
            torch.device("cpu"), memory_bytes, Wishes(), self._hear, num_engines
        )
        self._thread = threading.Thread(target=self._loop.run)

    def _hear(self, events: tuple[DeviceEvent, ...]) -> None:
        for event in events:
            self._said.put(event)

    @contextmanager
    def running(self) -> Generator[Device]:
        self._thread.start()
        try:
            yield self
        finally:
            self._loop.close()
            self._thread.join(TIMEOUT_S)

    def do(self, *jobs: Job) -> None:
        for job in jobs:
            self._loop.submit(job)

    def hear(self) -> DeviceEvent:
        """What comes next beside progress."""
        while isinstance(said := self._said.get(timeout=TIMEOUT_S), Progress):
            pass
        return said

    def expect(self, kind: type[E]) -> E:
        while not isinstance(said := self.hear(), kind):
            assert not isinstance(said, JobFailed), said.error
        return said

    def loaded(self) -> Loaded:
        return self.expect(ModelLoaded).loaded

    def answer(self) -> list[int]:
        """All tokens of one answer of model "a"."""
        self.do(Generate("a", (Wanted("r", 1),), PROMPT))
        token_ids: list[int] = []
        while (token := self.expect(NewToken)).finish is None:
            token_ids.append(token.token_id or 0)
        return token_ids


@pytest.fixture
def device() -> Generator[Device]:
    with Device().running() as device:
        yield device


class Gate:
    """Where loads wait once they are so far, until the test opens it."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._is_there, self.may_go_on = threading.Event(), threading.Event()

    def wait(self) -> None:
        assert self._is_there.wait(TIMEOUT_S)

    def read(self, *args: Any) -> Any:
        """`read_model`, with a stop on its way."""
        *others, on_progress = args

        def hold(done_bytes: int, total_bytes: int) -> None:
            if done_bytes >= self._share * total_bytes:
                self._is_there.set()
                assert self.may_go_on.wait(TIMEOUT_S)
            on_progress(done_bytes, total_bytes)

        read: Any = read_model
        return read(*others, hold)


@pytest.fixture
def gate_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Gate]:
    def make(share: float) -> Gate:
        gate = Gate(share)
        monkeypatch.setattr("cortex.engine.reading.read_model", gate.read)
        return gate

    return make


def test_answers_go_on_while_another_model_is_read(
    device: Device, golden: Path, gate_at: Callable[[float], Gate]
) -> None:
    device.do(Load("1", "a", str(golden / "qwen3"), 100 * MIB))
    device.loaded()
    alone = device.answer()
    gate = gate_at(0.3)
    device.do(Load("2", "b", str(golden / "llama")))
    gate.wait()
    beside = device.answer()
    gate.may_go_on.set()
    loaded = device.loaded()

    assert beside == alone and len(alone) > 5
    assert loaded.model_id == "b"
    assert loaded.measured_bytes == loaded.estimated_bytes == 0, "answers took memory as well"


def test_a_model_goes_while_another_one_is_read(
    device: Device, golden: Path, gate_at: Callable[[float], Gate]
) -> None:
    device.do(Load("1", "a", str(golden / "qwen3"), 100 * MIB))
    device.loaded()
    gate = gate_at(0.3)
    device.do(Load("2", "b", str(golden / "llama")))
    gate.wait()
    device.do(Unload("3", "a"))
    assert device.expect(Unloaded).model_id == "a"
    gate.may_go_on.set()
    assert device.loaded().model_id == "b"


def test_what_is_asked_of_one_model_is_done_in_order(device: Device, golden: Path) -> None:
    folder = str(golden / "llama")
    device.do(Load("1", "b", folder), Unload("2", "b"), Load("3", "b", folder))
    said = [device.hear() for _ in range(3)]
    assert [type(each) for each in said] == [ModelLoaded, Unloaded, ModelLoaded]


def test_a_cancelled_load_gives_back_all_it_took(
    tmp_path: Path, gate_at: Callable[[float], Gate]
) -> None:
    SMALL[0].make(tmp_path / "made")
    load = Load("1", "b", str(tmp_path / "made"), 300 * MIB, 128, 1)
    with Device(512 * MIB).running() as device:
        device.do(load, Unload("2", "b"))  # whatever a first load makes for all
        assert device.expect(Unloaded)
        left_bytes: list[int] = []
        for _ in range(3):
            before_bytes = settled_bytes()
            gate = gate_at(0.7)
            device.do(load)
            gate.wait()
            assert private_bytes() > before_bytes + 15 * MIB, "there is something to give back"
            device.do(CancelLoad("1"), Unload("2", "c"))
            assert device.expect(Unloaded), "the word has reached the device"
            gate.may_go_on.set()
            assert isinstance(failed := device.hear(), JobFailed)
            assert (failed.job_id, failed.error.code) == ("1", "load_cancelled")
            left_bytes.append(settled_bytes() - before_bytes)
        # What a load keeps it keeps each time; what else this process does comes and goes.
        assert min(left_bytes) < 6 * MIB
        device.do(load)
        assert device.loaded().model_id == "b"


def test_a_model_that_served_beside_another_is_given_back_when_it_goes(
    golden: Path, tmp_path: Path
) -> None:
    SMALL[0].make(tmp_path / "made")
    load = Load("1", "b", str(tmp_path / "made"), 300 * MIB, 128, 1)
    with Device(768 * MIB).running() as device:
        device.do(Load("0", "a", str(golden / "qwen3"), 100 * MIB, 128, 1))
        device.loaded()
        grown_bytes: list[int] = []
        for _ in range(4):  # the first load makes things for all
            before_bytes = settled_bytes()
            device.do(load)
            device.loaded()
            assert device.answer(), "the other one"
            device.do(Unload("2", "b"))
            assert device.expect(Unloaded)
            grown_bytes.append(private_bytes() - before_bytes)  # by the engine's own doing
        # What a model keeps it keeps each time; what else this process does comes and goes.
        assert min(grown_bytes[1:]) < 6 * MIB


def settled_bytes() -> int:
    gc.collect()
    give_freed_memory_back()
    return private_bytes()


def test_a_load_that_waits_for_another_is_cancelled_before_it_begins(
    device: Device, golden: Path, gate_at: Callable[[float], Gate]
) -> None:
    gate = gate_at(0.3)
    device.do(
        Load("1", "a", str(golden / "qwen3"), 100 * MIB), Load("2", "b", str(golden / "llama"))
    )
    gate.wait()
    device.do(CancelLoad("2"))
    assert isinstance(failed := device.hear(), JobFailed)
    assert (failed.job_id, failed.error.code) == ("2", "load_cancelled")
    gate.may_go_on.set()
    assert device.loaded().model_id == "a"


def test_a_cancel_that_comes_too_late_changes_nothing(device: Device, golden: Path) -> None:
    device.do(Load("1", "a", str(golden / "qwen3")))
    device.loaded()
    device.do(CancelLoad("1"))
    assert len(device.answer()) > 5


def test_a_share_that_cannot_do_is_refused_before_anything_is_read(
    device: Device, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr("cortex.engine.serving.fill_model", read)
    device.do(Load("1", "a", str(golden / "qwen3"), 100_000))
    assert isinstance(failed := device.hear(), JobFailed)
    assert failed.error.code == "insufficient_vram"


@pytest.mark.parametrize("place", ["loop.open_service", "reading.LoadGauge"])
def test_a_model_that_gets_no_memory_or_cannot_be_measured_is_given_back(
    device: Device, golden: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"cortex.engine.{place}", refuse)
    device.do(Load("1", "a", str(golden / "qwen3")))
    assert isinstance(failed := device.hear(), JobFailed)
    assert failed.error.code == "insufficient_vram"
    monkeypatch.undo()
    device.do(Load("2", "a", str(golden / "qwen3")))
    assert device.loaded().job_id == "2"


def test_a_load_whose_thread_gets_no_device_is_answered(
    device: Device, golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: torch.device) -> None:
        raise EngineFailed("refused")

    monkeypatch.setattr("cortex.engine.reading.make_current", refused)
    device.do(Load("1", "a", str(golden / "qwen3")))
    failed = device.hear()
    assert isinstance(failed, JobFailed) and failed.error.message == "refused"


def test_engines_share_the_hosts_memory_for_what_was_read_before(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortex.engine.loop.available_memory_bytes", lambda: 8 << 30)
    remembered: list[int] = []
    for num_engines in (1, 8):
        with Device(num_engines=num_engines).running() as device:
            device.do(Load("1", "a", str(golden / "qwen3")))
            parts = device.loaded().memory
        remembered += [part.num_bytes for part in parts if part.name == REMEMBERED_PREFIXES]

    assert remembered[0] > 1 << 30 and remembered[1] == remembered[0] // 8


@pytest.mark.parametrize(("memory_gib", "remembered_gib"), [(4, 1), (8, 2), (64, 2)])
def test_of_more_memory_than_there_is_no_more_is_for_what_was_read_before(
    golden: Path, monkeypatch: pytest.MonkeyPatch, memory_gib: int, remembered_gib: int
) -> None:
    monkeypatch.setattr("cortex.engine.loop.available_memory_bytes", lambda: 8 << 30)
    with Device(memory_gib << 30).running() as device:
        device.do(Load("1", "a", str(golden / "qwen3")))
        parts = device.loaded().memory
    remembered = [part.num_bytes for part in parts if part.name == REMEMBERED_PREFIXES]
    assert remembered == [remembered_gib << 30]


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_what_is_said_of_a_slow_device_is_said_at_a_load_for_which_nobody_wished_otherwise(
    dtype: DtypeWish,
    device: Device,
    golden: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def slow(_: torch.device) -> str:
        return "a slow device"

    monkeypatch.setattr("cortex.engine.serving.told_of", slow)
    device.do(Load("1", "a", str(golden / "qwen3"), wishes=ModelWishes(dtype=dtype)))
    device.loaded()

    assert ("a slow device" in caplog.messages) == (dtype == "auto")
