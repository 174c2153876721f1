"""Where things lie: a peer's directories, and the hub that its models come from.

Every command needs these, and few the rest of a peer's config, which takes longer to make.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Locations:
    """Where things lie. `runtime_dir` and `hub_dir` are None where the system has none, `cache_dir`
    where nothing is to be kept that can be made again.

    `data_dir` holds the folder `models`; `runtime_dir` holds what a running peer leaves for local
    commands (else `state_dir` does); `hub_dir` is the Hugging Face cache's folder `hub`.
    """

    data_dir: Path
    state_dir: Path
    runtime_dir: Path | None = None
    hub_dir: Path | None = None
    cache_dir: Path | None = None

    @property
    def note_dirs(self) -> tuple[Path, ...]:
        """Where a running peer leaves its note: who names the state directory finds it as well."""
        return tuple(dict.fromkeys((self.announcements_dir, self.state_dir)))

    @property
    def announcements_dir(self) -> Path:
        return self.runtime_dir or self.state_dir


@dataclass(frozen=True, slots=True)
class HubConfig:
    """Where models are pulled from; the token opens what is not for everybody there."""

    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)
