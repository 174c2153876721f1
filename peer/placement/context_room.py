"""How much of a context one request takes. Pure; the prompt's tokens are counted or estimated."""

from __future__ import annotations

from dataclasses import dataclass

# An answer of which nobody says how long it may become: most are shorter.
_USUAL_ANSWER_TOKENS = 1024
# Clients name limits that hardly an answer reaches.
_LONG_ANSWER_TOKENS = 16_384


@dataclass(frozen=True, slots=True)
class ContextRoom:
    """With the next token of its answer, and with all that it may well come to."""

    least_tokens: int = 0
    whole_tokens: int = 0


def context_room(
    prompt_tokens: int, max_tokens: int | None, num_made: int = 0, *, most_tokens: int
) -> ContextRoom:
    """`max_tokens` is what the client allows of the answer, None where it does not say, and
    `most_tokens` what the context leaves; `num_made` of it are there.
    """
    usual = max_tokens or num_made + _USUAL_ANSWER_TOKENS
    answer_tokens = min(most_tokens, max(num_made + 1, min(usual, _LONG_ANSWER_TOKENS)))
    return ContextRoom(
        prompt_tokens + min(most_tokens, num_made + 1), prompt_tokens + answer_tokens
    )
