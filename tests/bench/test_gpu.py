"""The GPU's benchmark: its rooflines against published arithmetic, its parts on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.gpu.ceilings import Amounts, measure_ceilings
from bench.gpu.engine_level import Case, CaseFailed, load_engine, measured_case, run_case
from bench.gpu.roofline import decode_tokens_per_s, prefill_tokens_per_s, work_of
from bench.gpu.rows import beside_engine, decoded, kept_bytes
from bench.make_checkpoint import make_checkpoint
from bench.shapes import QWEN3_5_0_8B, QWEN3_5_9B, QWEN3_8B
from bench.tiny_shapes import tiny
from cortex.engine.wishes import Wishes

CPU = torch.device("cpu")
COPY_BYTES_PER_S, PRODUCT_FLOPS_PER_S = 4.3e12, 788e12


def test_work_of_published_shapes_is_what_their_configs_say() -> None:
    dense, hybrid = work_of(QWEN3_8B, "bfloat16"), work_of(QWEN3_5_9B, "bfloat16")
    assert dense.weight_bytes / 1e9 == pytest.approx(15.14, abs=0.01)
    assert dense.token_bytes == 144 * 1024 and dense.state_bytes == 0
    assert hybrid.weight_bytes / 1e9 == pytest.approx(15.87, abs=0.05)
    assert hybrid.token_bytes == 32 * 1024
    # 48 MiB of recurrent state, and the convolutions' last inputs.
    assert hybrid.state_bytes == 48 * 2**20 + 24 * 3 * 8192 * 2


@pytest.mark.parametrize(
    ("concurrency", "dense", "hybrid"),
    [(1, 281, 269), (8, 2_104, 2_028), (32, 6_890, 6_799), (128, 15_969, 16_506)],
)
def test_decode_ceiling_is_bandwidth_by_what_a_step_moves(
    concurrency: int, dense: float, hybrid: float
) -> None:
    for shape, expected in ((QWEN3_8B, dense), (QWEN3_5_9B, hybrid)):
        work = work_of(shape, "bfloat16")
        found = decode_tokens_per_s(work, concurrency, 1024, COPY_BYTES_PER_S)
        assert found == pytest.approx(expected, rel=0.02)


def test_prefill_ceiling_falls_with_the_length_of_the_prompt() -> None:
    work = work_of(QWEN3_8B, "bfloat16")
    short, long = (prefill_tokens_per_s(work, n, PRODUCT_FLOPS_PER_S) for n in (1, 8192))
    assert short == pytest.approx(56_700, rel=0.01)
    assert long < short


def test_ceilings_are_measured_on_whatever_device_there_is() -> None:
    found = measure_ceilings(CPU, torch.float32, Amounts(copied_bytes=1 << 16, side=16))
    assert found.copy_bytes_per_s > 0 and found.product_flops_per_s > 0


def test_a_row_over_http_says_what_is_left_of_the_engine_s_rate() -> None:
    row = {"shape": "a", "case": "128/9 at 1", "share": 0.5, "decode_tokens_per_s": 40.0}
    other = row | {"level": "engine", "case": "128/9 at 8", "decode_tokens_per_s": 10.0}
    alone, http = row | {"level": "engine"}, row | {"level": "http", "decode_tokens_per_s": 38.0}
    assert beside_engine(http, [other, alone]) == http | {"of_engine": 0.95}
    assert beside_engine(http, [other]) == http
    assert beside_engine(alone, [other, alone]) == alone


def test_a_case_of_which_all_were_never_decoding_at_once_has_no_share() -> None:
    ceilings = measure_ceilings(CPU, torch.float32, Amounts(copied_bytes=1 << 16, side=16))
    work = work_of(QWEN3_8B, "bfloat16")
    assert set(decoded(0.0, Case(1, 8, 4), work, ceilings)) == {"skipped"}
    assert decoded(1.0, Case(1, 8, 4), work, ceilings)["share"] > 0


def test_what_a_case_keeps_grows_with_its_tokens_and_its_states() -> None:
    dense, hybrid = work_of(QWEN3_8B, "bfloat16"), work_of(QWEN3_5_9B, "bfloat16")
    assert kept_bytes(Case(128, 8192, 256), dense) == 128 * 8448 * 144 * 1024
    assert kept_bytes(Case(1, 0, 1), hybrid) == 32 * 1024 + hybrid.state_bytes


def test_every_answer_of_a_case_has_its_length(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    make_checkpoint(tiny(QWEN3_5_0_8B), "float32", folder, seed=0)
    loaded = load_engine(folder, CPU, 1 << 28, Wishes())
    case = Case(concurrency=3, prompt_tokens=20, output_tokens=5)
    timelines = run_case(loaded.service, case, "seed")
    assert [len(each.arrivals) for each in timelines] == [5, 5, 5]
    assert measured_case(loaded.service, case).decode_tokens_per_s > 0
    with pytest.raises(CaseFailed, match="prompt is too long"):
        run_case(loaded.service, Case(1, 10**6, 5), "seed")
    assert not loaded.service.has_work
