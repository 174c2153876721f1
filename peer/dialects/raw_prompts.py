"""Prompts that are no chats, as the OpenAI bodies give them: texts or token ids, one or several.

Which field they stand in, and how many there may be, is its reader's to say.
"""

from __future__ import annotations

from typing import cast

from cortex.engine.types import RawText, RawTokens

from .fields import Fields, refuse

RawPrompt = RawText | RawTokens

_LARGEST_TOKEN_ID = 2**31 - 1
_EXPECTED = "must be a string, a list of strings, a list of token ids, or a list of such lists"


def read_raw_prompts(body: Fields, name: str, max_prompts: int) -> dict[str, RawPrompt]:
    """All prompts of a field, each by what it is called in errors, in their order."""
    value = body.raw(name)
    if isinstance(value, str):
        return {name: RawText(value)}
    if not isinstance(value, list) or not value:
        refuse(name, f"required; {_EXPECTED}")
    items = cast(list[object], value)
    if not isinstance(items[0], (str, list)):
        return {name: _read_tokens(items, name)}
    if len(items) > max_prompts:
        refuse(
            name,
            f"holds {len(items)} prompts, at most {max_prompts} are taken",
            "send several requests",
        )
    paths = [f"{name}[{index}]" for index in range(len(items))]
    return {path: _read_prompt(item, path) for path, item in zip(paths, items, strict=True)}


def _read_prompt(item: object, path: str) -> RawPrompt:
    if isinstance(item, str):
        return RawText(item)
    if not isinstance(item, list):
        refuse(path, _EXPECTED)
    return _read_tokens(cast(list[object], item), path)


def _read_tokens(items: list[object], path: str) -> RawTokens:
    """Whether they are ids of this model is for those to say who have its tokenizer."""
    is_valid = all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= _LARGEST_TOKEN_ID
        for item in items
    )
    if not is_valid:
        refuse(path, _EXPECTED)
    return RawTokens(tuple(cast(list[int], items)))
