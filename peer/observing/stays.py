"""How long requests are here, from their coming to their end, and what that makes of a wait.

It goes by those of late: a peer runs for months, and what it is asked for changes within the hour.
Vectors are counted apart, for thousands of them come and go while one answer is made.
"""

from __future__ import annotations

from collections.abc import Iterable

# A new one changes the mean by this share of what it differs, once there have been so many.
_NUM_LATE = 32
# Of a model that answers, none ends for so many times as long as one takes: it answers no more.
_NUM_MISSED = 10


class _LateMean:
    """Of all while they are few, and then of the last ones, the newest of which count the most."""

    def __init__(self) -> None:
        self.value = 0.0
        self._num = 0

    def add(self, value: float) -> None:
        self._num = min(self._num + 1, _NUM_LATE)
        self.value += (value - self.value) / self._num


class Stays:
    """Those with one model, as they end. `now_s` is by any one clock."""

    def __init__(self) -> None:
        self._answers, self._vectors = _LateMean(), _LateMean()
        self._last_answer_s = self._last_vector_s = 0.0

    def answered(self, now_s: float, stay_s: float) -> None:
        self._answers.add(stay_s)
        self._last_answer_s = now_s

    def turned_into_vector(self, now_s: float, stay_s: float) -> None:
        self._vectors.add(stay_s)
        self._last_vector_s = now_s

    @property
    def mean_s(self) -> float:
        """Of an answer, unless several could have been made since the last one and there have been
        vectors alone: then of a vector. 0 where nothing has ended.
        """
        silent_s = self._last_vector_s - self._last_answer_s
        is_past = silent_s > _NUM_MISSED * self._answers.value
        return self._vectors.value if is_past else self._answers.value


def mean_stay_s(stays: Iterable[tuple[int, float]]) -> float:
    """Of those that are there: how many live ones, and how long one stays, by model. Each model
    frees its places at a pace of its own, so that the quick ones count the more. Those of which
    nothing is known are left out; where nobody is there, each model that is known is one.
    """
    known = [(num_live, stay_s) for num_live, stay_s in stays if stay_s]
    there = [each for each in known if each[0]] or [(1, stay_s) for _, stay_s in known]
    num_ends_a_s = sum(num_live / stay_s for num_live, stay_s in there)
    return sum(num_live for num_live, _ in there) / num_ends_a_s if there else 0.0


def wait_s(stay_s: float, num_live: int, num_waiting: int) -> float:
    """How long one more request waits for its turn, behind those of the live ones that wait.

    One of them ends every `stay_s / num_live`, for its stay is counted from its coming.
    """
    return stay_s * (num_waiting + 1) / max(num_live, 1)
