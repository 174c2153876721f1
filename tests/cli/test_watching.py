"""What is asked for again and again."""

from __future__ import annotations

from itertools import islice

import pytest

from cortex.cli.watching import told_again
from cortex.peer.errors import NoPeer


class Peer:
    """Answers with what there is, one after the other; an error is raised."""

    def __init__(self, *told: int | NoPeer) -> None:
        self._told = [*told]

    def __call__(self) -> int:
        told = self._told.pop(0)
        if isinstance(told, NoPeer):
            raise told
        return told


def test_silence_is_said_once_and_ends_nothing() -> None:
    said: list[str] = []
    gone, away = NoPeer("nobody answers"), NoPeer("atlas has ended")
    peer = Peer(1, gone, gone, away, 2, away, 3)
    assert [*islice(told_again(peer, said.append, lambda: None), 3)] == [1, 2, 3]
    words = ["nobody answers; asking again.", "atlas has ended; asking again."]
    assert said == [*words, words[1]]


def test_what_cannot_be_had_at_first_is_an_error() -> None:
    with pytest.raises(NoPeer):
        next(told_again(Peer(NoPeer("nobody answers")), lambda _: None, lambda: None))
