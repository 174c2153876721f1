"""Files, environment and command line become one PeerConfig; nothing else reads `os.environ`.
The hub finds its proxies, and whoever looks for a program or a home folder finds that, through the
standard library.

Options that have a `CORTEX_…` name are read by typer, where they are declared, and take what a file
of settings says where nobody says more; the directories of the system, the key that peers are asked
with, and what the terminal can do are read here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from cortex.engine.wishes import Wishes
from cortex.peer.locations import HubConfig, Locations

from .colours import colour_wish, moves_cursor
from .errors import UsageProblem

if TYPE_CHECKING:
    from cortex.peer.config import PeerConfig

    from .engine_options import EngineWishes
    from .settings.reading import Settings

# What engine processes inherit unless somebody has set it. How long GNU OpenMP's threads spin while
# they wait for each other: beside another busy process the library's own default made a step thirty
# times slower (bench/spinning.py of commit 6fb24bd2, since removed). That glibc asks for huge
# pages: a step is some percent shorter (bench/results/steps-bfloat16.json).
_INHERITED = {"GOMP_SPINCOUNT": "5000", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

_TRITON, _TRITON_HOME, _CUDA = "TRITON_CACHE_DIR", "TRITON_HOME", "CUDA_CACHE_PATH"

# A key has no option: what is typed can be read by every user of the machine.
KEY_VARIABLE = "CORTEX_API_KEY"


@dataclass(frozen=True, slots=True)
class Supervision:
    """How to reach the service manager that started this process, and the silence that would end
    it, where there is one.
    """

    address: str
    silence_s: float | None


@dataclass(slots=True)
class Invocation:
    """One run of the command: where it runs, and whether it was asked to say more.

    `settings_dirs` are searched for a file of settings, in order; `key_words` are what stands where
    the key belongs that peers are asked with. Where `colour_wish` is None, terminals are coloured.
    `is_remote` says that the terminal is reached over a network; `supervision` is there where a
    service manager runs it; `read` is what a file of settings says, once one was looked for. With
    `timeout_s` it is ended after that, and then `is_late`.
    """

    locations: Locations
    can_redraw: bool
    hub: HubConfig = field(default_factory=HubConfig)
    settings_dirs: tuple[Path, ...] = ()
    key_words: str = ""
    supervision: Supervision | None = None
    colour_wish: bool | None = None
    is_remote: bool = False
    verbose: bool = False
    read: Settings | None = None
    timeout_s: float | None = None
    is_late: bool = False

    @property
    def api_key(self) -> str | None:
        """What peers are asked with. Raises UsageProblem for what no header may hold."""
        key = self.key_words.strip()
        if not key.isprintable():
            raise UsageProblem(
                f"{KEY_VARIABLE} holds characters that are in no key.",
                "was it read from a file with more in it than the key?",
            )
        return key or None

    def has_colour(self, *, is_terminal: bool) -> bool:
        """Whether what goes to a stream may be coloured."""
        return is_terminal if self.colour_wish is None else self.colour_wish

    @property
    def error_log(self) -> Path:
        return self.locations.state_dir / "last-error.log"

    def keep_state_in(self, folder: Path) -> None:
        """Everything that would lie with the system's state or running peers lies in `folder`."""
        self.locations = replace(self.locations, state_dir=folder, runtime_dir=None)

    @property
    def settings(self) -> Settings:
        """Those of the file; most commands need none, and do not pay for reading any."""
        from .settings.reading import Settings

        return self.read or Settings()

    def read_settings(self, named: Path | None) -> None:
        """Take the file that was named, else the first that is found, else none.

        Raises ConfigProblem.
        """
        from .settings.reading import read_settings

        self.read = read_settings(self.find_settings(named))

    def find_settings(self, named: Path | None) -> Path | None:
        from .settings.reading import find_file

        return find_file(named, self.settings_dirs)


def this_invocation() -> Invocation:
    """The one that this process is. Raises UsageProblem where no command can do anything."""
    if sys.platform == "win32":
        raise UsageProblem(
            "cortex does not run on Windows itself", "run it in WSL2, which `wsl --install` sets up"
        )
    for name, value in _INHERITED.items():
        os.environ.setdefault(name, value)
    try:
        return read_environment(os.environ)
    except RuntimeError:  # by which it is told that nobody knows one
        raise UsageProblem(
            "there is no home folder here",
            "set HOME, or XDG_DATA_HOME, XDG_STATE_HOME, XDG_CACHE_HOME and XDG_CONFIG_HOME",
        ) from None


def read_environment(environ: Mapping[str, str]) -> Invocation:
    return Invocation(
        find_locations(environ),
        can_redraw=moves_cursor(environ),
        hub=_hub(environ),
        settings_dirs=(
            Path(),
            platformdirs.user_config_path("cortex", appauthor=False),
            Path("/etc/cortex"),
        ),
        key_words=environ.get(KEY_VARIABLE, ""),
        supervision=_supervision(environ, os.getpid()),
        colour_wish=colour_wish(environ),
        is_remote="SSH_TTY" in environ or "SSH_CONNECTION" in environ,
    )


def _supervision(environ: Mapping[str, str], pid: int) -> Supervision | None:
    """By the variables of sd_notify(3) and sd_watchdog_enabled(3)."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return None
    silence_us = environ.get("WATCHDOG_USEC", "")
    # The variables are inherited, and the process that is meant may be another one.
    is_watched = silence_us.isdecimal() and environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return Supervision(address, int(silence_us) / 1e6 if is_watched else None)


def export_variable(name: str, value: str) -> None:
    """For the libraries that look for it themselves; programs that are started inherit it."""
    os.environ[name] = value


def set_variables(names: Sequence[str]) -> dict[str, str]:
    """Those of this process's environment that say something."""
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def visible_gpus() -> str | None:
    """What CUDA is to see by the word of whoever started this; None where nobody has said."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def c_compiler() -> str | None:
    """What Triton compiles with by the word of whoever started this."""
    return os.environ.get("CC")


def compiled_dir(locations: Locations) -> Path:
    """Where Triton's kernels are kept, by the word of whoever started this or else by ours."""
    if named := os.environ.get(_TRITON):
        return Path(named)
    home = os.environ.get(_TRITON_HOME)
    return Path(home, ".triton", "cache") if home else locations.compiled_dir


def keep_compiled(locations: Locations) -> None:
    """For engines that this process starts, or is: where Triton and CUDA keep what they compile,
    unless somebody has said where.
    """
    folder = locations.compiled_dir.absolute()
    if not any(map(os.environ.get, (_TRITON, _TRITON_HOME))):
        os.environ[_TRITON] = str(folder / "triton")
    if not os.environ.get(_CUDA):
        os.environ[_CUDA] = str(folder / "cuda")


def see_only(gpu_id: str) -> None:
    """For this process, before it has loaded torch: this is its first and only GPU."""
    os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu_id}


def user_config_home() -> Path:
    """Where each program keeps its user's settings in a folder of its own."""
    return platformdirs.user_config_path()


def environment_with(variables: Mapping[str, str], hidden: Sequence[str]) -> dict[str, str]:
    """This process's environment for a program it starts: some added, some taken out."""
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | dict(variables)


def find_locations(environ: Mapping[str, str]) -> Locations:
    """The directories of the system: XDG's on Linux, their counterparts elsewhere."""
    system = platformdirs.PlatformDirs("cortex", appauthor=False)
    runtime_dir = environ.get("XDG_RUNTIME_DIR")
    return Locations(
        data_dir=system.user_data_path,
        state_dir=system.user_state_path,
        runtime_dir=Path(runtime_dir) / "cortex" if runtime_dir else None,
        hub_dir=_hub_dir(environ),
        cache_dir=system.user_cache_path,
        other_data_dirs=tuple(
            Path(one, "cortex")
            for one in environ.get("XDG_DATA_DIRS", "").split(os.pathsep)
            if os.path.isabs(one)
        ),
    )


def peer_config(invocation: Invocation, wishes: EngineWishes | None) -> PeerConfig:
    """A peer for this machine, which without wishes computes nothing; what only a served peer is
    told is added by its command.
    """
    from cortex.peer.config import PeerConfig

    config = PeerConfig(locations=invocation.locations, hub=invocation.hub, engine="none")
    if wishes is not None:
        config = replace(
            config,
            models_dirs=tuple(wishes.models or ()),
            engine=wishes.engine,
            fake_script=wishes.fake_script,
            fake_token_interval_ms=wishes.fake_token_interval_ms,
            cpu_threads=wishes.threads,
            memory_bytes=wishes.memory,
            wishes=Wishes(wishes.mode, wishes.dtype, wishes.kernels, wishes.speculation),
        )
    return with_fields(config, invocation.settings.fields())


def with_fields(config: PeerConfig, fields: Mapping[str, object]) -> PeerConfig:
    """The config with these fields, which are named FIELD or GROUP.FIELD."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        group, _, own_name = name.rpartition(".")
        groups.setdefault(group, {})[own_name] = value
    changes = groups.pop("", {})
    for group, values in groups.items():
        changes[group] = replace(getattr(config, group), **values)
    return replace(config, **changes)


def _hub(environ: Mapping[str, str]) -> HubConfig:
    """By the variables that Hugging Face's own tools obey, and the file in which they keep a token
    that they were given once.
    """
    usual, token = HubConfig(), environ.get("HF_TOKEN", "").strip()
    if not token:
        with suppress(OSError, ValueError, RuntimeError):  # none, not for us to read, no home
            named = environ.get("HF_TOKEN_PATH")
            path = _written(named) if named else _hub_home(environ) / "token"
            token = path.read_text(encoding="ascii").strip()
    return HubConfig(environ.get("HF_ENDPOINT") or usual.endpoint, token or None)


def _written(path: str) -> Path:
    """A folder as people write it where no shell reads it."""
    return Path(os.path.expandvars(path)).expanduser()


def _hub_dir(environ: Mapping[str, str]) -> Path | None:
    """The Hugging Face cache, by the variables that its own tools obey."""
    if hub := environ.get("HF_HUB_CACHE"):
        return _written(hub)
    hub_dir = _hub_home(environ) / "hub"
    return hub_dir if environ.get("HF_HOME") or hub_dir.is_dir() else None


def _hub_home(environ: Mapping[str, str]) -> Path:
    if home := environ.get("HF_HOME"):
        return _written(home)
    cache = environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "huggingface"
