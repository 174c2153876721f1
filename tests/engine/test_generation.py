"""What generation_config.json may ask for, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.engine.errors import ModelInvalid
from cortex.engine.generation import read_generation_defaults


def written(folder: Path, **fields: Any) -> Path:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 7, **fields}))
    return folder


def test_the_makers_wishes_are_read(tmp_path: Path) -> None:
    folder = written(tmp_path, do_sample=True, temperature=0.6, top_k=20, top_p=0.95)
    defaults = read_generation_defaults(folder, {})
    wish = defaults.wish
    assert (wish.temperature, wish.top_k, wish.top_p) == (0.6, 20, 0.95)
    assert defaults.stop_token_ids == (7,)


def test_do_sample_false_means_greedy(tmp_path: Path) -> None:
    folder = written(tmp_path, do_sample=False, temperature=0.6)
    assert read_generation_defaults(folder, {}).wish.temperature == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("suppress_tokens", [3]),
        ("bad_words_ids", [[1, 2]]),
        ("no_repeat_ngram_size", 3),
        ("typical_p", 0.9),
        ("num_beams", 4),
        ("min_new_tokens", 2),
        ("forced_eos_token_id", 7),
        ("stop_strings", ["end"]),
    ],
)
def test_a_wish_that_would_change_answers_and_is_not_served_is_refused_by_name(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(ModelInvalid, match=name):
        read_generation_defaults(written(tmp_path, **{name: value}), {})


def test_neutral_values_of_such_wishes_ask_for_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path, num_beams=1, typical_p=1.0, suppress_tokens=[], min_length=0)
    assert read_generation_defaults(folder, {}).stop_token_ids == (7,)


@pytest.mark.parametrize(
    ("name", "value"), [("top_k", 20.0), ("top_p", 1.5), ("temperature", "hot"), ("top_k", True)]
)
def test_a_value_out_of_range_or_kind_is_refused_by_name(
    tmp_path: Path, name: str, value: Any
) -> None:
    with pytest.raises(ModelInvalid, match=name):
        read_generation_defaults(written(tmp_path, **{name: value}), {})


@pytest.mark.parametrize("stop", [[], "7", -1, [3, None]])
def test_an_end_of_answer_that_is_no_token_is_refused(tmp_path: Path, stop: Any) -> None:
    with pytest.raises(ModelInvalid, match="eos_token_id"):
        read_generation_defaults(written(tmp_path, eos_token_id=stop), {})
