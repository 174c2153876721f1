"""models.toml: what may be said of single models, and what holds where nothing is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from cortex.cli.config import with_fields
from cortex.cli.errors import ConfigProblem
from cortex.cli.settings.models_file import MODEL_SETTINGS
from cortex.cli.settings.reading import Settings, read_settings
from cortex.peer.config import (
    EvictionConfig,
    Locations,
    ModelConfig,
    PeerConfig,
    VisionConfig,
)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a cortex.toml, and say where it is."""

    def write_file(text: str) -> Path:
        path = tmp_path / "cortex.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def config_of(settings: Settings) -> PeerConfig:
    return with_fields(PeerConfig(Locations(Path("data"), Path("state"))), settings.fields())


def problem(path: Path) -> str:
    with pytest.raises(ConfigProblem) as caught:
        read_settings(path)
    return caught.value.message


def test_the_file_of_models_lies_beside(write: Write, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "models.toml").write_text("""
[[models]]
id = "m1"
source = "weights"
aliases = ["claude-m1", "gpt-4o"]
priority = 3
pinned = ["beast"]
home = true
devices = [0, 1]
dtype = "bfloat16"
context = 8192
slots = 4
idle_ttl = "never"
preload = true
min_pixels = 1024
max_pixels = 2048

[[models]]
id = "m2"
""")
    config = config_of(read_settings(write('[eviction]\nidle_ttl = "7m"\n')))
    assert config.names.aliases == {"claude-m1": "m1", "gpt-4o": "m1"}
    assert config.models == (
        ModelConfig(
            "m1",
            source=tmp_path / "weights",
            aliases=("claude-m1", "gpt-4o"),
            priority=3,
            pinned=("beast",),
            home=True,
            devices=(0, 1),
            dtype="bfloat16",
            context_tokens=8192,
            max_slots=4,
            idle_ttl_s=math.inf,
            is_preloaded=True,
            min_pixels=1024,
            max_pixels=2048,
        ),
        ModelConfig("m2"),
    )
    assert {setting.field for setting in MODEL_SETTINGS.values()} == {
        field.name for field in fields(ModelConfig)
    }


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('[[models]]\nid = "m1"\nalias = ["a"]', 3, "[[models]] has no setting 'alias' (= ['a'])"),
        ('[[models]]\naliases = ["a"]', 1, "a model needs an id"),
        ("[[models]]\nid = 3", 2, "[[models]] id takes a model's id, not 3"),
        ('[[models]]\nid = "m"\naliases = "a"', 3, "[[models]] aliases takes a list of names"),
        ('[[models]]\nid = "m"\naliases = ["a b"]', 3, "[[models]] aliases takes a list of names"),
        ('[[models]]\nid = "m"\nquant = "int4"', 3, "[[models]] quant takes no value yet: weights"),
        ('[[models]]\nid = "m"\ntp = 2', 3, "[[models]] tp takes no value yet: each model is on"),
        ('[[models]]\nid = "m"\nsource = "no"', 3, "[[models]] source takes a folder that exists"),
        ('[[models]]\nid = "m"\npinned = ["a b"]', 3, "[[models]] pinned takes true, false, or"),
        ('[[models]]\nid = "m"\ndevices = [-1]', 3, "[[models]] devices takes a list of numbers"),
        (
            '[[models]]\nid = "m"\ncontext = 5',
            3,
            "[[models]] context takes a whole number from 256",
        ),
        ('[[models]]\nid = "a"\n[[models]]\nid = "a"', 4, "'a' stands there twice"),
        (
            '[[models]]\nid = "m"\n[[models]]\nid = "n"\nmax_pixels = 1\nmin_pixels = 9',
            6,
            "min_pixels is over max_pixels (9 > 1)",
        ),
        (
            '[[models]]\nid = "a"\naliases = ["x"]\n[[models]]\nid = "b"\naliases = ["x"]',
            6,
            "the alias 'x' is one of 'a' and 'b'",
        ),
        ("[models]\nid = 3", 1, "'models' is a list of tables"),
        ("models = [3]", 1, "'models' is a list of tables"),
        ("[peer]\n", 1, "'peer' means nothing here"),
    ],
)
def test_a_bad_file_of_models_is_named(
    write: Write, tmp_path: Path, text: str, line: int, what: str
) -> None:
    (tmp_path / "models.toml").write_text(text)
    message = problem(write(""))
    assert message.startswith(f"{tmp_path / 'models.toml'} line {line}: {what}")


def test_what_is_said_of_all_models_holds_where_nothing_is_said_of_one() -> None:
    config = PeerConfig(
        Locations(Path("data"), Path("state")),
        models=(ModelConfig("own", idle_ttl_s=1, max_pixels=3),),
        eviction=EvictionConfig(idle_ttl_s=5),
        vision=VisionConfig(max_pixels=7),
    )
    own, other = config.model("own"), config.model("other")
    assert (own.idle_ttl_s, own.max_pixels) == (1, 3)
    assert (other.idle_ttl_s, other.max_pixels, other.id) == (5, 7, "other")


@pytest.mark.parametrize(
    ("where", "here", "there"),
    [(True, True, True), (False, False, False), (("beast",), True, False)],
)
def test_a_model_is_pinned_everywhere_or_on_the_peers_named(
    where: bool | tuple[str, ...], here: bool, there: bool
) -> None:
    model = ModelConfig("m", pinned=where, home=where)
    assert (model.is_pinned_on("beast"), model.is_pinned_on("borea")) == (here, there)
    assert (model.is_at_home_on("beast"), model.is_at_home_on("borea")) == (here, there)
