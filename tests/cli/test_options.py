"""The options about peers and engines, as they reach whoever answers."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex.cli import main
from cortex.cli.config import Invocation, find_locations
from cortex.cli.talker import default_model
from cortex.engine.errors import ModelNotFound
from cortex.engine.types import Capability
from cortex.peer.commands import engine_spec
from cortex.peer.config import PeerConfig
from cortex.peer.types import ModelInfo


class Asked:
    """What `cortex chat` and `cortex peer` would have begun with."""

    def __init__(self) -> None:
        self.configs: list[PeerConfig] = []
        self.typed_for_own_node: list[str] = []

    def chat(
        self, config: PeerConfig, peer: str | None, typed: Sequence[str], *_: object, **__: object
    ) -> None:
        self.configs.append(config)
        self.typed_for_own_node = list(typed)

    async def peer(self, config: PeerConfig, **_: object) -> signal.Signals:
        self.configs.append(config)
        return signal.SIGTERM


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr("cortex.cli.talker.answer_once_or_converse", asked.chat)
    monkeypatch.setattr("cortex.peer.server.run_peer", asked.peer)
    return asked


@pytest.fixture
def invocation(tmp_path: Path) -> Invocation:
    return Invocation(find_locations({"XDG_RUNTIME_DIR": str(tmp_path)}), can_redraw=False)


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_the_engine_process_is_told_how_many_threads_to_use(
    arguments: list[str], asked: Asked, invocation: Invocation
) -> None:
    assert main.run([*arguments, "--threads", "3"], invocation) == 0
    assert main.run(arguments, invocation) == 0
    with_threads, without = (engine_spec(config).command for config in asked.configs)
    assert with_threads[-2:] == ("--threads", "3")
    assert "--threads" not in without


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_the_engine_process_is_told_how_to_compute(
    arguments: list[str], asked: Asked, invocation: Invocation
) -> None:
    words = "--mode fast --dtype float32 --kernels torch"
    assert main.run([*arguments, *words.split()], invocation) == 0
    assert main.run(arguments, invocation) == 0
    typed, without = (" ".join(engine_spec(config).command) for config in asked.configs)
    assert words in typed
    assert "--mode auto --dtype auto --kernels auto" in without


def test_threads_may_be_set_in_the_environment(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_THREADS", "5")
    main.run(["chat", "hi"], invocation)
    assert asked.configs[0].cpu_threads == 5


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_the_engine_process_is_told_how_much_memory_it_may_use(
    arguments: list[str], asked: Asked, invocation: Invocation
) -> None:
    assert main.run([*arguments, "--memory", "1.5GiB"], invocation) == 0
    assert main.run(arguments, invocation) == 0
    bounded, without = (engine_spec(config).command for config in asked.configs)
    assert bounded[-2:] == ("--memory-bytes", str(3 * 2**29))
    assert "--memory-bytes" not in without


def test_memory_may_be_set_in_the_environment(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_MEMORY", "8GiB")
    main.run(["chat", "hi"], invocation)
    assert asked.configs[0].memory_bytes == 8 * 2**30


def test_memory_that_was_typed_is_for_a_node_of_ones_own(
    asked: Asked, invocation: Invocation
) -> None:
    main.run(["chat", "hi", "--memory", "8GiB"], invocation)
    assert asked.typed_for_own_node == ["--memory"]


@pytest.mark.parametrize("command", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_a_models_folder_that_is_not_there_is_refused_by_name(
    command: list[str],
    asked: Asked,
    invocation: Invocation,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = str(tmp_path / "modles")
    assert main.run([*command, "--models", str(tmp_path), "--models", missing], invocation) == 2
    assert missing in capsys.readouterr().err
    assert not asked.configs


def test_a_peer_loads_one_model_at_the_start(asked: Asked, invocation: Invocation) -> None:
    main.run(["peer", "--gpu", "cpu", "--model", "cortex-nano"], invocation)
    assert asked.configs[0].preload == ("cortex-nano",)


@pytest.mark.parametrize("command", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_a_state_directory_that_was_named_holds_the_notes_of_running_peers_too(
    command: list[str], asked: Asked, invocation: Invocation, tmp_path: Path
) -> None:
    main.run([*command, "--state-dir", str(tmp_path / "state")], invocation)
    locations = asked.configs[0].locations
    assert (locations.state_dir, locations.announcements_dir) == (tmp_path / "state",) * 2


def test_the_notes_of_running_peers_lie_with_the_state_where_nothing_better_is_there() -> None:
    locations = find_locations({})
    assert locations.announcements_dir == locations.state_dir


def test_options_about_the_engine_count_where_they_are_typed(
    asked: Asked, invocation: Invocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The environment is the running peer's as well: it is no reason to pass that peer over.
    monkeypatch.setenv("CORTEX_THREADS", "2")
    main.run(["chat", "hi", "--seed", "1"], invocation)
    assert asked.typed_for_own_node == []
    main.run(["chat", "hi", "--models", str(tmp_path), "--engine", "torch"], invocation)
    assert asked.typed_for_own_node == ["--models", "--engine"]


def model(model_id: str, *capabilities: Capability) -> ModelInfo:
    return ModelInfo(model_id, Path(model_id), ("text", *capabilities), 4096, 0)


def test_a_picture_is_shown_to_the_first_model_that_sees() -> None:
    models = (model("reader"), model("seer", "vision"), model("other", "vision"))
    assert default_model(models, "here", has_pictures=True) == "seer"
    assert default_model(models, "here", has_pictures=False) == "reader"
    assert default_model(models[:1], "here", has_pictures=True) == "reader"


def test_a_backend_without_models_is_named() -> None:
    with pytest.raises(ModelNotFound, match="here has no models"):
        default_model((), "here", has_pictures=True)
