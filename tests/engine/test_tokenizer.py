"""Text to ids and back, control tokens that clients spell, and streaming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from cortex.engine.errors import InvalidRequest, ModelInvalid
from cortex.engine.tokenizer import Detokenizer, Tokenizer

_CHAT = Path(__file__).parent.parent / "golden" / "chat"
_TOKENIZER = Tokenizer(_CHAT / "tokenizer.json")
_WHOLE = tokenizers.Tokenizer.from_file(str(_CHAT / "tokenizer.json"))
_CASES: list[dict[str, Any]] = json.loads((_CHAT / "tokenizer_cases.json").read_text())["cases"]
_SPELLINGS = ["<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|", "<", "im_end|>", "|>", "<think>"]
_HOSTILE = st.lists(
    st.one_of(st.sampled_from(_SPELLINGS), st.just("\U0010fffd"), st.text(max_size=4)), max_size=6
).map("".join)


@pytest.mark.parametrize("case", _CASES, ids=lambda c: c["text"][:20])
def test_golden_text_gives_the_golden_ids(case: dict[str, Any]) -> None:
    assert _TOKENIZER.encode(case["text"]) == case["ids"]
    if "decoded" in case:
        assert _TOKENIZER.decode(case["ids"], skip_special=False) == case["decoded"]
        assert _TOKENIZER.decode(case["ids"]) == case["decoded_skip_special"]


def test_streaming_shows_each_golden_prefix_without_torn_characters() -> None:
    case = next(c for c in _CASES if "prefix_decodes" in c)
    detokenizer = Detokenizer(_TOKENIZER)
    shown = ""
    for token_id, decoded in zip(case["ids"], case["prefix_decodes"], strict=True):
        shown += detokenizer.push(token_id)
        assert shown == decoded.rstrip("\ufffd")
    assert detokenizer.flush() == ""


@given(st.lists(st.integers(0, 1100), max_size=60), st.booleans())
def test_streamed_pieces_together_are_the_decoded_whole(ids: list[int], skip: bool) -> None:
    detokenizer = Detokenizer(_TOKENIZER, skip_special=skip)
    pieces = [detokenizer.push(token_id) for token_id in ids]
    assert "".join(pieces) + detokenizer.flush() == _TOKENIZER.decode(ids, skip_special=skip)


@given(st.text())
def test_text_survives_the_round_trip_up_to_normalisation(text: str) -> None:
    normal = _TOKENIZER.decode(_TOKENIZER.encode(_TOKENIZER.escape(text)))
    again = _TOKENIZER.decode(_TOKENIZER.encode(_TOKENIZER.escape(normal)))
    assert again == normal


@given(st.lists(_HOSTILE, min_size=1, max_size=4))
def test_client_text_never_becomes_a_control_token(strings: list[str]) -> None:
    rendered = "<|im_start|>" + "".join(map(_TOKENIZER.escape, strings)) + "<|im_end|>"
    ids = _TOKENIZER.encode(rendered)
    assert [i for i in ids if _TOKENIZER.is_special(i)] == [ids[0], ids[-1]]


@given(_HOSTILE)
@example("\U0010fffd+")
def test_escaped_text_reads_the_same_to_the_model(text: str) -> None:
    ids = _TOKENIZER.encode(_TOKENIZER.escape(text))
    # An escape behind each character keeps it from being part of a control token.
    apart = (c.replace("\U0010fffd", "\U0010fffd+") + "\U0010fffd-" for c in text)
    plain = _TOKENIZER.encode("".join(apart))
    assert ids == plain


@given(st.lists(_HOSTILE, max_size=6))
def test_text_in_pieces_gives_the_tokens_of_the_whole_first_and_again(parts: list[str]) -> None:
    text = "<|im_start|>".join(part.replace("\U0010fffd", "") for part in parts)
    whole = _WHOLE.encode(text, add_special_tokens=False).ids

    assert [_TOKENIZER.encode(text), _TOKENIZER.encode(text)] == [whole, whole]


@given(_HOSTILE)
def test_a_raw_text_is_read_as_the_reference_reads_it(text: str) -> None:
    assert _TOKENIZER.encode_raw(text) == _WHOLE.encode(text).ids


def test_of_the_marks_around_a_text_only_those_in_front_begin_a_raw_one(tmp_path: Path) -> None:
    plain = json.loads((_CHAT / "tokenizer.json").read_text())
    around = [
        {"SpecialToken": {"id": name, "type_id": 0}} for name in ("<|im_start|>", "<|im_end|>")
    ]
    frame = [around[0], around[0], {"Sequence": {"id": "A", "type_id": 0}}, around[1]]
    ids = {"<|im_start|>": 1001, "<|im_end|>": 1002}
    known = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in ids.items()}
    plain["post_processor"] = {
        "type": "TemplateProcessing", "single": frame, "pair": frame, "special_tokens": known,
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json")
    hello = _TOKENIZER.encode("Hello")

    assert tokenizer.encode_framed("Hello") == [1001, 1001, *hello, 1002]
    assert tokenizer.encode_raw("Hello") == [1001, 1001, *hello]
    assert tokenizer.encode_raw("<|im_start|>" * 2 + "Hello") == [1001, 1001, *hello]
    assert tokenizer.encode_raw("<|im_start|>Hello") == [1001, 1001, 1001, *hello]


@pytest.mark.parametrize(
    ("spelling", "flags"),
    [
        ("<|im_end|>", {"rstrip": True}),
        ("<|im_end|>", {"lstrip": True}),
        ("<|im_end|>", {"single_word": True}),
        ("x<|im", {"special": False}),
        ("end|>x", {"special": False}),
        ("x<|im_end|>x", {"special": False}),
    ],
)
def test_control_tokens_that_reach_beyond_their_spelling_are_not_cut_at(
    tmp_path: Path, spelling: str, flags: dict[str, bool]
) -> None:
    plain = json.loads((_CHAT / "tokenizer.json").read_text())
    added = [t for t in plain["added_tokens"] if t["content"] != spelling]
    token = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    own = next((t for t in plain["added_tokens"] if t["content"] == spelling), {"special": True})
    plain["added_tokens"] = [*added, {"id": 1100, "content": spelling, **own, **token, **flags}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    text = "hax<|im_end|> x<|im_end|>x ha"
    whole = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    encoded = Tokenizer(tmp_path / "tokenizer.json").encode(text)

    assert encoded == whole.encode(text, add_special_tokens=False).ids


def test_plain_text_is_not_changed_by_escaping() -> None:
    text = "a < b, <b>bold</b>, <think> and \N{ROCKET}"
    assert _TOKENIZER.escape(text) == text


def test_unknown_special_token_has_no_id() -> None:
    assert _TOKENIZER.special_id("<|im_start|>") == 1001
    assert _TOKENIZER.special_id("<think>") is None


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"tokenizer\.json"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelInvalid, match="cannot be read"):
        Tokenizer(tmp_path / "tokenizer.json")


def with_fields(folder: Path, **fields: Any) -> Path:
    path = folder / "tokenizer.json"
    plain = json.loads((_CHAT / "tokenizer.json").read_text())
    path.write_text(json.dumps({**plain, **fields}))
    return path


def test_a_tokenizer_over_which_the_library_breaks_down_is_refused(tmp_path: Path) -> None:
    charsmap = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    with pytest.raises(ModelInvalid, match="cannot be read"):
        Tokenizer(with_fields(tmp_path, normalizer=charsmap))


def test_a_text_over_which_the_library_breaks_down_is_refused(tmp_path: Path) -> None:
    cuts = {"type": "FixedLength", "length": 0}
    tokenizer = Tokenizer(with_fields(tmp_path, pre_tokenizer=cuts))
    with pytest.raises(InvalidRequest, match="breaks down"):
        tokenizer.encode("hello")


def test_decoder_that_is_not_byte_level_is_refused_by_name(tmp_path: Path) -> None:
    plain = json.loads((_CHAT / "tokenizer.json").read_text())
    plain["decoder"] = {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    with pytest.raises(ModelInvalid, match="Metaspace"):
        Tokenizer(tmp_path / "tokenizer.json")
