"""From the options that were typed to the service that is to run: whole paths, and nothing that
would be secret, missing or out of reach there.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from pwd import struct_passwd
from typing import Any, Literal, cast

from cortex.peer.addresses import is_loopback
from cortex.peer.models.catalogue import first_that_takes_models

from ..config import Invocation, peer_config, set_variables, visible_gpus
from ..errors import ServiceProblem, UsageProblem
from ..first_key import has_first_key
from ..settings.origins import Option
from .accounts import data_home_of, find_user, hub_home_of
from .folders import how_to_make
from .reach import check_reach, is_credential, is_to_be_read, may_write
from .unit import Service

What = Literal["peer", "gateway"]

NAMES: Mapping[What, str] = {"peer": "cortex.service", "gateway": "cortex-gateway.service"}
SYSTEM_STATE_DIR = Path("/var/lib/cortex")
# Where the machine's service looks for a file of settings: nobody's home, and not where it is
# installed from.
SYSTEM_SETTINGS_DIRS = (SYSTEM_STATE_DIR, Path("/etc/cortex"))

DESCRIPTIONS: Mapping[What, str] = {
    "peer": "cortex peer: serves models, one of a fleet",
    "gateway": "cortex gateway: the door to a fleet's models",
}
# What a service runs, before the word that says which of them it is and its options.
# -P: a file in the folder where it runs is no module of ours.
COMMAND = (sys.executable, "-P", "-m", "cortex.cli")
# One more wherever a release gives a service another folder or variable than the one before it:
# by this alone its older units, which lack that, are known.
GIVEN = 1
# Where a user's programs keep things, wherever that user's manager was started.
_CARRIED = (
    *("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_ENDPOINT"),
    "SSL_CERT_FILE",
)
_PROXIES = tuple(
    name
    for kind in ("HTTPS", "HTTP", "ALL", "NO")
    for name in (f"{kind}_PROXY", f"{kind}_PROXY".lower())
)


def split(words: Sequence[str]) -> tuple[What, list[str]]:
    """What is to run, and the options of its own. Raises UsageProblem."""
    match list(words):
        case [("peer" | "gateway") as what, *options]:
            return what, options
        case [word, *_] if not word.startswith("-"):
            raise UsageProblem(f"a service is a peer or a gateway, not {word!r:.80}.")
        case options:
            return "peer", options


def system_service(
    what: What, options: Mapping[str, Option], invocation: Invocation, run_as: str | None
) -> Service:
    """One of the whole machine. Raises ServiceProblem and UsageProblem."""
    state_dir = next(iter(_paths_of(options, "state_dir")), SYSTEM_STATE_DIR)
    _check_keys(options, invocation, state_dir, SYSTEM_SETTINGS_DIRS[-1] / "cortex.toml")
    user = None if run_as is None else find_user(run_as)
    environment = places_of(what, user)
    hub_dir = None if user is None else hub_home_of(user) / "hub"
    models_dirs = _models_dirs(options, user)
    reads = [*_program_files(), *_paths(options.values()), *map(Path, environment.values())]
    if user is None:
        _check_made_up_user(options, reads)
    else:
        _check_user(user, options)
    return Service(
        NAMES[what],
        DESCRIPTIONS[what],
        [*COMMAND, what, *_words(options)],
        _drain_s(options, invocation),
        is_system=True,
        run_as=run_as,
        reads=reads,
        writes=_folders_kept(options, hub_dir),
        environment=environment,
        models_dirs=models_dirs,
        pulling_dir=first_that_takes_models(models_dirs, hub_dir),
    )


def user_service(what: What, options: Mapping[str, Option], invocation: Invocation) -> Service:
    """One of whoever installs it. Raises ServiceProblem and UsageProblem."""
    locations = invocation.locations
    _check_keys(options, invocation, locations.state_dir, Path("cortex.toml"))
    words = _words(options)
    file = invocation.settings.file
    if file is not None and "--config" not in words and not file.is_absolute():
        words += ["--config", str(file.absolute())]  # it lies here, where the service does not run
    folders = [locations.state_dir, locations.data_dir, locations.cache_dir]
    proxies = set_variables(_PROXIES)
    to_all = open_proxies(proxies)
    return Service(
        NAMES[what],
        DESCRIPTIONS[what],
        [*COMMAND, what, *words],
        _drain_s(options, invocation),
        working_dir=locations.state_dir.absolute(),
        writes=[one.absolute() for one in folders if one is not None]
        + _folders_kept(options, locations.hub_dir),
        environment=set_variables(_CARRIED) | _gpus() | to_all,
        left_out=[name for name in proxies if name not in to_all],
    )


def _program_files() -> list[Path]:
    """What the service has to see of this installation."""
    program = Path(COMMAND[0])
    return [program, program.resolve(), Path(__file__).resolve()]


def places_of(what: What, user: struct_passwd | None) -> dict[str, str]:
    """What has a machine's peer find the models of its user, and the token that Hugging Face's
    tools keep for them. These may be missing, or come later. A gateway has none.
    """
    if user is None or what == "gateway" or not os.path.isabs(user.pw_dir):
        return {}
    return {"HF_HOME": str(hub_home_of(user)), "XDG_DATA_DIRS": str(data_home_of(user))}


def is_given_by_systemd(path: Path) -> bool:
    """Whether it lies in the state directory that systemd makes for the machine's service, which
    is a link while that runs as a made-up user.
    """
    real = Path(os.path.realpath(path))  # which says nothing of a link to itself
    return real.is_relative_to(os.path.realpath(SYSTEM_STATE_DIR))


def own_program() -> str:
    """The command as sudo finds it too, which has a PATH of its own."""
    script = Path(COMMAND[0]).with_name("cortex")
    return shlex.quote(str(script)) if script.exists() else "cortex"


def shares_state(planned: Service, other_unit: str) -> bool:
    """Whether a user's service would keep its state where that unit's does: each runs there."""
    other = re.search(r"^WorkingDirectory=(.*)$", other_unit, re.MULTILINE)
    if other is None or planned.working_dir is None:
        return False
    return Path(other[1].replace("%%", "%")).resolve() == planned.working_dir.resolve()


def key_command(planned: Service) -> str:
    """What shows the key of the service's fleet."""
    command = planned.command
    folder = str(SYSTEM_STATE_DIR) if planned.is_system else None
    if "--state-dir" in command:
        folder = command[command.index("--state-dir") + 1]
    there = "" if folder is None else f" --state-dir {shlex.quote(folder)}"
    return (f"sudo {own_program()}" if planned.is_system else "cortex") + f" key{there}"


def unread_settings(found: Path | None, read: Path | None) -> str:
    """What to say of a file of settings that other commands would find, and the machine's service
    does not; `read` is the one that was named, or that it finds.
    """
    is_named = read is not None and read.parent not in SYSTEM_SETTINGS_DIRS
    if found is None or is_named or (read is not None and found.absolute() == read.absolute()):
        return ""
    place = SYSTEM_SETTINGS_DIRS[-1]
    return f"the service does not read {found.absolute()}: name it, --config, or move it to {place}"


def open_proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    """Those without a password: a unit is for all to read."""
    return {name: address for name, address in proxies.items() if "@" not in address}


def _gpus() -> dict[str, str]:
    """Set to nothing says none."""
    visible = visible_gpus()
    return {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}


def _words(options: Mapping[str, Option]) -> list[str]:
    """What was typed or stands in the environment, as it is typed anywhere on this machine."""
    words: list[str] = []
    for option in options.values():
        if not _is_given(option) or option.value is False:
            continue
        for value in _values(option):
            # Of an option that was given, no time is never.
            word = "never" if value is None else str(value)
            words += [option.long] if value is True else [option.long, word]
    return words


def _is_given(option: Option) -> bool:
    return option.source in ("option", "environment")


def _values(option: Option) -> Sequence[Any]:
    """One, or those of an option that may be given again; where they lie, from anywhere."""
    value: Any = option.value
    values = cast(Sequence[Any], value) if isinstance(value, list | tuple) else (value,)
    return [Path(each).absolute() for each in values] if option.is_path and value else values


def _paths(options: Iterable[Option]) -> list[Path]:
    return [each for one in options for each in _values(one) if isinstance(each, Path)]


def _paths_of(options: Mapping[str, Option], name: str) -> list[Path]:
    return _paths([options[name]]) if name in options else []


def _models_dirs(options: Mapping[str, Option], user: struct_passwd | None) -> list[Path]:
    if "models" not in options:
        return []
    folders = [*_paths_of(options, "models"), SYSTEM_STATE_DIR / "models"]
    if user is not None and os.path.isabs(user.pw_dir) and os.path.isdir(user.pw_dir):
        folders += [data_home_of(user) / "cortex" / "models", hub_home_of(user) / "hub"]
    return list(dict.fromkeys(folders))


def _folders_kept(options: Mapping[str, Option], hub_dir: Path | None) -> list[Path]:
    """Folders for what the service remembers, and for models that it pulls."""
    keys = [one.parent for one in _paths_of(options, "key_file") if not is_credential(one)]
    models = first_that_takes_models(_paths_of(options, "models"), hub_dir)
    return [*_paths_of(options, "state_dir"), *keys, *([] if models is None else [models])]


def _drain_s(options: Mapping[str, Option], invocation: Invocation) -> float:
    option = options.get("drain")
    if option is not None and _is_given(option):
        return option.value
    return peer_config(invocation, None).drain_s


def _check_keys(
    options: Mapping[str, Option], invocation: Invocation, state_dir: Path, settings: Path
) -> None:
    """A key that is made at a start is shown, which in a service would be to a log."""
    host = str(options["host"].value)
    config = peer_config(invocation, None)
    if not is_loopback(host) and not config.keys and not has_first_key(state_dir):
        raise ServiceProblem(
            f"with --host {host} others reach it, and there are no API keys",
            f"make one with `cortex config new-key`; its entry goes into [api] keys of {settings}",
        )


def _check_user(user: struct_passwd, options: Mapping[str, Option]) -> None:
    """Whether they can keep its state there, or make the folder."""
    key_files = [one for one in _paths_of(options, "key_file") if not is_credential(one)]
    to_make = [one.parent for one in key_files if not os.path.exists(one)]
    for folder in (*_paths_of(options, "state_dir"), *to_make):
        if not is_given_by_systemd(folder) and not may_write(user, folder):
            hint = how_to_make(folder, user)
            if os.path.isdir(folder):
                hint = f"give it to them: sudo chown {user.pw_name}: {shlex.quote(str(folder))}"
            raise ServiceProblem(
                f"{folder} cannot be written by {user.pw_name}",
                f"{hint}; and see that they may enter the folders above it",
            )


def _check_made_up_user(options: Mapping[str, Option], reads: Sequence[Path]) -> None:
    """Whether a user that systemd makes up can keep its state there, and read all this."""
    keys = [one for one in _paths_of(options, "key_file") if not is_to_be_read(one)]
    for path in (*_paths_of(options, "state_dir"), *keys):
        if not is_given_by_systemd(path):
            raise ServiceProblem(
                f"{path} cannot be written by the user that systemd makes up for a service, whose"
                f" state is in {SYSTEM_STATE_DIR}",
                "run it as one who may, with --run-as USER",
            )
    for path in reads:
        if not is_given_by_systemd(path) and not is_credential(path):
            check_reach(path)
