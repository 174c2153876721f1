"""How long requests are here, from their coming to their end, and what that makes of a wait.

It goes by those of late: a peer runs for months, and what it is asked for changes within the hour.
Vectors are counted apart, for thousands of them come and go while one answer is made.
"""

from __future__ import annotations

# A new one changes the mean by this share of what it differs, once there have been so many.
_NUM_LATE = 32


class _LateMean:
    """Of all while they are few, and then of the last ones, the newest of which count the most."""

    def __init__(self) -> None:
        self.value = 0.0
        self._num = 0

    def add(self, value: float) -> None:
        self._num = min(self._num + 1, _NUM_LATE)
        self.value += (value - self.value) / self._num


class Stays:
    """Those with one model; they count among those of `whole` too."""

    def __init__(self, whole: Stays | None = None) -> None:
        self._answers, self._vectors = _LateMean(), _LateMean()
        self._whole = whole

    def answered(self, stay_s: float) -> None:
        self._answers.add(stay_s)
        if self._whole is not None:
            self._whole.answered(stay_s)

    def turned_into_vector(self, stay_s: float) -> None:
        self._vectors.add(stay_s)
        if self._whole is not None:
            self._whole.turned_into_vector(stay_s)

    @property
    def mean_s(self) -> float:
        """Of an answer; of a vector where there has been no answer; 0 where nothing has ended."""
        return self._answers.value or self._vectors.value


def wait_s(stay_s: float, num_live: int, num_waiting: int) -> float:
    """How long one more request waits for its turn, behind those of the live ones that wait.

    One of them ends every `stay_s / num_live`, for its stay is counted from its coming.
    """
    return stay_s * (num_waiting + 1) / max(num_live, 1)
