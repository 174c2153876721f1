"""How far a drafter is trusted, by what became of its guesses."""

from __future__ import annotations

from cortex.engine.speculation.guesses import Guesses
from cortex.engine.speculation.lookup import PromptLookup


def chance_after(tokens: list[int]) -> float:
    guesses = Guesses(PromptLookup())
    for end in range(4, len(tokens) + 1):
        guesses.after(tokens[:end], 4, 99)
    return guesses.trust.chance


def test_trust_comes_fast_with_guesses_that_prove_right_and_goes_with_others() -> None:
    text = list(range(100, 140))
    stranger = chance_after(text)
    quoting = chance_after([*text, *text[:12]])
    assert stranger < 0.5 < 0.9 < quoting
    # It goes on in another way, whenever three tokens were alike.
    shuffled = [t for i in range(0, 36, 3) for t in (*text[i : i + 3], 999 - i)]
    assert chance_after([*text, *shuffled]) < 0.1


def test_a_guess_is_held_against_the_token_that_came_even_if_it_was_not_computed() -> None:
    guesses = Guesses(PromptLookup())
    before = guesses.trust.chance
    assert guesses.after([1, 2, 3, 4, 1, 2, 3], 1, 99) == [4]
    guesses.after([1, 2, 3, 4, 1, 2, 3, 4], 1, 99)
    assert guesses.trust.chance > before


def test_a_long_prompt_is_taken_in_over_some_steps() -> None:
    guesses = Guesses(PromptLookup())
    prompt = [*range(10_000), 1, 2, 3]
    drafts = [guesses.after(prompt, 2, 4096) for _ in range(4)]
    assert drafts == [[], [], [4, 5], [4, 5]]
