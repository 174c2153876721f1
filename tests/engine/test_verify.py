"""The golden files agree with the engine, and a changed number does not pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from cortex.engine.errors import EngineFailed, InvalidRequest
from cortex.engine.verification.checkpoint import CheckpointCases
from cortex.engine.verify import verify_folder
from cortex.engine.weights import read_tensors

FOLDERS = {
    "qwen3_5": 17, "qwen3_5_text": 11, "qwen3": 11, "qwen2": 3, "llama": 3,
    "units": 26, "preprocess": 19, "chat": 53,
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_every_golden_case_passes(golden: Path, name: str) -> None:
    results = list(verify_folder(golden / name))

    assert [r for r in results if not r.passed] == []
    assert len(results) == FOLDERS[name]


@pytest.mark.parametrize(
    ("name", "case"),
    [("qwen3_5", "image_square"), ("qwen3_5", "text_short"), ("qwen3", "text_short")],
)
def test_any_changed_number_fails_its_case(
    golden: Path, tmp_path: Path, name: str, case: str
) -> None:
    """Every tensor of the file, its first and its last number."""
    folder = _one_case(golden, tmp_path, name, case)
    file = folder / "expected" / f"{case}.safetensors"
    tensors = read_tensors(file)
    assert len(tensors) > 15
    cases = CheckpointCases(folder, torch.device("cpu"))
    survived: list[str] = []
    for name, tensor in tensors.items():
        for place in (0, -1):
            changed = tensor.clone()
            changed.view(-1)[place] += 1
            save_file({**tensors, name: changed}, file)
            (result,) = cases.run()
            survived += [f"{name}[{place}]"] * result.passed

    assert survived == []


def test_a_device_that_cannot_be_used_is_no_bug_of_the_engine(golden: Path) -> None:
    with pytest.raises(EngineFailed, match="the GPU cannot be used"):
        list(verify_folder(golden / "qwen3_5", "cuda:99"))


def test_what_breaks_one_case_leaves_the_others(golden: Path, tmp_path: Path) -> None:
    folder = _copied_checkpoint(golden, tmp_path)
    (folder / "expected" / "raw_5.safetensors").write_bytes(b"nothing")
    (tmp_path / "images" / "wide_300x70.png").unlink()

    results = {r.name: r for r in verify_folder(folder)}

    failed = {name for name, r in results.items() if not r.passed}
    assert {"raw_5", "image_wide"} <= failed < results.keys()
    assert "wide_300x70.png" in results["image_wide"].detail


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


def _one_case(golden: Path, tmp_path: Path, name: str, case: str) -> Path:
    """A checkpoint folder with a single case: quick to run many times."""
    folder = _copied_checkpoint(golden, tmp_path, name)
    cases_file = folder / "expected" / "cases.json"
    described = json.loads(cases_file.read_text())
    described["cases"] = [c for c in described["cases"] if c["case"] == case]
    cases_file.write_text(json.dumps(described))
    return folder


def _copied_checkpoint(golden: Path, tmp_path: Path, name: str = "qwen3_5") -> Path:
    shutil.copytree(golden / "images", tmp_path / "images")
    return Path(shutil.copytree(golden / name, tmp_path / name))
