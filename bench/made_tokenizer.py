"""A tokenizer of any size, made on the spot: no download, and no published vocabulary.

Its tokens are the 256 bytes, some pairs of letters with their merges, and, up to the wished size,
four-letter tokens that no text is ever split into but that an untrained model writes at every step:
each of them is text of its own, so that what a model said can be told from what it wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice, product
from pathlib import Path
from typing import Any

from cortex.engine.tokenizer import byte_signs

from .shapes import Shape, text_part

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SPACE = "Ġ"
# How text is cut before merging, as the Qwen family does it.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# These begin or end nothing that a reader should be spared.
_PLAIN_MARKS = ("tool_", "/tool_", "think", "/think", "|fim_", "|repo_", "|file_", "tts_")

CHAT_TEMPLATE = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' -}}
    {%- if message.content is string -%}
        {{- message.content.split('</think>')[-1].lstrip('\\n') -}}
    {%- else -%}
        {%- for part in message.content -%}{{- part.text -}}{%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
    {%- if enable_thinking is defined and enable_thinking is false -%}
        {{- '<think>\\n\\n</think>\\n\\n' -}}
    {%- endif -%}
{%- endif -%}
"""


def write_tokenizer(shape: Shape, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json and generation_config.json."""
    marks = {shape.first_mark + place: mark for place, mark in enumerate(shape.marks)}
    _write(folder / "tokenizer.json", _tokenizer(shape.first_mark, marks))
    _write(folder / "tokenizer_config.json", _tokenizer_config(shape, marks))
    end, padding = shape.first_mark + 2, shape.first_mark
    generation = {
        "bos_token_id": padding,
        "do_sample": True,
        "eos_token_id": [end, padding],
        "pad_token_id": padding,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
    }
    _write(folder / "generation_config.json", generation)


def _tokenizer(num_tokens: int, marks: Mapping[int, str]) -> dict[str, Any]:
    merges = [[_SPACE, letter] for letter in _LETTERS]
    merges += [[first, second] for first, second in product(_LETTERS, repeat=2)]
    # The bytes first, in the order in which GPT-2 numbers them.
    tokens = [*sorted(byte_signs()), *("".join(pair) for pair in merges)]
    fillers = ("".join(letters) for letters in product(_LETTERS, repeat=4))
    tokens += islice(fillers, num_tokens - len(tokens))
    assert len(tokens) == num_tokens, "too few or too many tokens for the bytes and merges"
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id_} | _mark(text) for id_, text in marks.items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, byte_level | {"trim_offsets": False}],
        },
        "post_processor": byte_level | {"trim_offsets": False},
        "decoder": byte_level | {"trim_offsets": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: place for place, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def _tokenizer_config(shape: Shape, marks: Mapping[int, str]) -> dict[str, Any]:
    return {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(id_): _mark(text) for id_, text in marks.items()},
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": text_part(shape.config)["max_position_embeddings"],
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "unk_token": None,
    }


def _mark(text: str) -> dict[str, Any]:
    return {
        "content": text,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": not text.removeprefix("<").startswith(_PLAIN_MARKS),
    }


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(f"{json.dumps(value, ensure_ascii=False, indent=1)}\n", encoding="utf-8")
