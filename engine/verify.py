"""Does this engine, on this machine, compute what the golden files say?

A golden folder is recognised by what lies in it: a checkpoint with `expected/`, stand-alone units,
preprocessing, chats. Every case is compared with the files' own numbers in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from .errors import InvalidRequest
from .verification.checkpoint import Agreement, CheckpointCases
from .verification.checks import CaseResult
from .verification.pictures import preprocess_cases, smart_resize_cases
from .verification.text import chat_cases, tokenizer_cases
from .verification.units import unit_cases


def verify_folder(folder: Path, device: str = "cpu") -> Iterator[CaseResult]:
    """All cases of a golden folder, one after the other.

    Raises InvalidRequest where the folder holds nothing that could be compared, and ModelInvalid
    where it holds a checkpoint that cannot be loaded.
    """
    found = False
    if _has_checkpoint(folder):
        found = True
        yield from CheckpointCases(folder, torch.device(device)).run()
    for marker, cases in (
        ("gated_delta.json", unit_cases),
        ("smart_resize.json", smart_resize_cases),
        ("preprocess.json", preprocess_cases),
        ("chat_cases.json", chat_cases),
        ("tokenizer_cases.json", tokenizer_cases),
    ):
        if (folder / marker).exists():
            found = True
            yield from cases(folder)
    if not found:
        raise InvalidRequest(
            f"{folder} holds no golden cases.",
            "give a folder with expected/cases.json, such as tests/golden/qwen3_5.",
        )


def verify_agreement(folder: Path, device: str) -> Iterator[Agreement]:
    """How far bfloat16 says what a golden checkpoint says, case by case.

    Raises InvalidRequest where the folder holds no checkpoint, and ModelInvalid where that cannot
    be loaded.
    """
    if not _has_checkpoint(folder):
        raise InvalidRequest(
            f"{folder} holds no checkpoint whose tokens could be compared.",
            "give a folder with expected/cases.json, such as tests/golden/qwen3_5.",
        )
    yield from CheckpointCases(folder, torch.device(device), torch.bfloat16).agreements()


def _has_checkpoint(folder: Path) -> bool:
    return (folder / "expected" / "cases.json").exists()
