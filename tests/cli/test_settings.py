"""cortex.toml: what it may say, how it is told that it may not, and who goes before it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

import pytest
import typer

from cortex.cli.config import Invocation, find_locations, peer_config, with_fields
from cortex.cli.engine_options import EngineWishes
from cortex.cli.errors import ConfigProblem
from cortex.cli.fleet_options import FleetWishes, fleet_config
from cortex.cli.main import app
from cortex.cli.settings.reading import Settings, examine, find_file, read_settings
from cortex.cli.settings.sections import SECTIONS, OfConfig, OfOptions
from cortex.peer.config import (
    EvictionConfig,
    Locations,
    PeerConfig,
    VisionConfig,
)
from cortex.peer.keys.access import digest_of, spell_hash

HASH = spell_hash(digest_of("a key"))
OTHER_HASH = spell_hash(digest_of("another key"))

Write = Callable[[str], Path]


class Done(Protocol):
    code: int
    stdout: str
    stderr: str


Cortex = Callable[..., Done]


def config_of(settings: Settings) -> PeerConfig:
    return with_fields(PeerConfig(Locations(Path("data"), Path("state"))), settings.fields())


def problem(path: Path) -> tuple[str, str]:
    with pytest.raises(ConfigProblem) as caught:
        read_settings(path)
    return caught.value.message, caught.value.hint


def test_no_file_says_nothing() -> None:
    assert read_settings(None) == Settings()
    assert config_of(Settings()) == PeerConfig(Locations(Path("data"), Path("state")))


def test_a_file_with_every_setting_is_taken(write: Write, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    settings = read_settings(
        write(f"""
tui = {{ theme = "ansi-dark", refresh = "2s", ascii = true, no_mouse = true, read_only = true }}
[peer]
name = "borea"
listen = "127.0.0.1:13999"
fleet_listen = "127.0.0.2:13998"
advertise = "203.0.113.7:13132"
gpus = "cpu"
models = ["models"]
model = "m1"
drain = "10s"
log_level = "debug"
log_format = "json"

[gateway]
listen = "127.0.0.3:13997"
metrics_listen = "127.0.0.4:13996"

[fleet]
mdns = false
mdns_interfaces = ["eth0"]
join = ["beast.internal", "http://atlas:13131"]
key_file = "keys/fleet.key"

[engine]
python = "python3"
threads = 3
memory = "2GiB"
mode = "exact"
dtype = "float32"
kernels = "torch"
speculation = "off"
context = 4096
max_requests = 7

[eviction]
strategy = "priority"
idle_ttl = "never"
min_residency = "1m"
defrag_after_cycles = 5

[vision]
min_pixels = 4096
max_pixels = 65536
max_image_pixels = 1000000

[api]
anonymous = true
requests_per_minute = 20
keys = ["{HASH}"]
admin_keys = [{{ name = "ops", hash = "{OTHER_HASH}" }}]
max_concurrent = 3
tokens_per_minute = 1000
default_model = "m1"
cors_origins = ["https://chat.example.com"]
cold_wait = "3m"
max_body = "2MiB"
max_messages = 9
max_images = 8
max_image = "1MiB"
max_parts = 12
max_choices = 13
max_tools = 7
max_stops = 6
max_stop_length = 5
header_timeout = "4s"
body_timeout = "3s"
write_timeout = 2
idle_timeout = "1m"
max_connections = 11
""")
    )
    assert {(s, k) for s, keys in SECTIONS.items() for k in keys} == set(settings.values)
    of_members = {
        "name": "borea",
        "fleet_host": "127.0.0.2",
        "fleet_port": 13998,
        "advertise": "203.0.113.7:13132",
        "no_mdns": True,
        "mdns_interfaces": ["eth0"],
        "join": ["beast.internal:13132", "http://atlas:13131"],
        "key_file": str(tmp_path / "keys" / "fleet.key"),
    }
    of_gateways = {
        "host": "127.0.0.3",
        "port": 13997,
        "metrics_host": "127.0.0.4",
        "metrics_port": 13996,
    }
    for command in ("gateway", "serve"):
        options = settings.options_of(command)
        assert {name: options[name] for name in of_members | of_gateways} == (
            of_members | of_gateways
        )
    assert settings.options_of("peer") == of_members | {
        "host": "127.0.0.1",
        "port": 13999,
        "gpu": "cpu",
        "models": [str(tmp_path / "models")],
        "model": ["m1"],
        "python": "python3",
        "threads": 3,
        "memory": 2 * 1024**3,
        "mode": "exact",
        "dtype": "float32",
        "kernels": "torch",
        "speculation": "off",
    }
    config = config_of(settings)
    assert config.drain_s == 10
    assert (config.context_limit_tokens, config.max_live_requests) == (4096, 7)
    assert [key.name for key in (*config.keys, *config.admin_keys)] == ["key-1", "ops"]
    assert [key.is_admin for key in (*config.keys, *config.admin_keys)] == [False, True]
    assert (config.max_concurrent, config.tokens_per_minute) == (3, 1000)
    assert (config.requests_per_minute, config.lets_anonymous_in) == (20, True)
    assert config.eviction == EvictionConfig("priority", None, 60, 5)
    assert config.vision == VisionConfig(4096, 65536, 1_000_000)
    assert (config.log_level, config.log_format) == ("debug", "json")
    assert config.names.default == "m1"
    assert config.cors_origins == ("https://chat.example.com",)
    assert config.cold_wait_s == 180
    assert config.max_body_bytes == 2 * 1024**2
    assert config.limits.max_messages == 9
    assert config.limits.max_images == 8
    assert config.limits.max_image_bytes == 1024**2
    assert config.limits.max_tools == 7
    assert (config.limits.max_parts, config.limits.max_choices) == (12, 13)
    assert (config.limits.max_stops, config.limits.max_stop_chars) == (6, 5)
    assert (config.body_stall_s, config.connections.write_s) == (3, 2)
    assert config.connections.header_s == 4
    assert config.connections.idle_s == 60
    assert config.connections.max_connections == 11


def test_every_setting_leads_somewhere() -> None:
    """A field that is misspelt in the table would fail only where somebody sets it."""
    config = PeerConfig(Locations(Path("data"), Path("state")))
    commands: Any = typer.main.get_command(app)
    for section, settings in SECTIONS.items():
        for key, setting in settings.items():
            if isinstance(setting, OfConfig):
                group, _, name = setting.field.rpartition(".")
                holder = getattr(config, group) if group else config
                assert name in {one.name for one in fields(holder)}, (section, key)
                options = {option.name for option in commands.commands["peer"].params}
                assert not setting.option or setting.option in options, (section, key)
            else:
                for command in setting.commands or ("peer",):
                    options = {option.name for option in commands.commands[command].params}
                    assert set(setting.options) <= options, (section, key, command)


def test_an_unknown_key_is_named_with_its_line_and_the_nearest(write: Write) -> None:
    path = write('[peer]\nlisten = "127.0.0.1"\n\n[api]\n# a comment\nmax_boddy = "1MiB"\n')
    message, hint = problem(path)
    assert message == f"{path} line 6: [api] has no setting 'max_boddy' (= '1MiB')"
    assert hint == "did you mean max_body?"


def test_a_key_of_another_section_is_sent_there(write: Write) -> None:
    assert problem(write("[api]\nthreads = 2\n"))[1] == "did you mean [engine] threads?"


def test_an_unknown_section_is_named_with_the_nearest(write: Write) -> None:
    path = write("[peer]\n\n[enginee]\nthreads = 2\n")
    assert problem(path) == (
        f"{path} line 3: there is no section [enginee]",
        "did you mean [engine]?",
    )


def test_a_key_outside_of_sections_is_refused(write: Write) -> None:
    path = write("listen = 1\n")
    assert problem(path)[0] == f"{path} line 1: there is no section [listen]"
    assert problem(write("peer = 3\n"))[0] == f"{path} line 1: 'peer' is a section"


@pytest.mark.parametrize(
    "origin",
    [
        "http://[::1]:8080",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnop",
        "moz-extension://0b2c1d3e-aaaa-bbbb-cccc-0123456789ab",
        "vscode-webview://1f00dq",
        "tauri://localhost",
        "file://",
    ],
)
def test_origins_of_pages_programs_and_extensions_are_taken(write: Write, origin: str) -> None:
    path = write(f'[api]\ncors_origins = ["{origin}"]\n')
    assert config_of(read_settings(path)).cors_origins == (origin,)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("peer", 'listen = "127.0.0.1:99999"'),
        ("peer", "listen = 13131"),
        ("peer", 'listen = ""'),
        ("peer", 'gpus = "some"'),
        ("peer", 'name = "a b"'),
        ("peer", 'advertise = "beast"'),
        ("peer", "fleet_listen = 13132"),
        ("gateway", 'metrics_listen = "0.0.0.0:x"'),
        ("fleet", 'mdns = "yes"'),
        ("fleet", 'join = "beast"'),
        ("fleet", 'join = ["beast:99999"]'),
        ("fleet", "key_file = 3"),
        ("fleet", "mdns_interfaces = [3]"),
        ("api", 'cold_wait = "-1s"'),
        ("peer", "gpus = true"),
        ("peer", 'models = "/tmp"'),
        ("peer", 'models = ["no/such/folder"]'),
        ("peer", f'models = ["{"x" * 300}"]'),
        ("peer", 'models = ["~nobody-of-that-name/models"]'),
        ("peer", 'drain = "soon"'),
        ("peer", "drain = true"),
        ("engine", "threads = 0"),
        ("engine", 'threads = "2"'),
        ("engine", "threads = true"),
        ("engine", 'memory = "2 potatoes"'),
        ("engine", "memory = 2.5"),
        ("engine", 'mode = "slow"'),
        ("engine", "context = 1"),
        ("api", "max_body = 1"),
        ("api", "max_images = -1"),
        ("api", 'header_timeout = "0s"'),
        ("api", "anonymous = 1"),
        ("api", "requests_per_minute = 0"),
        ("eviction", 'strategy = "mru"'),
        ("eviction", 'idle_ttl = "sometimes"'),
        ("eviction", "defrag_after_cycles = 0"),
        ("vision", "max_pixels = 0"),
        ("peer", 'log_level = "loud"'),
        ("api", 'cors_origins = ["example.com"]'),
        ("api", 'cors_origins = ["https://example.com/page"]'),
        ("api", 'cors_origins = ["app://"]'),
        ("api", 'cors_origins = ["null"]'),
        ("api", 'cors_origins = "*"'),
        ("api", 'keys = "sha256:abc"'),
        ("api", f'keys = [{{ hash = "{HASH}", name = "a b" }}]'),
        ("api", f'keys = [{{ hash = "{HASH}", colour = "red" }}]'),
        ("api", f'keys = [{{ hash = "{HASH}", max_concurrent = 0 }}]'),
        ("api", f'keys = ["{HASH}", "{HASH}"]'),
        ("api", "keys = [3]"),
    ],
)
def test_a_bad_value_is_named_with_its_line_and_what_is_taken(
    write: Write, section: str, line: str
) -> None:
    path = write(f"[{section}]\n{line}\n")
    key = line.partition(" ")[0]
    assert problem(path)[0].startswith(f"{path} line 2: [{section}] {key} takes ")


def test_a_bad_value_is_shown(write: Write) -> None:
    assert problem(write('[engine]\nmode = "slow"\n'))[0].endswith(
        """mode takes "auto" or "exact" or "fast", not 'slow'"""
    )


def test_a_key_in_plain_text_is_refused_and_not_repeated(write: Write) -> None:
    secret = "sk-cortex-this-is-a-secret"
    for text in (f'["{secret}"]', f'[{{ name = "ci", hash = "{secret}" }}]', f'"{secret}"'):
        message, hint = problem(write(f"[api]\nkeys = {text}\n"))
        assert secret not in message + hint
    message, hint = problem(write(f'[api]\nkeys = ["{secret}"]\n'))
    assert "in plain text is not taken" in message
    assert "cortex config new-key" in hint


def test_a_misspelt_setting_does_not_show_a_secret(write: Write) -> None:
    message, hint = problem(write('[api]\napi_key = "hunter2"\n'))
    assert "hunter2" not in message + hint


def test_what_is_no_toml_is_said_with_its_line(write: Write, tmp_path: Path) -> None:
    path = write("[peer\nlisten")
    assert problem(path)[0].startswith(f"{path} is not TOML: ")
    assert "line 1" in problem(path)[0]
    path.write_bytes(b"\xff\xfe")
    assert problem(path)[0] == f"{path} is not UTF-8"
    assert problem(tmp_path / "none.toml")[0].startswith(f"cannot read {tmp_path / 'none.toml'}: ")


def test_the_named_file_goes_first_and_then_the_folders_in_their_order(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    (there / "cortex.toml").touch()
    assert find_file(None, [here, there]) == there / "cortex.toml"
    (here / "cortex.toml").touch()
    assert find_file(None, [here, there]) == here / "cortex.toml"
    assert find_file(Path("named"), [here, there]) == Path("named")
    assert find_file(None, [tmp_path]) is None


def test_a_folder_that_cannot_be_looked_into_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").touch()
    unreadable = tmp_path / ("x" * 300)  # refused to root as well, unlike one that is closed
    assert find_file(None, [unreadable, tmp_path]) == tmp_path / "cortex.toml"


def test_one_problem_hides_no_other(write: Write, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[[models]]\nid = "m"\ncontext = 1\nslots = 0\n')
    path = write("""
[peer]
listen = 3
gpus = "cpu"
colour = "red"

[vision]
min_pixels = 9
max_pixels = 8

[[neurons]]
name = "borea"
""")
    settings, problems = examine(path)
    found = [str(one.message).split(": ")[0].rpartition(" line ")[2] for one in problems]
    assert found == ["3", "5", "8", "11", "3", "4"]
    assert settings.values["peer", "gpus"] == "cpu"
    assert settings.places["peer", "gpus"] == f"{path} line 4"


def test_a_fleet_key_at_a_wrong_place_is_not_repeated(write: Write) -> None:
    for text in (
        '[fleet]\njoin = ["cortex1-secret"]',
        '[peer]\nname = "cortex1-secret "',
        '[[neurons]]\nendpoint = "cortex1-secret"',
    ):
        message, hint = problem(write(text))
        assert "secret" not in message + hint


def test_a_setting_holds_for_the_commands_that_have_its_option(write: Write) -> None:
    settings = read_settings(write('[peer]\nmodel = "m1"\n[engine]\nthreads = 2\n'))
    assert settings.options_of("peer") == {"model": ["m1"], "threads": 2}
    assert settings.options_of("chat") == {"threads": 2}


def test_the_settings_of_the_file_are_in_the_config(write: Write, tmp_path: Path) -> None:
    invocation = Invocation(find_locations({}), can_redraw=False)
    invocation.read_settings(write("[engine]\ncontext = 512\n"))
    assert peer_config(invocation, EngineWishes()).context_limit_tokens == 512


def test_static_members_are_peers_to_try(write: Write) -> None:
    path = write("""
[fleet]
join = ["beast:1"]

[[neurons]]
name = "borea"
endpoint = "http://192.168.1.21:13131/"

[[neurons]]
endpoint = "beast:1"

[[neurons]]
endpoint = "[fe80::1]"
""")
    neurons = read_settings(path).neurons
    assert [(neuron.name, neuron.endpoint) for neuron in neurons] == [
        ("borea", "http://192.168.1.21:13131"),
        ("beast:1", "beast:1"),
        ("[fe80::1]:13132", "[fe80::1]:13132"),
    ]
    invocation = Invocation(find_locations({}), can_redraw=False)
    invocation.read_settings(path)
    wishes = FleetWishes(join=["beast:1"])
    assert fleet_config(invocation, wishes).join == (
        "beast:1",
        "http://192.168.1.21:13131",
        "[fe80::1]:13132",
    )


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[[neurons]]\nname = 'a'", 1, "a neuron needs an endpoint"),
        ("[[neurons]]\nendpoint = 'a b'", 2, "[[neurons]] endpoint takes an address such as"),
        ("[[neurons]]\nendpoint = 'a'\nname = 3", 3, "[[neurons]] name takes a text, not 3"),
        ("[[neurons]]\nendpont = 'a'", 2, "[[neurons]] has no setting 'endpont'"),
        ("[neurons]\nendpoint = 'a'", 1, "'neurons' is a list of tables"),
        ("neurons = ['a']", 1, "'neurons' is a list of tables"),
        ("[[neuron]]\nendpoint = 'a'", 1, "there is no section [neuron]"),
    ],
)
def test_a_bad_static_member_is_named(write: Write, text: str, line: int, what: str) -> None:
    path = write(text + "\n")
    assert problem(path)[0].startswith(f"{path} line {line}: {what}")


def listed(done: Done) -> list[str]:
    assert done.code == 0, done.stderr
    return [model["id"] for model in json.loads(done.stdout)["models"]]


def test_an_option_goes_before_the_environment_before_the_file(
    cortex_here: Cortex,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_model: Callable[[Path, str], None],
) -> None:
    for place in ("file", "environment", "option"):
        make_model(tmp_path / place, f"from-{place}")
    (tmp_path / "cortex.toml").write_text('[peer]\nmodels = ["file"]\n')
    command = ("models", "--engine", "fake", "--json")
    assert listed(cortex_here(*command))[0] == "from-file"
    monkeypatch.setenv("CORTEX_MODELS", str(tmp_path / "environment"))
    assert listed(cortex_here(*command))[0] == "from-environment"
    chosen = cortex_here(*command, "--models", str(tmp_path / "option"))
    assert listed(chosen)[0] == "from-option"


def test_a_file_can_be_named_and_a_bad_one_ends_the_command(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "elsewhere.toml"
    path.write_text("[peer]\nlisen = 3\n")
    named = cortex_here("models", "--engine", "fake", "--config", str(path))
    monkeypatch.setenv("CORTEX_CONFIG", str(path))
    in_environment = cortex_here("peer", "--engine", "fake")
    assert named.code == in_environment.code == 2
    expected = (
        f"error: {path} line 2: [peer] has no setting 'lisen' (= 3).\nhint: did you mean listen?\n"
    )
    assert named.stderr == in_environment.stderr == expected


def test_a_file_lies_here_or_with_the_users_configuration(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users" / "cortex").mkdir(parents=True)
    (tmp_path / "users" / "cortex" / "cortex.toml").write_text("[users]\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "users"))
    command = ("models", "--engine", "fake")
    assert "there is no section [users]" in cortex_here(*command).stderr
    (tmp_path / "cortex.toml").write_text("[here]\n")
    assert "there is no section [here]" in cortex_here(*command).stderr


def test_help_is_given_beside_a_bad_file(cortex_here: Cortex, tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").write_text("[nonsense]\n")
    assert cortex_here("peer", "--help").code == 0


@pytest.fixture
def make_model() -> Callable[[Path, str], None]:
    """Put a fake model below a folder."""
    import shutil

    from cortex.peer.models.catalogue import embedded_dir

    def make(folder: Path, name: str) -> None:
        config = PeerConfig(Locations(Path("data"), Path("state")), engine="fake")
        shutil.copytree(embedded_dir(config), folder / name)

    return make


def test_options_that_settings_stand_for_are_only_named_once() -> None:
    targets = [
        (name, command)
        for settings in SECTIONS.values()
        for setting in settings.values()
        for name, command in (
            itertools.product(setting.options, setting.commands or ("",))
            if isinstance(setting, OfOptions)
            else ((setting.field, ""),)
        )
    ]
    assert len(targets) == len(set(targets))
