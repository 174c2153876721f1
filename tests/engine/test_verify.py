"""The golden files agree with the engine, and a changed number does not pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.errors import InvalidRequest
from cortex.engine.verify import verify_folder
from cortex.engine.weights import read_tensors

FOLDERS = {"qwen3_5": 17, "qwen3_5_text": 11, "units": 26, "preprocess": 19, "chat": 53}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_golden_case_passes(golden: Path, name: str) -> None:
    results = list(verify_folder(golden / name))

    assert [r for r in results if not r.passed] == []
    assert len(results) == FOLDERS[name]


@pytest.mark.parametrize(
    "tensor",
    ["logits", "image_embeds", "hidden.layer.3", "mixer.layer.4", "vision.block.1", "position_ids"],
)
def test_one_changed_number_fails_its_case(golden: Path, tmp_path: Path, tensor: str) -> None:
    folder = _copied_checkpoint(golden, tmp_path)
    file = folder / "expected" / "image_square.safetensors"
    tensors = read_tensors(file)
    tensors[tensor] = tensors[tensor].clone()
    tensors[tensor].view(-1)[-1] += 1
    save_file(tensors, file)

    results = {r.name: r for r in verify_folder(folder)}

    assert not results["image_square"].passed
    assert tensor in results["image_square"].detail
    assert results["text_short"].passed


def test_a_changed_state_fails_its_case(golden: Path, tmp_path: Path) -> None:
    folder = _copied_checkpoint(golden, tmp_path)
    file = folder / "expected" / "text_short.safetensors"
    tensors = read_tensors(file)
    tensors["state.layer.1.recurrent"] = tensors["state.layer.1.recurrent"] + 1e-3
    save_file(tensors, file)

    results = {r.name: r for r in verify_folder(folder)}

    assert not results["text_short"].passed


def test_a_changed_rendering_fails_its_case(golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    shutil.copytree(golden / "chat", folder)
    cases = json.loads((folder / "chat_cases.json").read_text())
    cases["cases"][0]["rendered"] += " "
    (folder / "chat_cases.json").write_text(json.dumps(cases))

    results = list(verify_folder(folder))

    assert [r.name for r in results if not r.passed] == ["chat one_user"]


def test_a_folder_without_cases_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=str(tmp_path)):
        list(verify_folder(tmp_path))


def _copied_checkpoint(golden: Path, tmp_path: Path) -> Path:
    shutil.copytree(golden / "images", tmp_path / "images")
    return Path(shutil.copytree(golden / "qwen3_5", tmp_path / "qwen3_5"))
