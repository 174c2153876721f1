"""How a folder says that its vectors are made, and what is not served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.pooling_files import NoPooling, read_pooling
from cortex.engine.types import Pooling

CONFIG: dict[str, Any] = {"hidden_size": 8}
LIBRARY = "sentence_transformers.models"


def folder_of(tmp_path: Path, *kinds: str, pooling_dir: str = "1_Pooling", **pooling: Any) -> Path:
    """A folder with these modules, the second one's config in its place."""
    paths = ["", pooling_dir, "2_Normalize", "3"]
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"{LIBRARY}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / pooling_dir).mkdir()
    (tmp_path / pooling_dir / "config.json").write_text(json.dumps(pooling))
    return tmp_path


def test_a_plain_language_model_gives_its_last_state_at_length_one(tmp_path: Path) -> None:
    assert read_pooling(tmp_path, CONFIG) == Pooling("last", True, 8)
    assert read_pooling(tmp_path, {"text_config": CONFIG}) == Pooling("last", True, 8)


@pytest.mark.parametrize("pooling", [{"pooling_mode_mean_tokens": True}, {"pooling_mode": "mean"}])
def test_the_folders_own_way_is_read_in_both_spellings(
    tmp_path: Path, pooling: dict[str, Any]
) -> None:
    flags = {"pooling_mode_cls_token": False, "pooling_mode_lasttoken": False}
    folder = folder_of(tmp_path, "Transformer", "Pooling", pooling_dir="odd", **flags, **pooling)

    assert read_pooling(folder, CONFIG) == Pooling("mean", False, 8)


@pytest.mark.parametrize("place", ["../other", "..", "/{}/other", "a/../../other", "other\0"])
def test_a_pooling_outside_of_the_folder_is_not_looked_at(tmp_path: Path, place: str) -> None:
    for folder in (tmp_path, tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text('{"pooling_mode": "mean"}')
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    kinds = {"Transformer": "", "Pooling": place.format(tmp_path)}
    listed = [{"type": f"{LIBRARY}.{kind}", "path": path} for kind, path in kinds.items()]
    (model_dir / "modules.json").write_text(json.dumps(listed))

    pooling = read_pooling(model_dir, CONFIG)

    assert isinstance(pooling, NoPooling)
    assert "not within" in pooling.reason


def test_a_normalisation_in_the_list_is_done(tmp_path: Path) -> None:
    kinds = ("Transformer", "Pooling", "Normalize")
    folder = folder_of(tmp_path, *kinds, pooling_mode_lasttoken=True, include_prompt=True)

    assert read_pooling(folder, CONFIG) == Pooling("last", True, 8)


@pytest.mark.parametrize(
    ("kinds", "pooling", "reason"),
    [
        (("Transformer", "Pooling"), {"pooling_mode_cls_token": True}, "'cls'"),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            "'max and mean'",
        ),
        (("Transformer", "Pooling"), {}, "its pooling is ''"),
        (("Transformer", "Pooling", "Dense"), {"pooling_mode": "mean"}, "Dense"),
        (("Transformer",), {}, "modules.json lists Transformer"),
    ],
)
def test_another_way_is_named_and_not_served(
    tmp_path: Path, kinds: tuple[str, ...], pooling: dict[str, Any], reason: str
) -> None:
    told = read_pooling(folder_of(tmp_path, *kinds, **pooling), CONFIG)

    assert isinstance(told, NoPooling) and reason in told.reason


@pytest.mark.parametrize("modules", ["no json", "{}x", "[1]", '[{"type": 1}]', "7"])
def test_a_broken_list_is_a_reason_too(tmp_path: Path, modules: str) -> None:
    (tmp_path / "modules.json").write_text(modules)

    told = read_pooling(tmp_path, CONFIG)

    assert isinstance(told, NoPooling) and "no list of modules" in told.reason


def test_a_missing_pooling_config_is_a_reason_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "Transformer", "Pooling")
    (folder / "1_Pooling" / "config.json").unlink()

    told = read_pooling(folder, CONFIG)

    assert isinstance(told, NoPooling) and "1_Pooling/config.json is missing" in told.reason


def test_a_config_without_a_size_is_a_reason_too(tmp_path: Path) -> None:
    assert isinstance(read_pooling(tmp_path, {"hidden_size": "8"}), NoPooling)
