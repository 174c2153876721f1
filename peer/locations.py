"""Where things lie: a peer's directories, and the hub that its models come from.

Every command needs these, and few the rest of a peer's config, which takes longer to make.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Locations:
    """Where things lie. `runtime_dir` and `hub_dir` are None where the system has none, `cache_dir`
    where nothing is to be kept that can be made again.

    `data_dir` holds the folder `models`, as may `other_data_dirs`, where nothing is put;
    `runtime_dir` holds what a running peer leaves for local commands (else `state_dir` does);
    `hub_dir` is the Hugging Face cache's folder `hub`.
    """

    data_dir: Path
    state_dir: Path
    runtime_dir: Path | None = None
    hub_dir: Path | None = None
    cache_dir: Path | None = None
    other_data_dirs: tuple[Path, ...] = ()

    @property
    def models_dirs(self) -> tuple[Path, ...]:
        """Where models lie that no option names; any of them may be missing."""
        return tuple(one / "models" for one in (self.data_dir, *self.other_data_dirs))

    @property
    def note_dirs(self) -> tuple[Path, ...]:
        """Where a running peer leaves its note: who names the state directory finds it as well."""
        return tuple(dict.fromkeys((self.announcements_dir, self.state_dir)))

    @property
    def compiled_dir(self) -> Path:
        """Where engines keep what they compile for GPUs: with what can be made again, or with the
        state where nothing can be written there, as in a home that is nobody's.
        """
        cache_dir = self.cache_dir or self.state_dir
        return cache_dir if can_write(nearest_folder(cache_dir)) else self.state_dir

    @property
    def announcements_dir(self) -> Path:
        return self.runtime_dir or self.state_dir


def nearest_folder(path: Path) -> Path:
    """Itself, or the nearest one above it that is there."""
    return next(one for one in (path, *path.absolute().parents) if os.path.exists(one))


def can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


@dataclass(frozen=True, slots=True)
class HubConfig:
    """Where models are pulled from; the token opens what is not for everybody there."""

    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)
