"""`cortex config show`, `path` and `validate`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from cortex.cli.config import read_environment
from cortex.cli.settings.sections import SECTIONS
from cortex.peer.keys.access import digest_of, spell_hash


class Done(Protocol):
    code: int
    stdout: str
    stderr: str


Cortex = Callable[..., Done]


def shown(done: Done) -> dict[tuple[str, str], tuple[Any, str]]:
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    return {(o["section"], o["key"]): (o["value"], o["origin"]) for o in told["settings"]}


def test_every_value_is_shown_with_where_it_came_from(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cortex.toml").write_text(
        '[peer]\nlisten = "127.0.0.1:13999"\n[fleet]\nmdns = false\n'
        '[eviction]\nidle_ttl = "never"\n[[neurons]]\nname = "borea"\nendpoint = "b:1"\n'
    )
    (tmp_path / "models.toml").write_text('[[models]]\nid = "m"\npriority = 3\n')
    monkeypatch.setenv("CORTEX_THREADS", "3")
    monkeypatch.delenv("CORTEX_NO_MDNS", raising=False)
    found = shown(cortex_here("config", "show", "--json", "--memory", "2GiB"))
    assert {(s, key) for s, keys in SECTIONS.items() for key in keys} <= found.keys()
    assert found["peer", "listen"] == ("127.0.0.1:13999", "cortex.toml line 2")
    assert found["fleet", "mdns"] == (False, "cortex.toml line 4")
    assert found["eviction", "idle_ttl"] == ("never", "cortex.toml line 6")
    assert found["engine", "threads"] == (3, "$CORTEX_THREADS")
    assert found["engine", "memory"] == ("2048MiB", "--memory")
    assert found["eviction", "strategy"] == ("lru", "default")
    assert found["api", "tokens_per_minute"] == (None, "default")
    assert found["neurons.borea", "endpoint"] == ("b:1", "cortex.toml line 9")
    assert found["models.m", "priority"] == (3, "models.toml line 3")


def test_an_option_goes_before_the_file_and_is_named(cortex_here: Cortex, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text('[gateway]\nlisten = "127.0.0.1:1"\n')
    words = ("config", "show", "--json", "--config", str(path))
    assert shown(cortex_here(*words))["gateway", "listen"] == ("127.0.0.1:1", f"{path} line 2")
    peer = shown(cortex_here(*words, "--idle-ttl", "2m", "--model", "a", "--model", "b"))
    assert peer["eviction", "idle_ttl"] == ("120s", "--idle-ttl")
    assert peer["peer", "model"] == (["a", "b"], "--model")
    assert peer["peer", "drain"] == ("30s", "default")
    typed = shown(cortex_here(*words, "--gateway", "--port", "7"))
    assert typed["gateway", "listen"] == ("127.0.0.1:7", f"{path} line 2, --port")


def test_the_table_for_people_has_the_same(cortex_here: Cortex, tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").write_text("[engine]\nthreads = 2\n")
    done = cortex_here("config", "show")
    assert [line.split() for line in done.stdout.splitlines() if "threads" in line] == [
        ["[engine]", "threads", "2", "cortex.toml", "line", "2"]
    ]


def test_keys_are_shown_by_their_names_alone(cortex_here: Cortex, tmp_path: Path) -> None:
    hashed = spell_hash(digest_of("k"))
    line = f'keys = [{{ name = "ci", hash = "{hashed}" }}]\n'
    (tmp_path / "cortex.toml").write_text(f"[api]\n{line}")
    done = cortex_here("config", "show", "--json")
    assert hashed not in done.stdout
    assert shown(done)["api", "keys"][0] == ["ci"]


def test_options_that_there_are_not_are_refused(cortex_here: Cortex) -> None:
    done = cortex_here("config", "show", "--prt", "3")
    assert done.code == 2
    assert "No such option: --prt" in done.stderr


def test_the_files_that_are_read_are_named(cortex_here: Cortex, tmp_path: Path) -> None:
    nothing = json.loads(cortex_here("config", "path", "--json").stdout)
    assert (nothing["read"], nothing["models"]) == (None, None)
    places = read_environment(os.environ).locations
    folders = {"state": places.state_dir, "data": places.data_dir, "cache": places.compiled_dir}
    assert {name: Path(nothing[name]) for name in folders} == folders
    shown = [f"{name:<5} {folder}" for name, folder in folders.items()]
    assert cortex_here("config", "path").stdout.splitlines()[-3:] == shown
    assert nothing["looked_for"][0] == "cortex.toml"
    assert nothing["looked_for"][-1] == "/etc/cortex/cortex.toml"
    for name in ("cortex.toml", "models.toml"):
        (tmp_path / name).touch()
    found = json.loads(cortex_here("config", "path", "--json").stdout)
    assert (found["read"], found["models"]) == ("cortex.toml", "models.toml")
    assert cortex_here("config", "path").stdout.splitlines()[0] == "read  cortex.toml"


def test_the_state_directory_that_is_shown_is_the_one_that_was_named(
    cortex_here: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORTEX_STATE_DIR", str(tmp_path / "named"))
    assert f"state {tmp_path}/named\n" in cortex_here("config", "path").stdout
    typed = cortex_here("config", "path", "--json", "--state-dir", "typed").stdout
    assert json.loads(typed)["state"] == "typed"


def test_all_that_is_wrong_is_said_at_once(cortex_here: Cortex, tmp_path: Path) -> None:
    path, models = tmp_path / "broken.toml", tmp_path / "models.toml"
    path.write_text('[peer]\nlisen = 3\n[engine]\nthreads = "two"\n')
    models.write_text('[[models]]\nid = "m"\nquant = "int4"\n')
    done = cortex_here("config", "validate", str(path))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: {path} line 2: [peer] has no setting 'lisen' (= 3).",
        "hint: did you mean listen?",
        f"error: {path} line 4: [engine] threads takes a whole number from 1 to 1024, not 'two'.",
        f"error: {models} line 3: [[models]] quant takes no value yet: weights are served as they"
        " are stored, not 'int4'.",
        "hint: take the line out",
    ]
    told = json.loads(cortex_here("config", "validate", "--json", str(path)).stdout)
    assert [problem["hint"] for problem in told["problems"]] == [
        "did you mean listen?",
        "",
        "take the line out",
    ]
    alone = cortex_here("config", "validate", str(models))
    assert alone.code == 2
    assert "quant takes no value yet" in alone.stderr


def test_a_good_file_and_none_are_well(cortex_here: Cortex, tmp_path: Path) -> None:
    assert cortex_here("config", "validate").stdout == "no file of settings is found\n"
    (tmp_path / "cortex.toml").write_text("[peer]\n")
    assert cortex_here("config", "validate").stdout == "nothing is wrong with cortex.toml\n"


def test_a_file_that_is_not_there_is_said(cortex_here: Cortex, tmp_path: Path) -> None:
    done = cortex_here("config", "validate", str(tmp_path / "none.toml"))
    assert done.code == 2
    assert "cannot read" in done.stderr
