"""The options about peers and engines, as they reach whoever answers."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.cli import main
from cortex.cli.config import Invocation, find_locations
from cortex.cli.talker import cached_last, default_model
from cortex.engine.errors import ModelNotFound
from cortex.engine.types import Capability
from cortex.peer.children.commands import engine_spec
from cortex.peer.config import FleetConfig, PeerConfig
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
    monkeypatch.setattr("cortex.peer.serving.server.run_peer", asked.peer)
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
    with_threads, without = (engine_spec(config, "cpu").command for config in asked.configs)
    assert with_threads[-2:] == ("--threads", "3")
    assert "--threads" not in without


@pytest.mark.parametrize("arguments", [["chat", "hi"], ["peer", "--gpu", "cpu"]])
def test_the_engine_process_is_told_how_to_compute(
    arguments: list[str], asked: Asked, invocation: Invocation
) -> None:
    words = "--mode fast --dtype float32 --kernels torch --speculation off"
    assert main.run([*arguments, *words.split()], invocation) == 0
    assert main.run(arguments, invocation) == 0
    typed, without = (" ".join(engine_spec(config, "cpu").command) for config in asked.configs)
    assert words in typed
    assert "--mode auto --dtype auto --kernels auto --speculation auto" in without


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
    bounded, without = (engine_spec(config, "cpu").command for config in asked.configs)
    assert bounded[-2:] == ("--memory-bytes", str(3 * 2**29))
    assert "--memory-bytes" not in without


def test_an_engine_is_told_how_many_there_are(asked: Asked, invocation: Invocation) -> None:
    assert main.run(["peer", "--gpu", "cpu"], invocation) == 0
    config = replace(asked.configs[0], devices=("cuda:0", "cuda:1"))
    command = engine_spec(config, "cuda:1").command
    assert command[command.index("--engines") + 1] == "2"


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
    assert main.run([*command, "--models", str(tmp_path), "--models", missing], invocation) == 1
    assert missing in capsys.readouterr().err
    assert not asked.configs


def test_a_peer_loads_models_at_the_start(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    main.run(["peer", "--gpu", "cpu", "--model", "cortex-nano", "--model", "b"], invocation)
    assert asked.configs[-1].preload == ("cortex-nano", "b")
    monkeypatch.setenv("CORTEX_MODEL", "b c")
    main.run(["peer", "--gpu", "cpu"], invocation)
    assert asked.configs[-1].preload == ("b", "c")
    monkeypatch.delenv("CORTEX_MODEL")
    for text, models in (('"one-alone"', ("one-alone",)), ('["one", "two"]', ("one", "two"))):
        (tmp_path / "cortex.toml").write_text(f"[peer]\nmodel = {text}\n")
        main.run(["peer", "--gpu", "cpu", "--config", str(tmp_path / "cortex.toml")], invocation)
        assert asked.configs[-1].preload == models


def test_what_a_peer_is_told_goes_before_its_file(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "cortex.toml"
    file.write_text('[peer]\ndrain = "10s"\nlog_format = "json"\n[eviction]\nidle_ttl = "20m"\n')
    peer = ["peer", "--gpu", "cpu", "--config", str(file)]

    def told(*words: str) -> tuple[float, str, float | None]:
        assert main.run([*peer, *words], invocation) == 0
        config = asked.configs[-1]
        return config.drain_s, config.log_format, config.eviction.idle_ttl_s

    assert told() == (10.0, "json", 1200.0)
    assert told("--drain", "1m", "--log-format", "text") == (60.0, "text", 1200.0)
    assert told("--idle-ttl", "never") == (10.0, "json", None)
    monkeypatch.setenv("CORTEX_DRAIN", "90")
    monkeypatch.setenv("CORTEX_IDLE_TTL", "500ms")
    assert main.run(peer, invocation) == 2, "a second at least, as in the file"
    assert told("--idle-ttl", "2s") == (90.0, "json", 2.0)


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


def test_who_does_not_chat_is_passed_over_where_no_model_is_named() -> None:
    base = ModelInfo("base", None, ("completion",), 4096, 0)
    embedder = ModelInfo("embedder", None, ("embedding",), 4096, 0)
    assert default_model((base, embedder, model("m")), "here", has_pictures=False) == "m"
    with pytest.raises(ModelNotFound, match="here has no models that chat"):
        default_model((base, embedder), "here", has_pictures=False)


def test_what_other_programs_have_cached_answers_by_default_only_where_nothing_else_does(
    tmp_path: Path,
) -> None:
    far = ModelInfo("far", None, ("text",), 4096, 0)
    cached = ModelInfo("org/large", tmp_path / "hub" / "models--org--large", ("text",), 4096, 0)
    models = [cached, model("cortex-nano"), far]
    assert [one.id for one in cached_last(models, tmp_path / "hub")] == [
        "cortex-nano",
        "far",
        "org/large",
    ]
    assert cached_last(models, None) == models
    assert cached_last([cached], tmp_path / "hub") == [cached]


def test_a_backend_without_models_is_named() -> None:
    with pytest.raises(ModelNotFound, match="here has no models"):
        default_model((), "here", has_pictures=True)


MEMBERS = (["peer", "--gpu", "cpu"], ["gateway"], ["serve"])


def fleet_of(asked: Asked) -> FleetConfig:
    """That of the command which was run last."""
    fleet = asked.configs[-1].fleet
    assert fleet is not None
    return fleet


@pytest.mark.parametrize("command", MEMBERS)
def test_a_member_of_a_fleet_is_told_how_to_meet_others(
    command: list[str], asked: Asked, invocation: Invocation, tmp_path: Path
) -> None:
    words = "--name borea --join beast:1 --join http://10.0.0.7:13131/ --join beast"
    words += " --fleet-host 127.0.0.1 --fleet-port 7 --advertise 203.0.113.7:13132"
    words += " --mdns-interfaces eth0 --mdns-interfaces wlan0 --key-file"
    key_file = tmp_path / "elsewhere.key"
    assert main.run([*command, *words.split(), str(key_file)], invocation) == 0
    assert fleet_of(asked) == FleetConfig(
        name="borea",
        key_file=key_file,
        host="127.0.0.1",
        port=7,
        join=("beast:1", "http://10.0.0.7:13131", "beast:13132"),
        has_mdns=False,  # the tests' environment says so
        mdns_interfaces=("eth0", "wlan0"),
        advertise="203.0.113.7:13132",
    )


@pytest.mark.parametrize("command", MEMBERS)
def test_a_member_of_a_fleet_has_its_defaults(
    command: list[str], asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(f"CORTEX_FLEET_{name}")
    monkeypatch.delenv("CORTEX_NO_MDNS")
    monkeypatch.setattr("socket.gethostname", lambda: "atlas.example.com")
    assert main.run(command, invocation) == 0
    key_file = invocation.locations.state_dir / "fleet.key"
    assert fleet_of(asked) == FleetConfig(name="atlas", key_file=key_file)
    assert main.run([*command, "--no-mdns"], invocation) == 0
    assert not fleet_of(asked).has_mdns


def test_how_to_meet_others_may_be_set_in_the_environment(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NAME": "borea",
        "JOIN": "beast:1 atlas",
        "ADVERTISE": "a:2",
        "MDNS_INTERFACES": "eth0 lo",
        "FLEET_PORT": "9",
    }.items():
        monkeypatch.setenv(f"CORTEX_{name}", value)
    main.run(["gateway"], invocation)
    fleet = fleet_of(asked)
    assert (fleet.name, fleet.join) == ("borea", ("beast:1", "atlas:13132"))
    assert (fleet.advertise, fleet.mdns_interfaces) == ("a:2", ("eth0", "lo"))
    assert (fleet.host, fleet.port) == ("127.0.0.1", 9)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--name", "a b"), "is no name for a peer"),
        (("--join", "beast:0"), "is no address of a peer"),
        (("--join", f"cortex1-{'a' * 52}"), "cortex join KEY"),
        (("--join", "ftp://beast"), "is no address of a peer"),
        (("--join", "beast:99999"), "is no address of a peer"),
        (("--advertise", "beast"), "is no HOST:PORT"),
        (("--fleet-port", "70000"), "--fleet-port"),
    ],
)
def test_a_bad_option_about_the_fleet_is_one_error(
    option: tuple[str, str],
    words: str,
    asked: Asked,
    invocation: Invocation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["gateway", *option], invocation) == 2
    said = capsys.readouterr().err
    assert (words in said, said.count("error: "), asked.configs) == (True, 1, [])


def no_package(_: str) -> None:
    return None


def test_a_peer_that_computes_nothing_is_asked_for_neither_torch_nor_models(
    asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cortex.cli.devices.find_spec", no_package)
    assert main.run(["peer", "--gpu", "none"], invocation) == 0
    assert (asked.configs[0].engine, asked.configs[0].devices) == ("none", ())
    assert asked.configs[0].port is None
    assert asked.configs[0].default_port == 13131
    assert main.run(["peer", "--gpu", "cpu"], invocation) == 1


@pytest.mark.parametrize("command", ["gateway", "serve"])
def test_a_gateway_listens_on_ports_of_its_own(
    command: str, asked: Asked, invocation: Invocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main.run([command], invocation) == 0
    plain = asked.configs[0]
    assert (plain.engine, plain.host, plain.port, plain.default_port) == (
        *("none", "0.0.0.0"),
        *(None, 31313),
    )
    assert (plain.metrics_host, plain.metrics_port) == ("0.0.0.0", None)
    monkeypatch.setenv("CORTEX_METRICS_PORT", "4")
    words = "--host 127.0.0.1 --port 3 --metrics-host ::1"
    assert main.run([command, *words.split()], invocation) == 0
    typed = asked.configs[1]
    assert (typed.host, typed.port, typed.metrics_host, typed.metrics_port) == (
        *("127.0.0.1", 3),
        *("::1", 4),
    )
    assert main.run([command, "--metrics-port", "5"], invocation) == 0
    assert asked.configs[2].metrics_port == 5


def test_the_hugging_face_cache_is_found_where_no_shell_has_read_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_locations({"HF_HOME": "~/hf"}).hub_dir == tmp_path / "hf" / "hub"
    assert find_locations({"HF_HUB_CACHE": "$HOME/c"}).hub_dir == tmp_path / "c"
