"""What is left of the long conversations of agents in a budget that does not hold all of them."""

from __future__ import annotations

from collections.abc import Sequence

from cortex.engine.cache.prefix import PrefixTree, Source
from cortex.engine.cache.store import PrefixStore
from cortex.engine.chunks import chunk_ends, remembered_ends
from tests.engine.cache.trees import token_symbols

# A model of nine billion weights.
TOKEN_BYTES = 36 << 10
STATE_BYTES = 50 << 20
GIB = 1 << 30
SYSTEM_TOKENS = 20_000
TURN_TOKENS = 1_500


class Agents:
    """Who they are to one model that remembers: prompts are read as an engine reads them.

    A turn begins every so many tokens behind the system's. The clock is turned by hand.
    """

    def __init__(self, budget_gib: float) -> None:
        self.now_s = 0.0
        self.store: PrefixStore[int, int] = PrefixStore(
            int(budget_gib * GIB), clock=lambda: self.now_s
        )
        self.tree: PrefixTree[int, int] = self.store.tree("model", None)
        self.source: Source[int, int] = Source(
            lambda start, end: end - start, TOKEN_BYTES, lambda: 1, STATE_BYTES
        )

    def ask(
        self, prompt: Sequence[int], answer_start: int = 0, first_border: int = SYSTEM_TOKENS
    ) -> int:
        """How many tokens of a prompt had not to be read."""
        self.now_s += 10
        turns = range(first_border, len(prompt), TURN_TOKENS)
        boundaries = tuple(sorted({*turns, answer_start} - {0}))
        cuts = chunk_ends(len(prompt), boundaries)
        symbols = token_symbols(prompt)
        match = self.tree.lookup(symbols, cuts)
        with self.tree.restoring(match):
            pass
        for end in remembered_ends(len(prompt), boundaries, 1024, answer_start=answer_start):
            if end > match.num_tokens:
                self.tree.insert(
                    symbols,
                    end,
                    self.source,
                    is_border=end in boundaries,
                    begins_answer=end == answer_start,
                    allowed_ends=cuts,
                )
        self.store.check_integrity()
        return match.num_tokens


def said_by(who: int, num_tokens: int) -> list[int]:
    """Behind the system's turn, which all have, their own words."""
    return [*range(SYSTEM_TOKENS), *[who] * (num_tokens - SYSTEM_TOKENS)]


def test_prompt_that_can_never_be_remembered_whole_takes_no_conversations_next_turn() -> None:
    agents = Agents(budget_gib=5)
    agents.ask(said_by(1, 36_000))

    agents.ask(said_by(2, 185_000))

    assert agents.ask(said_by(1, 36_400)) == 35_000
    assert agents.ask(said_by(2, 186_000)) > 80_000
    agents.now_s += 4000
    agents.ask(said_by(2, 187_000))
    assert agents.ask(said_by(1, 36_400)) == SYSTEM_TOKENS


def test_agent_that_waits_for_its_sub_agents_goes_on_where_it_was() -> None:
    agents = Agents(budget_gib=14)
    agents.ask(said_by(1, 140_000))

    for turn in range(1, 25):
        for who in range(2, 7):
            agents.ask(said_by(who, SYSTEM_TOKENS + turn * TURN_TOKENS))

    assert agents.store.used_bytes > 13.8 * GIB
    assert agents.ask(said_by(1, 141_000)) > 139_000


def test_long_conversation_outlasts_short_requests_that_nobody_comes_back_to() -> None:
    agents = Agents(budget_gib=5.3)
    agents.ask(said_by(1, 100_000))

    for who in range(2, 152):
        agents.ask([who] * 3_000, first_border=1_000)

    assert agents.ask(said_by(1, 100_100)) > 96_000


def test_so_it_does_fresh_sub_agents() -> None:
    agents = Agents(budget_gib=14)
    agents.ask(said_by(1, 140_000))

    for who in range(2, 102):
        agents.ask(said_by(who, SYSTEM_TOKENS + 4_000))

    assert agents.ask(said_by(1, 140_100)) > 136_000


def test_long_conversation_is_forgotten_when_nobody_came_back_for_hours() -> None:
    agents = Agents(budget_gib=5.3)
    agents.ask(said_by(1, 100_000))
    agents.now_s += 4 * 3600

    for who in range(2, 42):
        agents.ask([who] * 3_000, first_border=1_000)

    assert agents.ask(said_by(1, 100_100)) <= SYSTEM_TOKENS


def test_conversation_under_pressure_can_be_taken_up_all_along() -> None:
    agents = Agents(budget_gib=6)
    whole = said_by(1, 140_000)
    agents.ask(whole)

    hits = {
        end: agents.tree.lookup(token_symbols([*whole[:end], 2])).num_tokens
        for end in range(30_000, 140_000, 10_000)
    }

    assert all(end - hit <= 9_000 for end, hit in hits.items())


def test_next_question_goes_on_where_the_answer_to_the_last_one_began() -> None:
    agents = Agents(budget_gib=5.3)
    asked_at = 101_000
    for num_tokens in range(asked_at + 1, 140_000, TURN_TOKENS):
        agents.ask(said_by(1, num_tokens), answer_start=asked_at)

    without_reasoning = [*said_by(1, asked_at), *[2] * 5_000]

    assert agents.ask(without_reasoning) == asked_at
