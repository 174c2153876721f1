"""Golden chats and tokenizer cases: what the template renders, and to which ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InvalidRequest
from ..template import read_template
from ..tokenizer import Detokenizer, Tokenizer
from .checks import CaseResult, Check, equal, run_case, summed_up


def chat_cases(folder: Path) -> Iterator[CaseResult]:
    template = read_template(folder)
    tokenizer = Tokenizer(folder / "tokenizer.json")
    for case in _read(folder / "chat_cases.json"):
        options = dict(case["kwargs"])
        tools = options.pop("tools", None) or case.get("tools") or ()
        try:
            rendered: str | None = template.render(
                case["messages"], tools=tools, now_s=0, options=options
            )
        except InvalidRequest:
            rendered = None
        checks = [equal("rendered", rendered, case.get("rendered"))]
        if rendered is not None:
            checks.append(equal("ids", tokenizer.encode(rendered), case.get("ids")))
        yield summed_up(f"chat {case['case']}", checks)


def tokenizer_cases(folder: Path) -> Iterator[CaseResult]:
    tokenizer = Tokenizer(folder / "tokenizer.json")
    for n, case in enumerate(_read(folder / "tokenizer_cases.json")):
        yield run_case(f"tokenizer {n}", partial(_tokenizer_checks, tokenizer, case))


def _tokenizer_checks(tokenizer: Tokenizer, case: dict[str, Any]) -> Iterator[Check]:
    ids = case["ids"]
    yield equal("ids", tokenizer.encode(case["text"]), ids)
    if "decoded" in case:
        yield equal("decoded", tokenizer.decode(ids, skip_special=False), case["decoded"])
        yield equal("decoded, special skipped", tokenizer.decode(ids), case["decoded_skip_special"])
    if "prefix_decodes" in case:
        decodes = [tokenizer.decode(ids[: n + 1]) for n in range(len(ids))]
        yield equal("decodes of prefixes", decodes, case["prefix_decodes"])
        streamed, detokenizer = "", Detokenizer(tokenizer)
        for token_id, whole in zip(ids, case["prefix_decodes"], strict=True):
            streamed += detokenizer.push(token_id)
            yield equal("streamed", whole.startswith(streamed) and "�" not in streamed, True)
        yield equal("streamed text", streamed + detokenizer.flush(), case["text"])


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cases"]
