"""When an engine is started anew for its memory's sake. The numbers of a GPU are made up: none was
there to try it on.
"""

from __future__ import annotations

from cortex.peer.devices.wear import is_swollen, is_torn

MIB, GIB = 1 << 20, 1 << 30


def test_an_engine_may_hold_a_twentieth_more_than_it_was_told_to():
    assert not is_swollen(21 * GIB, 20 * GIB)
    assert is_swollen(21 * GIB + 1, 20 * GIB)


def test_a_small_engine_may_hold_a_quarter_of_a_gibibyte_more():
    assert not is_swollen(GIB + 256 * MIB, GIB)
    assert is_swollen(GIB + 256 * MIB + 1, GIB)


def test_gaps_matter_where_a_model_that_was_promised_room_would_find_none():
    # 40 GiB are free by the books; a model of 38 GiB finds 36 in one piece.
    assert is_torn(4 * GIB, 40 * GIB)
    assert not is_torn(2 * GIB, 40 * GIB)
    assert not is_torn(0, 0)


def test_gaps_of_a_full_device_are_suffered_up_to_a_quarter_of_a_gibibyte():
    assert not is_torn(256 * MIB, 0)
    assert is_torn(256 * MIB + 1, 0)
