"""Text that is far too long for its model, found out before all of it has been encoded.

Encoding tens of megabytes takes a minute, in which nobody else's text is read. A text that may fit
is never cut: it costs what it did before. What a token is, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import ContextLengthExceeded, InvalidRequest
from .types import Prompt

# Prose has four characters a token: longer texts than so many of them are looked at in slices.
_USUAL_CHARS_PER_TOKEN = 8
_SLICE_CHARS = 512 * 1024
# A cut may part what is one token, and make some of it.
_TOKENS_PER_CUT = 64
# About a million tokens, of whatever length, more than any context has.
_MAX_COUNTED_CHARS = 4 * 1024 * 1024


Encode = Callable[[str], list[int]]


def encode_text(
    encode: Encode,
    text: str,
    param: str,
    context_tokens: int | None,
    check_wanted: Callable[[], None],
) -> list[int]:
    """The tokens of a text that may fit the context; None is for counting alone.

    Raises ContextLengthExceeded, or InvalidRequest for what nobody waits to have counted.
    """
    if context_tokens is None:
        _check_countable(text)
    elif (about := excessive_tokens(encode, text, context_tokens, check_wanted)) is not None:
        raise too_long(about, context_tokens, param)
    return encode(text)


def too_long(prompt_tokens: int, context_tokens: int, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"prompt is too long: {prompt_tokens} tokens > {context_tokens} maximum",
        # LiteLLM looks for these words, and for nothing in the first sentence.
        f"this model's maximum context length is {context_tokens} tokens: shorten the conversation,"
        " or send fewer or smaller pictures",
        param=param,
    )


def check_capacity(prompt: Prompt, num_made: int, capacity_tokens: int) -> None:
    """Raises ContextLengthExceeded. An answer needs room for its first token, a vector for none;
    one that began elsewhere, where there may be more of it, for all that it has.
    """
    most_tokens = capacity_tokens - max(min(1, prompt.max_tokens), num_made)
    if len(prompt.token_ids) > most_tokens:
        raise too_long(len(prompt.token_ids), most_tokens, "messages")


def excessive_tokens(
    encode: Encode,
    text: str,
    most_tokens: int,
    check_wanted: Callable[[], None] = lambda: None,
) -> int | None:
    """About how many tokens the text has, if it has clearly more than `most_tokens`, else None."""
    if len(text) <= max(most_tokens * _USUAL_CHARS_PER_TOKEN, _SLICE_CHARS):
        return None
    num_tokens = 0
    for begin in range(0, len(text), _SLICE_CHARS):
        check_wanted()
        piece = text[begin : begin + _SLICE_CHARS]
        num_tokens += max(len(encode(piece)) - _TOKENS_PER_CUT, 0)
        if num_tokens > most_tokens:
            return num_tokens * len(text) // (begin + len(piece))
    return None


def _check_countable(text: str) -> None:
    if len(text) > _MAX_COUNTED_CHARS:
        raise InvalidRequest(
            f"a prompt of {len(text)} characters is too long to count its tokens",
            f"count pieces of at most {_MAX_COUNTED_CHARS} characters",
            param="messages",
        )
