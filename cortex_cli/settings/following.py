"""The files of settings as a running peer looks at them again and again.

What a running peer cannot take up stays as it was at the start, until the restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cortex.engine.errors import CortexError
from cortex.peer.config import PeerConfig
from cortex.peer.serving.reloading import Reading

from .reading import MODELS_NAME, Settings, read_settings
from .sections import SECTIONS

_Stamp = tuple[tuple[str, int, int, int], ...]


class FollowedFiles:
    """`find` says which file it is now, and `build` makes a config of what it says."""

    def __init__(
        self,
        started: Settings,
        find: Callable[[], Path | None],
        build: Callable[[Settings], PeerConfig],
    ) -> None:
        self._started = started
        self._find = find
        self._build = build
        # Of the files as they were taken up, and as the last look saw them.
        self._stamp = self._seen = _stamp_of(find())

    def look(self, *, is_forced: bool) -> Reading | None:
        path = self._find()
        stamp = _stamp_of(path)
        # A file that somebody is still writing reads well: without the keys at its end, say.
        is_still, self._seen = stamp == self._seen, stamp
        if not is_forced and (stamp == self._stamp or not is_still):
            return None
        self._stamp = stamp
        try:
            fresh = read_settings(path)
            if not is_forced and _stamp_of(path) != stamp:
                return None  # somebody began to write it as it was read
            config = self._build(merged(self._started, fresh))
        except CortexError as error:
            return Reading(None, problem=error.message)
        return Reading(config, needs_restart=tuple(waiting(self._started, fresh)))


def merged(started: Settings, fresh: Settings) -> Settings:
    """The fresh ones, but for what a running peer cannot take up."""
    values: dict[tuple[str, str], Any] = {
        **{name: value for name, value in started.values.items() if not _is_live(name)},
        **{name: value for name, value in fresh.values.items() if _is_live(name)},
    }
    return replace(fresh, values=values)


def waiting(started: Settings, fresh: Settings) -> Iterator[str]:
    """The settings that have changed and wait for a restart."""
    for name in sorted({*started.values, *fresh.values}):
        is_other = started.values.get(name) != fresh.values.get(name)
        if is_other and not _is_live(name):
            yield f"[{name[0]}] {name[1]}"
    if _preloaded(started) != _preloaded(fresh):
        yield "[[models]] preload"


def _is_live(name: tuple[str, str]) -> bool:
    section, key = name
    return SECTIONS[section][key].is_live


def _preloaded(settings: Settings) -> set[str]:
    return {model.id for model in settings.models if model.is_preloaded}


def _stamp_of(path: Path | None) -> _Stamp:
    """Which files there are, and when they were last written."""
    paths = [] if path is None else [path, path.parent / MODELS_NAME]
    return tuple(stamp for each in paths for stamp in _stamps(each))


def _stamps(path: Path) -> Iterator[tuple[str, int, int, int]]:
    try:
        stat = path.stat()
    except OSError:
        return
    yield str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino
