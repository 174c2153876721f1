"""By which of two ways a product is computed, decided by what both took; and how that is kept.

What was measured lies in the user's cache, in a file named by all that it depends on: measured
once on a machine, not at every load. A file that says something else is as good as none.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

_log = logging.getLogger(__name__)

# Numbers of rows that are measured; others are taken for the next of these.
MEASURED_ROWS = (1, 2, 4, 8, 16)
# What is no quicker by as much is noise: the library's way then stays.
_LEAST_GAIN = 0.03


class Times(msgspec.Struct, frozen=True):
    """Microseconds of one product, by the library and by us."""

    library_us: float
    ours_us: float


# By number of rows, as text: keys of JSON are that.
ShapeTimes = dict[str, Times]
# None where measuring itself failed: on a full disk, say, which need not be full for ever.
Measure = Callable[[int], Times | None]


class Shape(NamedTuple):
    out_features: int
    in_features: int

    def __str__(self) -> str:
        return f"{self.out_features}x{self.in_features}"


def rows_for_ours(times: Mapping[str, Times]) -> frozenset[int]:
    """The numbers of rows that are computed our way."""
    ours: set[int] = set()
    above = 0
    for rows in MEASURED_ROWS:
        measured = times.get(str(rows))
        if measured and measured.ours_us < measured.library_us * (1 - _LEAST_GAIN):
            ours.update(range(above + 1, rows + 1))
        above = rows
    return frozenset(ours)


class TimesFile:
    """Times by shape, read once and written whenever a shape is new."""

    def __init__(self, folder: Path, depends_on: Sequence[str]) -> None:
        """`depends_on`: all but the shapes that the times depend on."""
        key = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()[:16]
        self._path = folder / f"products-{key}.json"
        self._times = self._read()
        self._failed: set[str] = set()

    def times(self, shape: Shape, measure: Measure) -> ShapeTimes:
        """As kept, or else as measured now; none where that failed, which is tried again with the
        next of these files and never kept.
        """
        name = str(shape)
        kept = self._times.get(name)
        if name in self._failed:
            return {}
        if kept is None or kept.keys() != set(map(str, MEASURED_ROWS)):
            kept = {}
            for rows in MEASURED_ROWS:
                measured = measure(rows)
                if measured is None:
                    self._failed.add(name)
                    return {}
                kept[str(rows)] = measured
            self._times[name] = kept
            self._write()
        return kept

    def _read(self) -> dict[str, ShapeTimes]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, ShapeTimes])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("products are measured again, %s cannot be read: %s", self._path, error)
            return {}

    def _write(self) -> None:
        """Whole or not at all; where the cache cannot be written, the next load measures again."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=self._path.parent) as folder:
                written = Path(folder) / self._path.name
                written.write_bytes(msgspec.json.encode(self._times))
                os.replace(written, self._path)
        except OSError as error:
            _log.warning("what products take is not kept: %s", error)
