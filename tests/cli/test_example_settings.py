"""The examples of settings that people begin with are taken as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from cortex.cli.config import with_fields
from cortex.cli.settings.reading import Settings, read_settings
from cortex.peer.config import EvictionConfig, Locations, PeerConfig
from cortex.peer.keys.access import digest_of, spell_hash

HASH = spell_hash(digest_of("a key"))
OTHER_HASH = spell_hash(digest_of("another key"))

Write = Callable[[str], Path]


def config_of(settings: Settings) -> PeerConfig:
    return with_fields(PeerConfig(Locations(Path("data"), Path("state"))), settings.fields())


def test_the_example_of_the_design_is_taken_as_it_stands(write: Write, tmp_path: Path) -> None:
    (tmp_path / "DIR").mkdir()
    (tmp_path / "models.toml").write_text("""
[[models]]
id = "qwen3.6-27b"
source = "DIR"
aliases = ["gpt-4o"]
priority = 10
pinned = ["beast"]
home = true
devices = [0]
dtype = "bfloat16"
context = 32768
idle_ttl = "30m"
preload = true
""")
    settings = read_settings(
        write(f"""
[peer]
name = "beast"
listen = "127.0.0.1:13131"
fleet_listen = "0.0.0.0:13132"
gpus = "all"
models = ["DIR"]
advertise = "beast.internal:13132"

[gateway]
listen = "0.0.0.0:31313"
metrics_listen = "0.0.0.0:31314"

[fleet]
mdns = true
join = ["beast.internal:13132"]
key_file = "fleet.key"

[eviction]
strategy = "lru"
defrag_after_cycles = 50
idle_ttl = "10m"
min_residency = "30s"

[engine]
python = "python3"
mode = "exact"
threads = 4

[vision]
min_pixels = 65536
max_pixels = 1048576
max_image_pixels = 40000000

[api]
keys = ["{HASH}"]
admin_keys = ["{OTHER_HASH}"]
max_body = "64MiB"
cold_wait = "120s"
requests_per_minute = 60
tokens_per_minute = 100000

[[neurons]]
name = "atlas"
endpoint = "http://atlas:13131"
""")
    )
    assert settings.options_of("serve")["port"] == 31313
    assert settings.options_of("peer")["no_mdns"] is False
    assert config_of(settings).eviction == EvictionConfig()
    assert config_of(settings).model("qwen3.6-27b").is_pinned_on("beast")


def test_the_example_of_the_documentation_is_taken(write: Write) -> None:
    page = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
    [example, *_] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert config_of(read_settings(write(example))).max_concurrent == 8
