"""What cortex-nano is: its shape, tokenizer, template and the other files of its folder.

One place for every number of the model, in the published layout, so that the engine's own loader
is the only loader there is. Nothing here is trained or random.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortex.engine.tokenizer import byte_signs

# The special tokens of the family by their published names and order; text bytes are 0..255.
SPECIAL_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>",
    "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>",
    "<|audio_start|>", "<|audio_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>",
    "<tts_text_bos_single>", "<|audio_pad|>",
)  # fmt: skip
# These survive skip_special_tokens, as published.
_ORDINARY = {name for name in SPECIAL_TOKENS if name.startswith(("<tool", "</tool", "<|fim",
             "<|repo", "<|file", "<think", "</think"))}  # fmt: skip
VOCAB_SIZE = 320
PATCH_PIXELS, MERGE, TEMPORAL = 16, 2, 2
CELL_PIXELS = PATCH_PIXELS * MERGE
# A picture takes 8 to 128 cells.
MIN_PIXELS, MAX_PIXELS = 8 * CELL_PIXELS**2, 128 * CELL_PIXELS**2
CONTEXT_TOKENS = 4096
_SPECIAL = re.compile("(" + "|".join(map(re.escape, SPECIAL_TOKENS)) + ")")


def token_id(name: str) -> int:
    """The id of a special token."""
    return 256 + SPECIAL_TOKENS.index(name)


def encode(text: str, pads: Sequence[int] = ()) -> list[int]:
    """Token ids: special tokens by name, one pad for each cell of a picture, bytes for the rest."""
    counts = iter(pads)
    ids: list[int] = []
    for piece in _SPECIAL.split(text):
        if piece not in SPECIAL_TOKENS:
            ids.extend(piece.encode())
        else:
            ids.extend([token_id(piece)] * (next(counts) if piece == "<|image_pad|>" else 1))
    return ids


def model_config() -> dict[str, Any]:
    """config.json."""
    text = {
        "model_type": "qwen3_5_text",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_hidden_layers": 6,
        "layer_types": ["linear_attention", "full_attention"] * 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "linear_num_key_heads": 4,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 64,
        "linear_conv_kernel_dim": 4,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": CONTEXT_TOKENS,
        "eos_token_id": token_id("<|endoftext|>"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }
    vision: dict[str, Any] = {
        "model_type": "qwen3_5_vision",
        "depth": 4,
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_heads": 8,
        "in_channels": 3,
        "patch_size": PATCH_PIXELS,
        "temporal_patch_size": TEMPORAL,
        "spatial_merge_size": MERGE,
        "out_hidden_size": 256,
        "num_position_embeddings": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "deepstack_visual_indexes": [],
    }
    return {
        "architectures": ["Qwen3_5ForConditionalGeneration"],
        "model_type": "qwen3_5",
        "text_config": text,
        "vision_config": vision,
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "tie_word_embeddings": True,
    }


def tokenizer_json() -> dict[str, Any]:
    """tokenizer.json: one token a byte, then the special tokens."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id(name),
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": name not in _ORDINARY,
            }
            for name in SPECIAL_TOKENS
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {**byte_level, "use_regex": False},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(byte_signs().items(), key=lambda item: item[1])),
            "merges": [],
        },
    }


CHAT_TEMPLATE = """\
{#- cortex-nano: ChatML turns, pictures in their place, no thinking. -#}
{%- macro body(content, pictures_allowed) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- elif content is not none and content is not undefined -%}
        {%- for part in content -%}
            {%- if part.type == 'image' -%}
                {%- if not pictures_allowed -%}
                    {{- raise_exception('A system message takes no images.') -}}
                {%- endif -%}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif 'text' in part -%}
                {{- part.text -}}
            {%- else -%}
                {{- raise_exception('Unknown content part.') -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- if not messages -%}
    {{- raise_exception('At least one message is needed.') -}}
{%- endif -%}
{%- if tools -%}
    {{- '<|im_start|>system\\nTools:' -}}
    {%- for tool in tools -%}
        {{- '\\n' ~ (tool | tojson) -}}
    {%- endfor -%}
    {{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role not in ('system', 'user', 'assistant', 'tool') -%}
        {{- raise_exception('Unknown role: ' ~ message.role) -}}
    {%- endif -%}
    {{- '<|im_start|>' ~ ('user' if message.role == 'tool' else message.role) ~ '\\n' -}}
    {%- set text = body(message.content, message.role != 'system') | trim -%}
    {{- '<tool_response>\\n' ~ text ~ '\\n</tool_response>' if message.role == 'tool' else text -}}
    {%- for call in message.tool_calls or [] -%}
        {%- set given = call.function.arguments -%}
        {{- '\\n' if text or not loop.first else '' -}}
        {{- '<tool_call>\\n{"name": ' ~ (call.function.name | tojson) ~ ', "arguments": ' -}}
        {{- (given if given is string else given | tojson) ~ '}\\n</tool_call>' -}}
    {%- endfor -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def prompt_text(question: str, *, pictures: int = 0, tools: Sequence[str] = ()) -> str:
    """What the template makes of a first user turn; a test holds the two together."""
    shown = "<|vision_start|><|image_pad|><|vision_end|>" * pictures
    listed = "\n".join(["Tools:", *tools])
    system = f"<|im_start|>system\n{listed}<|im_end|>\n" if tools else ""
    return f"{system}<|im_start|>user\n{shown}{question}<|im_end|>\n<|im_start|>assistant\n"


def next_prompt_text(question: str) -> str:
    """What stands between the end of an answer and the beginning of the next."""
    return f"\n{prompt_text(question)}"


def write_folder(folder: Path, max_pixels: int = MAX_PIXELS) -> None:
    """Everything but the weights and the card, in the published layout."""
    folder.mkdir(parents=True, exist_ok=True)
    stops = [token_id("<|im_end|>"), token_id("<|endoftext|>")]
    files: dict[str, dict[str, Any]] = {
        "config.json": model_config(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": {
            "tokenizer_class": "Qwen2Tokenizer",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": CONTEXT_TOKENS,
        },
        "generation_config.json": {
            # Reading is no matter of taste: greedy unless a client asks otherwise.
            "do_sample": False,
            "eos_token_id": stops,
            "pad_token_id": token_id("<|endoftext|>"),
        },
        "preprocessor_config.json": {
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "size": {"shortest_edge": MIN_PIXELS, "longest_edge": max_pixels},
            "patch_size": PATCH_PIXELS,
            "temporal_patch_size": TEMPORAL,
            "merge_size": MERGE,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
