"""Prompts that are no chats, as the OpenAI bodies give them: texts or token ids, one or several.

Which field they stand in, and how many there may be, is its reader's to say. Whether token ids are
the model's is for those to say who have its tokenizer.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from cortex.engine.types import RawText, RawTokens

from .decoding import refuse

RawPrompt = RawText | RawTokens
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
PromptField = str | list[TokenId | str | list[TokenId]]

_EXPECTED = "must be a string, a list of strings, a list of token ids, or a list of such lists"


def read_raw_prompts(value: PromptField, name: str, max_prompts: int) -> dict[str, RawPrompt]:
    """All prompts of a field, each by what it is called in errors, in their order."""
    if isinstance(value, str):
        return {name: RawText(value)}
    if not value:
        refuse(name, f"required; {_EXPECTED}")
    if isinstance(value[0], int):
        return {name: _read_tokens(value, name)}
    if len(value) > max_prompts:
        refuse(
            name,
            f"holds {len(value)} prompts, at most {max_prompts} are taken",
            "send several requests",
        )
    paths = [f"{name}[{index}]" for index in range(len(value))]
    return {path: _read_prompt(item, path) for path, item in zip(paths, value, strict=True)}


def _read_prompt(item: int | str | list[int], path: str) -> RawPrompt:
    if isinstance(item, str):
        return RawText(item)
    if isinstance(item, int):
        refuse(path, _EXPECTED)
    return RawTokens(tuple(item))


def _read_tokens(items: list[int | str | list[int]], path: str) -> RawTokens:
    token_ids = tuple(item for item in items if isinstance(item, int))
    if len(token_ids) < len(items):
        refuse(path, _EXPECTED)
    return RawTokens(token_ids)
