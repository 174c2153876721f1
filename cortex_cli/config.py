"""The environment and the command line become one PeerConfig; nothing else reads the environment.

Options that have a `CORTEX_…` name are read by typer, where they are declared; the directories of
the system and what the terminal can do are read here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from cortex.engine.wishes import DtypeWish, KernelsWish, ModeWish, Wishes
from cortex.peer.config import EngineKind, Locations, PeerConfig

# What engine processes inherit unless somebody has set it. How long GNU OpenMP's threads spin while
# they wait for each other: beside another busy process the library's own default made a step thirty
# times slower (bench/results/spinning-cpu.json). That glibc asks for huge pages: a step is some
# percent shorter (bench/results/steps-bfloat16.json).
_INHERITED = {"GOMP_SPINCOUNT": "5000", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(slots=True)
class Invocation:
    """One run of the command: where it runs, and whether it was asked to say more."""

    locations: Locations
    can_redraw: bool
    verbose: bool = False

    @property
    def error_log(self) -> Path:
        return self.locations.state_dir / "last-error.log"

    def keep_state_in(self, folder: Path) -> None:
        """Everything that would lie with the system's state or running peers lies in `folder`."""
        self.locations = replace(self.locations, state_dir=folder, runtime_dir=None)


@dataclass(frozen=True, slots=True)
class EngineWishes:
    """The options that say which models there are and what computes them."""

    models_dirs: Sequence[Path] | None = None
    engine: EngineKind = "torch"
    fake_script: Path | None = None
    fake_token_interval_ms: int = 0
    cpu_threads: int | None = None
    memory_bytes: int | None = None
    mode: ModeWish = "auto"
    dtype: DtypeWish = "auto"
    kernels: KernelsWish = "auto"


def this_invocation() -> Invocation:
    """The one that this process is."""
    for name, value in _INHERITED.items():
        os.environ.setdefault(name, value)
    return read_environment(os.environ)


def read_environment(environ: Mapping[str, str]) -> Invocation:
    return Invocation(find_locations(environ), can_redraw=environ.get("TERM", "") != "dumb")


def find_locations(environ: Mapping[str, str]) -> Locations:
    """The directories of the system: XDG's on Linux, their counterparts elsewhere."""
    system = platformdirs.PlatformDirs("cortex", appauthor=False)
    runtime_dir = environ.get("XDG_RUNTIME_DIR")
    return Locations(
        data_dir=system.user_data_path,
        state_dir=system.user_state_path,
        runtime_dir=Path(runtime_dir) / "cortex" if runtime_dir else None,
        hub_dir=_hub_dir(environ),
    )


def peer_config(locations: Locations, wishes: EngineWishes) -> PeerConfig:
    """A peer for this machine; what only a served peer is told is added by its command."""
    return PeerConfig(
        locations=locations,
        models_dirs=tuple(wishes.models_dirs or ()),
        engine=wishes.engine,
        fake_script=wishes.fake_script,
        fake_token_interval_ms=wishes.fake_token_interval_ms,
        cpu_threads=wishes.cpu_threads,
        memory_bytes=wishes.memory_bytes,
        wishes=Wishes(wishes.mode, wishes.dtype, wishes.kernels),
    )


def _hub_dir(environ: Mapping[str, str]) -> Path | None:
    """The Hugging Face cache, by the variables that its own tools obey."""
    if hub := environ.get("HF_HUB_CACHE"):
        return Path(hub)
    if home := environ.get("HF_HOME"):
        return Path(home) / "hub"
    cache = environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache else Path("~/.cache").expanduser()
    hub_dir = base / "huggingface" / "hub"
    return hub_dir if hub_dir.is_dir() else None
