"""What goes where the budget is full, and what stays."""

from __future__ import annotations

import itertools

import pytest

from cortex.engine.cache.ledger import LIVE_S
from cortex.engine.cache.prefix import Source
from tests.engine.cache.trees import (
    KV_BYTES,
    STATE_BYTES,
    Clock,
    Store,
    find,
    hybrid,
    insert,
    plain,
    remember,
    split,
    token_symbols,
    use,
)


def test_grid_goes_before_head_and_last_two_turns() -> None:
    # The head at 10, turns at 20, 40, 60, and grid points between them.
    _, tree = hybrid(budget_bytes=70 * KV_BYTES + 4 * STATE_BYTES)
    for end in (10, 15, 20, 30, 40, 50, 60, 70):
        remember(tree, range(70), end, is_border=end in (10, 20, 40, 60))
    usable = [end for end in range(1, 70) if find(tree, range(71), (end,)).num_tokens]
    assert usable == [10, 40, 60]
    assert find(tree, range(71)).num_tokens == 70


def test_inside_a_long_message_the_states_that_stay_lie_evenly() -> None:
    ends = range(8, 136, 8)
    for num_states in (8, 4):
        _, tree = hybrid(budget_bytes=128 * KV_BYTES + num_states * STATE_BYTES)
        remember(tree, range(128), *ends, is_border=False)
        found = [end for end in ends if find(tree, range(129), (end,)).num_tokens]
        gaps = [below - above for above, below in itertools.pairwise([0, *found])]
        assert len(found) == num_states and found[-1] == 128
        assert max(gaps) <= 2 * 128 / num_states


def test_where_an_answer_began_stays_until_the_next_question() -> None:
    _, tree = hybrid(budget_bytes=80 * KV_BYTES + 5 * STATE_BYTES)
    for end in range(10, 90, 10):
        insert(tree, token_symbols(range(80)), end, begins_answer=end == 30)
    found = [end for end in range(10, 90, 10) if find(tree, range(81), (end,)).num_tokens]
    assert found == [10, 30, 60, 70, 80]
    insert(tree, token_symbols(range(80)), 80, begins_answer=True)
    assert remember(tree, [99])
    assert find(tree, range(81), (30,)).num_tokens == 0


def test_last_turn_of_a_resting_conversation_outlives_the_grid_of_a_busy_one() -> None:
    resting, busy = range(100, 110), range(0, 30)
    clock = Clock()
    _, tree = hybrid(40 * KV_BYTES + 4 * STATE_BYTES, clock)
    remember(tree, resting)
    remember(tree, busy, 10, 20, 30, is_border=False)
    for _ in range(1000):
        clock.now_s += LIVE_S / 2000
        use(tree, [*busy, 99])
    assert remember(tree, [200])
    assert find(tree, [*resting, 99]).num_tokens == 10
    assert find(tree, [*busy[:10], 99]).num_tokens == 0


def test_conversation_nobody_comes_back_to_goes_before_a_live_ones_grid() -> None:
    old, live = range(100, 110), range(0, 30)
    clock = Clock()
    store, tree = hybrid(10 * KV_BYTES + 30 * KV_BYTES + 4 * STATE_BYTES, clock)
    remember(tree, old)
    for end in (10, 20, 30):
        remember(tree, live, end, is_border=False)
    clock.now_s += LIVE_S + 1
    use(tree, [*live, 99])
    assert remember(tree, [200])
    assert use(tree, [*old, 99]) == 0
    assert find(tree, [*live[:10], 99]).num_tokens == 10
    store.check_integrity()


def test_all_live_conversations_grow_thin_alike_and_the_oldest_first() -> None:
    clock = Clock()
    old, new = range(100, 164), range(200, 264)
    store, tree = hybrid(128 * KV_BYTES + 9 * STATE_BYTES, clock)
    remember(tree, old, 16, 32, 48, 64, is_border=False)
    clock.now_s += LIVE_S / 4
    remember(tree, new, 8, 16, 32, 48, 64, is_border=False)
    left: list[tuple[list[int], list[int]]] = []
    for _ in range(4):
        left.append(
            (
                [end for end in (16, 32, 48) if find(tree, old, (end,)).num_tokens],
                [end for end in (8, 16, 32, 48) if find(tree, new, (end,)).num_tokens],
            )
        )
        assert store.reserve(STATE_BYTES) is not None
    assert left == [
        ([16, 32, 48], [8, 16, 32, 48]),
        ([16, 32, 48], [16, 32, 48]),
        ([32, 48], [16, 32, 48]),
        ([32], [16, 32, 48]),
    ]


def test_turns_of_a_model_without_states_outlive_what_nobody_wants_next_of_another() -> None:
    store = Store(500)
    whole, grid = store.tree("plain", split), store.tree("hybrid", None)
    remember(whole, range(10))
    remember(grid, range(10), 5, 10, is_border=False)
    remember(whole, range(100, 120))
    assert [find(whole, range(at, at + 30)).num_tokens for at in (0, 100)] == [10, 20]
    assert find(grid, [*range(5), 99]).num_tokens == 0
    store.check_integrity()


def test_without_states_the_leaf_used_longest_ago_goes_first() -> None:
    store, tree = plain(budget_bytes=300)
    trunk = list(range(10))
    for branch in (100, 200):
        remember(tree, [*trunk, *range(branch, branch + 10)])
    use(tree, [*trunk, *range(100, 111)])
    assert remember(tree, range(1000, 1010))
    assert find(tree, [*trunk, *range(200, 211)]).num_tokens == 10
    assert find(tree, [*trunk, *range(100, 111)]).num_tokens == 20
    store.check_integrity()


def test_keys_and_values_that_no_state_stands_behind_are_let_go() -> None:
    store, tree = hybrid(budget_bytes=500)
    remember(tree, range(10), 5, 10, is_border=False)
    remember(tree, range(100, 110), is_border=False)
    assert store.used_bytes == 500
    assert remember(tree, range(200, 225))
    store.check_integrity()
    assert find(tree, range(20)).num_tokens == 0
    assert store.used_bytes == 350


def test_what_lost_its_last_use_while_it_was_built_upon_is_let_go() -> None:
    store, tree = hybrid(budget_bytes=500)
    remember(tree, range(10), 5, 10, is_border=False)
    remember(tree, range(100, 110))
    # This takes the state at 5; the next would go on from its keys and values.
    assert store.reserve(100) is not None

    def broken(start: int, end: int) -> bytes:
        raise MemoryError

    symbols = token_symbols([*range(5), *range(50, 57)])
    with pytest.raises(MemoryError):
        tree.insert(symbols, 12, Source(broken, KV_BYTES, None, 220), is_border=True)
    store.check_integrity()
    assert store.used_bytes == 0


def test_state_that_went_is_taken_again_where_the_tokens_stayed() -> None:
    store, tree = hybrid(budget_bytes=10 * KV_BYTES + 2 * STATE_BYTES)
    remember(tree, range(10), 3, 6, 10, is_border=False)
    assert find(tree, [*range(3), 99]).num_tokens == 0
    assert remember(tree, range(10), 3)
    assert find(tree, [*range(3), 99]).num_tokens == 3
    store.check_integrity()


def test_what_is_being_restored_stays() -> None:
    for store, tree in (hybrid(budget_bytes=200), plain(budget_bytes=100)):
        remember(tree, range(10))
        with tree.restoring(find(tree, range(11))):
            assert not remember(tree, range(100, 110))
            assert find(tree, range(11)).num_tokens == 10
        assert remember(tree, range(100, 110))
        assert find(tree, range(11)).num_tokens == 0
        store.check_integrity()


def test_match_whose_node_has_gone_can_still_be_restored() -> None:
    store, tree = hybrid(budget_bytes=200)
    remember(tree, range(10))
    match = find(tree, range(11))
    remember(tree, range(100, 110))
    with tree.restoring(match):
        assert match.state == token_symbols(range(10))
    store.check_integrity()


def test_what_can_never_fit_evicts_nobody() -> None:
    store, tree = hybrid(budget_bytes=300)
    remember(tree, range(10))
    assert not remember(tree, range(100, 121))
    assert use(tree, range(11)) == 10
    assert store.used_bytes == 10 * KV_BYTES + STATE_BYTES


def test_what_does_not_fit_beside_what_must_stay_evicts_nobody() -> None:
    for store, tree in (hybrid(budget_bytes=600), plain(budget_bytes=300)):
        for branch in (100, 200):
            remember(tree, range(branch, branch + 10))
        with tree.restoring(find(tree, range(100, 111))):
            assert store.reserve(450 if tree.is_recurrent else 250) is None
        assert [use(tree, range(at, at + 11)) for at in (100, 200)] == [10, 10]


def test_prompt_too_long_for_the_budget_takes_what_nobody_wants_next_alone() -> None:
    clock = Clock()
    store, tree = hybrid(600, clock)
    remember(tree, range(10))
    remember(tree, range(100, 110), is_border=False)
    too_long = range(200, 300)
    assert remember(tree, too_long, 10, 20, is_border=False)
    assert (use(tree, range(11)), use(tree, range(100, 111))) == (10, 0)
    assert not remember(tree, too_long, 30, is_border=False)
    assert store.used_bytes == 600
    clock.now_s += LIVE_S + 1
    assert remember(tree, too_long, 30, is_border=False)
    assert use(tree, range(11)) == 0
    store.check_integrity()
