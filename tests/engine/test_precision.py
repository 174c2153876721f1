"""In which numbers a model is computed: wishes first, then what pays on the device."""

from __future__ import annotations

import pytest
import torch

from cortex.engine.errors import ModelInvalid
from cortex.engine.estimating import has_bfloat16, told_of
from cortex.engine.precision import (
    Mode,
    Precision,
    Stored,
    choose_precision,
)
from cortex.engine.wishes import DtypeWish, ModeWish, Wishes

LARGE, SMALL = 1 << 30, 1 << 20
BFLOAT16, FLOAT32 = torch.bfloat16, torch.float32


def chosen(
    mode: ModeWish = "auto",
    dtype: DtypeWish = "auto",
    *,
    stored: torch.dtype | None = BFLOAT16,
    num_bytes: int = LARGE,
    device: str = "cpu",
    has_bfloat16: bool = True,
) -> Precision:
    return choose_precision(Wishes(mode, dtype), Stored(stored, num_bytes), device, has_bfloat16)


def test_a_large_model_of_halves_is_computed_in_bfloat16_where_the_processor_can() -> None:
    assert chosen() == Precision("fast", BFLOAT16)
    assert chosen(stored=torch.float16) == Precision("fast", BFLOAT16)
    assert chosen(has_bfloat16=False) == Precision("exact", FLOAT32)


@pytest.mark.parametrize("stored", [FLOAT32, None])
def test_what_is_stored_wider_is_computed_exactly(stored: torch.dtype | None) -> None:
    assert chosen(stored=stored) == Precision("exact", FLOAT32)


def test_a_model_that_fits_into_the_cache_is_computed_exactly() -> None:
    assert chosen(num_bytes=SMALL) == Precision("exact", FLOAT32)
    assert chosen("fast", num_bytes=SMALL) == Precision("fast", BFLOAT16)


@pytest.mark.parametrize(
    ("mode", "dtype", "expected_mode", "expected_dtype"),
    [
        ("exact", "auto", "exact", FLOAT32),
        ("exact", "float32", "exact", FLOAT32),
        ("auto", "float32", "exact", FLOAT32),
        ("fast", "float32", "fast", FLOAT32),
        ("auto", "bfloat16", "fast", BFLOAT16),
        ("fast", "auto", "fast", BFLOAT16),
    ],
)
def test_a_wish_is_obeyed(
    mode: ModeWish, dtype: DtypeWish, expected_mode: Mode, expected_dtype: torch.dtype
) -> None:
    assert chosen(mode, dtype) == Precision(expected_mode, expected_dtype)


@pytest.mark.parametrize(
    ("capability", "has_own"), [((7, 5), False), ((8, 0), True), ((12, 1), True)]
)
def test_a_gpu_older_than_its_bfloat16_computes_in_float32_and_that_is_said(
    capability: tuple[int, int], has_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(_: torch.device) -> tuple[int, int]:
        return capability

    monkeypatch.setattr(torch.cuda, "get_device_capability", told)
    monkeypatch.setattr(torch.cuda, "get_device_name", str)
    device = torch.device("cuda:1")

    found = has_bfloat16(device)

    assert chosen(device="cuda", has_bfloat16=found).dtype == (BFLOAT16 if has_own else FLOAT32)
    said = told_of(device)
    assert (said == "") == has_own
    if said:
        assert said.startswith("cuda:1 (compute capability 7.5) has no bfloat16")


def test_of_a_cpu_nothing_is_said() -> None:
    assert told_of(torch.device("cpu")) == ""


def test_a_gpu_is_fast_and_keeps_float32_where_the_files_have_it() -> None:
    assert chosen(device="cuda", num_bytes=SMALL) == Precision("fast", BFLOAT16)
    assert chosen(device="cuda", stored=FLOAT32) == Precision("fast", FLOAT32)


@pytest.mark.parametrize(
    ("dtype", "device", "named"), [("auto", "cuda", "cuda"), ("bfloat16", "cpu", "--dtype")]
)
def test_exact_mode_is_refused_where_there_is_none(
    dtype: DtypeWish, device: str, named: str
) -> None:
    with pytest.raises(ModelInvalid, match=named):
        chosen("exact", dtype, device=device)


def test_a_precision_is_told_in_words() -> None:
    assert str(Precision("fast", BFLOAT16)) == "fast mode, bfloat16"
