"""What the engine says of a folder without weights, asked in a process of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cortex.engine.errors import EngineFailed
from cortex.peer.config import PeerConfig
from cortex.peer.models.catalogue import embedded_dir
from cortex.peer.models.folder import Unserved
from cortex.peer.pulling import reading
from cortex.peer.pulling.reading import why_unreadable

MakeConfig = Callable[..., PeerConfig]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model for the engine itself, before its weights have come."""
    golden = Path(__file__).parents[2] / "golden" / "qwen3"
    ignored = shutil.ignore_patterns("*.safetensors", "expected")
    return shutil.copytree(golden, tmp_path / ".pulling-org--name", ignore=ignored)


@pytest.fixture
def fake_folder(make_config: MakeConfig, tmp_path: Path) -> Path:
    return shutil.copytree(embedded_dir(make_config()), tmp_path / ".pulling-org--fake")


async def test_the_engine_refuses_a_field_that_it_does_not_know_before_the_weights_come(
    make_config: MakeConfig, folder: Path
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "layer_scales": [1, 2]}))
    assert await why_unreadable(make_config(engine="torch"), folder) == Unserved(
        "config.json: layer_scales = [1, 2] is not something this engine can serve.",
        "cortex serves a model exactly or not at all;"
        " take the field out of config.json if you know that it changes nothing.",
    )


async def test_a_folder_without_a_chat_template_passes_and_one_with_another_is_refused_unnamed(
    make_config: MakeConfig, fake_folder: Path
) -> None:
    path = fake_folder / "chat_template.jinja"
    path.unlink()
    assert await why_unreadable(make_config(), fake_folder) is None
    path.write_text("{% if %}")
    unserved = await why_unreadable(make_config(), fake_folder)
    assert unserved is not None
    assert unserved.reason.startswith("chat_template.jinja: not a chat template: ")


async def test_a_folder_over_which_the_engine_breaks_down_is_refused_and_told(
    make_config: MakeConfig, fake_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (fake_folder / "chat_template.jinja").unlink()
    path = fake_folder / "tokenizer_config.json"
    path.write_text(json.dumps({"chat_template": [1]}))
    unserved = await why_unreadable(make_config(), fake_folder)
    assert unserved is not None
    assert unserved.reason == "it cannot be read (AttributeError)"
    assert "cannot be read (AttributeError)" in caplog.text


@pytest.fixture
def run_instead(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], PeerConfig]:
    """A peer whose checks are this shell script."""
    monkeypatch.setattr(reading, "_LONGEST_S", 1.0)

    def configured(script: str) -> PeerConfig:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        return replace(make_config(), python=str(program))

    return configured


@pytest.mark.parametrize(
    ("script", "reason"), [("exit 3", "exit_code=3"), ("echo Segmentation", "not checked")]
)
async def test_a_check_that_comes_to_nothing_is_told_and_stands_in_nobodys_way(
    run_instead: Callable[[str], PeerConfig],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    script: str,
    reason: str,
) -> None:
    assert await why_unreadable(run_instead(script), tmp_path) is None
    assert reason in caplog.text


@pytest.mark.parametrize(
    ("script", "reason"), [("exec sleep 1000", "took over 1 s"), ("kill -9 $$", "signal 9")]
)
async def test_a_check_that_is_held_up_or_killed_ends_the_pull_and_says_nothing_of_the_model(
    run_instead: Callable[[str], PeerConfig], tmp_path: Path, script: str, reason: str
) -> None:
    with pytest.raises(EngineFailed, match=reason) as failed:
        await why_unreadable(run_instead(script), tmp_path)
    assert "kept" in failed.value.hint
