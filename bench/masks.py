"""What holding answers to a grammar costs: `python -m bench.masks TOKENIZER_JSON [--out FILE]`.

The engine's own parts, over text that a model might have written: how long a tokenizer takes to
become the library's, a schema of 5 kB to compile, a mask to be made in JSON and in the words around
calls, and a draw of eight rows with masks and without. Times of the processor, not of the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.machine import describe_machine
from cortex.engine.grammars.answers import bind_answer
from cortex.engine.grammars.guide import Allowed
from cortex.engine.grammars.matchers import Matchers
from cortex.engine.grammars.tokens import grammar_tokenizer
from cortex.engine.guiding import mask_tensor
from cortex.engine.heap import keep_freed_memory
from cortex.engine.sampler import SamplingRow, choose_tokens
from cortex.engine.tokenizer import Tokenizer
from cortex.engine.types import ChatRequest, Grammar, ReplyFormat, Sampling, Tool, ToolChoice

_NUM_FIELDS = 40
_ROWS, _REPEATS = 8, 50
# Embeddings are padded to such a number of rows.
_PADDED_TO = 128
_WORDS = "The quick brown fox jumps over the lazy dog, and nobody asks why. " * 20


def cpu_ms(act: Callable[[], object]) -> float:
    begun_s = time.thread_time()
    act()
    return (time.thread_time() - begun_s) * 1000


def spread(times_ms: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times_ms, n=100)
    return {"p50_ms": statistics.median(times_ms), "p99_ms": cuts[98], "max_ms": max(times_ms)}


def field(index: int) -> tuple[dict[str, Any], Any]:
    """A field's schema, and a value of it."""
    if index % 3 == 0:
        return {"type": "string", "description": "what is said of it " * 2}, "some words, not many"
    if index % 3 == 1:
        return {"type": "integer", "minimum": 0, "maximum": 1000}, 42
    pair = {"k": {"type": "string"}, "v": {"type": "number"}}
    item = {"type": "object", "properties": pair, "required": ["k", "v"]}
    return {"type": "array", "items": item}, [{"k": "north", "v": 1.5}, {"k": "west", "v": -2}]


def masks_ms(matchers: Matchers, grammar: str, token_ids: list[int]) -> list[float]:
    matcher = matchers.open(grammar)
    times: list[float] = []
    for token_id in token_ids:
        times.append(cpu_ms(matcher.mask))
        matcher.take([token_id])
    matcher.mask()  # raises where the text was none of the grammar's
    return times


def drawing_ms(num_tokens: int, mask: bytes | None) -> float:
    vocab_size = -(-num_tokens // _PADDED_TO) * _PADDED_TO
    allowed = None if mask is None else Allowed(bytearray(mask))
    row_mask = None if allowed is None else mask_tensor(allowed, vocab_size)
    rows = [SamplingRow(Sampling(seed=0, temperature=0.0), 0, mask=row_mask)] * _ROWS
    scores = torch.randn(_ROWS, vocab_size, generator=torch.Generator().manual_seed(0))
    none = torch.tensor([], dtype=torch.long)
    times = [cpu_ms(lambda: choose_tokens(scores, rows, none)) for _ in range(_REPEATS)]
    return statistics.median(times)


def measure(tokenizer: Tokenizer) -> dict[str, Any]:
    fields = [field(index) for index in range(_NUM_FIELDS)]
    names = [f"field_{index}" for index in range(_NUM_FIELDS)]
    properties = {name: schema for name, (schema, _) in zip(names, fields, strict=True)}
    schema = json.dumps({"type": "object", "properties": properties, "required": names})
    text = json.dumps({name: value for name, (_, value) in zip(names, fields, strict=True)})
    tool = Tool("f", "", schema, is_strict=True)
    asked = ChatRequest("m", (), 0, 0, tools=(tool,), tool_choice=ToolChoice())
    form = ChatRequest("m", (), 0, 0, grammar=Grammar("json_schema", schema))
    in_json = bind_answer(form, ReplyFormat(), lambda grammar, budget: None).grammar
    in_words = bind_answer(
        asked, ReplyFormat("none", "json", (tool,)), lambda grammar, budget: None
    ).grammar

    made: list[Matchers] = []
    trie_ms = cpu_ms(lambda: made.append(Matchers(grammar_tokenizer(tokenizer))))
    matchers = made[0]
    compile_ms = [cpu_ms(lambda: matchers.alone(in_json)) for _ in range(_REPEATS)]
    mask = matchers.open(in_words).mask()
    return {
        "tokens": tokenizer.vocab_size,
        "trie_ms": trie_ms,
        "schema_bytes": len(schema),
        "compile_ms": statistics.median(compile_ms),
        "mask_in_json": spread(masks_ms(matchers, in_json, tokenizer.encode(text))),
        "mask_in_words": spread(masks_ms(matchers, in_words, tokenizer.encode(_WORDS))),
        "rows": _ROWS,
        "draw_free_ms": drawing_ms(tokenizer.vocab_size, None),
        "draw_masked_ms": drawing_ms(tokenizer.vocab_size, mask),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as an engine process does
    figures = measure(Tokenizer(args.tokenizer))
    print(json.dumps(figures, indent=1))
    if args.out:
        result = {"what": "ms of a core", "machine": describe_machine(), **figures}
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
