"""One look at the files of models, which opens only what has changed since the look before.

The system is asked once for each file, however many questions there are to it. What was made of a
file is kept with its inode, size and times, and made again when one of these is another. Clocks of
file systems may be coarse: a file replaced by one of its size soon after has the same times. So
nothing is kept for good that was read while its times were new, by this machine's own clock, which
the clock of a file server need not agree with. What models are is not known here.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Of a name that no file has, or can have; anything else leaves open whether there is one.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# FAT tells a file's time in steps of two seconds, others that are still about in steps of one.
_COARSEST_CLOCK_S = 2.0


@dataclass(frozen=True, slots=True)
class _Made:
    """`seen_s` is when the file was first seen as it is. It was read at least the coarsest step of
    a clock after that where this `is_settled`: a later write has another time. What is not valid
    has no value.
    """

    signature: tuple[int, ...]
    seen_s: float
    is_settled: bool
    value: object
    is_valid: bool


class Look:
    """For one thread at a time. `next` gives the one after it, which knows what this one made."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By path; the number of the error where there was one.
        self._stats: dict[Path, os.stat_result | int] = {}
        self._names: dict[Path, list[str]] = {}
        # By path, and by what makes it.
        self._before: dict[tuple[Path, Callable[[Path], Any]], _Made] = {}
        self._made: dict[tuple[Path, Callable[[Path], Any]], _Made] = {}

    def next(self) -> Look:
        """What this one was not asked for is forgotten."""
        following = Look(self._clock)
        following._before = self._made
        return following

    def stat(self, path: Path) -> os.stat_result:
        """As it was when this look first asked. Raises OSError."""
        found = self._stats.get(path)
        if found is None:
            found = self._stats[path] = _stat(path)
        if isinstance(found, int):
            raise OSError(found, os.strerror(found), str(path))
        return found

    def is_file(self, path: Path) -> bool:
        """What may not be asked about is none."""
        try:
            return self.is_surely_file(path)
        except OSError:
            return False

    def is_surely_file(self, path: Path) -> bool:
        """Raises OSError where nobody can say, as of a disk that does not answer for a moment."""
        try:
            return S_ISREG(self.stat(path).st_mode)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise

    def names(self, folder: Path) -> list[str]:
        """Of what lies in it, in no order. Raises OSError. They are asked for anew by each look:
        there are file systems on which a folder's own time stands still.
        """
        names = self._names.get(folder)
        if names is None:
            names = self._names[folder] = os.listdir(folder)
        return names

    def made(self, path: Path, make: Callable[[Path], T]) -> T:
        """What `make` makes of a file. Raises ValueError where that does: it is up to the file, and
        kept as well; what else it raises may pass, and is not. Raises OSError where there is no
        file: whoever opens a pipe may wait for ever.
        """
        done = self._done(path, make)
        if not done.is_valid:
            raise ValueError(str(path))
        return cast(T, done.value)

    def _done(self, path: Path, make: Callable[[Path], Any]) -> _Made:
        key = path, make
        if (done := self._made.get(key)) is not None:
            return done
        stat = self.stat(path)
        if not S_ISREG(stat.st_mode):
            raise OSError(errno.EINVAL, "no file", str(path))
        signature = _signature(stat)
        now_s = self._clock()
        before = self._before.get(key)
        if before is None or before.signature != signature:
            before = None
        if before is not None and before.is_settled:
            self._made[key] = before
            return before
        seen_s = now_s if before is None else before.seen_s
        is_settled = now_s - seen_s >= _COARSEST_CLOCK_S
        try:
            value, is_valid = make(path), True
        except ValueError:  # the error itself would hold on to what was read
            value, is_valid = None, False
        done = self._made[key] = _Made(signature, seen_s, is_settled, value, is_valid)
        return done


def _stat(path: Path) -> os.stat_result | int:
    try:
        return os.stat(path)
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:  # no system has a file of such a name
        return errno.ENOENT


def _signature(stat: os.stat_result) -> tuple[int, ...]:
    """A file that is put in another's place with its time kept has another inode, one that is
    written over another time of change.
    """
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
