"""A model's folder without its weights is refused by whatever would refuse it with them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cortex.engine.check_folder import check_folder, main
from cortex.engine.errors import ModelInvalid

_WORD_PIECES = {"type": "WordPiece", "prefix": "##", "cleanup": True}


@pytest.fixture
def folder(golden: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("*.safetensors", "expected")
    return shutil.copytree(golden / "qwen3_5", tmp_path / "m", ignore=ignored)


def test_a_folder_that_would_be_served_passes_before_its_weights_are_there(folder: Path) -> None:
    check_folder(folder, "torch")


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("config.json", {"layer_scales": [1]}, "layer_scales"),
        ("config.json", {"model_type": "mamba"}, "mamba"),
        ("generation_config.json", {"num_beams": 4}, "num_beams"),
        ("preprocessor_config.json", {"do_pad": True}, "do_pad"),
        (
            "tokenizer.json",
            {"decoder": {"type": "WordPiece", "prefix": "#", "cleanup": True}},
            "WordP",
        ),
    ],
)
def test_what_the_engine_or_the_text_process_refuses_is_refused(
    folder: Path, file: str, changes: dict[str, Any], words: str
) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelInvalid, match=words):
        check_folder(folder, "torch")


@pytest.fixture
def check_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The program, for that engine, in this process."""

    def run(engine: str) -> None:
        monkeypatch.setattr(sys, "argv", ["check", "--engine", engine, str(folder)])
        main()

    return run


@pytest.mark.parametrize("error", [MemoryError, OSError, ImportError])
def test_what_this_machine_lacks_is_not_the_models_fault(
    check_here: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def lack(_: Path) -> None:
        raise error

    monkeypatch.setattr("cortex.engine.check_folder.load_text_model", lack)
    with pytest.raises(error):
        check_here("fake")


def test_an_engine_that_cannot_be_imported_is_not_the_models_fault(
    check_here: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("no such device")

    name = "cortex.engine.models.registry"
    monkeypatch.setitem(sys.modules, name, Broken(name))
    with pytest.raises(RuntimeError):
        check_here("torch")
