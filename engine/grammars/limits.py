"""How much work and memory the grammar library may spend on one answer.

The same where a grammar is tried and where it is used, so that what was taken there works here.
With llguidance 1.9.1 on one core a grammar at these limits compiles in tenths of a second, and a
mask takes tens of milliseconds at most.
"""

from __future__ import annotations

import llguidance


def parser_limits() -> llguidance.LLParserLimits:
    return llguidance.LLParserLimits(
        max_items_in_row=2_000,
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=200_000,
        step_max_items=50_000,
        # One or two kB each.
        max_lexer_states=20_000,
        max_grammar_size=200_000,
        # That would walk all tokens while compiling; it is bounded better step by step.
        precompute_large_lexemes=False,
        # Errors reach logs: they must not hold what a client or a model wrote.
        verbose_errors=False,
    )
