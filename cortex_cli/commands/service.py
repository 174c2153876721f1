"""`cortex service`: a peer or a gateway that systemd starts, watches and starts again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import completing
from ..config import user_config_home
from ..options import Json, invocation_of

if TYPE_CHECKING:
    from ..config import Invocation
    from ..service.planning import What
    from ..service.systemctl import Manager
    from ..service.unit import Service

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}

service = typer.Typer(add_completion=False, rich_markup_mode=None)

System = Annotated[
    bool,
    typer.Option(
        "--system",
        help="The whole machine's, from its start. Otherwise your own.",
        show_envvar=False,
    ),
]
Whose = Annotated[
    str,
    typer.Argument(
        metavar="[peer|gateway]",
        autocompletion=completing.one_of(("peer", "gateway")),
        help="Which of the two.",
        show_default=False,
    ),
]


@service.callback(invoke_without_command=True)
def about_services(context: typer.Context) -> None:
    """Have systemd run a peer: started with the machine or with you, and again where it fails.

    \b
      cortex service install --gpu all --model ID
      cortex service status
      sudo "$(command -v cortex)" service install --system --run-as "$USER" gateway
    """
    from ..output import standard_output

    if context.invoked_subcommand is None:
        standard_output().line(context.get_help())


@service.command("install", context_settings=_PASSED_ON)
def install(
    context: typer.Context,
    system: System = False,
    run_as: Annotated[
        str | None,
        typer.Option(
            "--run-as",
            metavar="USER",
            help="With --system: as this user, with the models of that home. Otherwise as one that"
            " systemd makes up.",
            show_envvar=False,
        ),
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the unit, and change nothing.", show_envvar=False)
    ] = False,
) -> None:
    """Write a systemd unit for a peer or a gateway, and start it; again, to change it.

    \b
      cortex service install
      cortex service install --gpu 0 --model ID --models /data/models
      cortex service install gateway --metrics-host 127.0.0.1
      sudo "$(command -v cortex)" service install --system --run-as "$USER" --gpu all

    Options of `cortex peer` or `cortex gateway` may follow, and are what it is started with. It
    sees the machine read-only but for its own folders, gains no privileges, is started again
    where it fails or says nothing for half a minute, and lets answers end when it is stopped.
    """
    from ..diagnostics import standard_error
    from ..errors import UsageProblem
    from ..output import standard_output
    from ..service.planning import SYSTEM_SETTINGS_DIRS, unread_settings
    from ..service.renewing import signed_unit

    if run_as is not None and not system:
        raise UsageProblem("--run-as is for --system: your own services run as you.")
    invocation = invocation_of(context)
    found = invocation.find_settings(None) if system else None
    if system:
        invocation.settings_dirs = SYSTEM_SETTINGS_DIRS
    what, planned = _planned(context, invocation, run_as, is_system=system)
    text = signed_unit(what, planned)
    if unread := unread_settings(found, invocation.settings.file):
        standard_error(invocation).line(unread)
    for name in planned.left_out:
        standard_error(invocation).line(
            f"{name} holds a password, and is not in the unit, which all may read."
        )
    if print_only:
        standard_output().text(text)
        return
    manager = _manager(is_system=system)
    _check_other(manager, what, planned)
    _put(manager, planned, text)
    _tell_what_next(what, planned)


@service.command("status")
def status(what: Whose = "peer", system: System = False, as_json: Json = False) -> None:
    """Show whether the service runs, since when, and how often it had to be started again.

    \b
      cortex service status
      cortex service status gateway --system --json

    Where this release has another layout for its unit it says what writes it anew.
    """
    from ..output import standard_output
    from ..service.planning import split
    from ..service.renewing import renewal
    from ..service.wording import lines, outdated, told

    manager = _manager(is_system=system)
    name = _installed(manager, what)
    state, renew = manager.state(name), renewal(manager, split([what])[0])
    file = {"unit": name, "file": str(manager.unit_file(name)), "renew": renew or None}
    shown = lines(name, state, is_system=system) + (outdated(renew) if renew else [])
    standard_output().either(file | told(state), shown, as_json=as_json)


@service.command("remove")
def remove(what: Whose = "peer", system: System = False) -> None:
    """Stop the service, once it has answered what it has begun, and take its unit away.

    \b
      cortex service remove
      sudo "$(command -v cortex)" service remove gateway --system

    What it knows stays: its keys, its models, what it has learned.
    """
    from ..output import standard_output

    manager = _manager(is_system=system)
    name = _installed(manager, what)
    manager.call("disable", "--now", name)
    manager.unit_file(name).unlink(missing_ok=True)
    manager.call("daemon-reload")
    standard_output().line(f"removed {manager.unit_file(name)}")


def _planned(
    context: typer.Context, invocation: Invocation, run_as: str | None, *, is_system: bool
) -> tuple[What, Service]:
    from ..service.planning import split, system_service, user_service
    from ..taken_options import taken_options

    what, words = split(context.args)
    options = taken_options(context, what, words)
    if is_system:
        return what, system_service(what, options, invocation, run_as)
    return what, user_service(what, options, invocation)


def _manager(*, is_system: bool) -> Manager:
    """Raises ServiceProblem where no systemd runs."""
    from ..service.systemctl import system_manager, user_manager

    manager = system_manager() if is_system else user_manager(user_config_home())
    manager.must_run()
    return manager


def _installed(manager: Manager, what: str) -> str:
    """The unit's name. Raises UsageProblem, and ServiceProblem where there is none."""
    from ..errors import ServiceProblem
    from ..service.planning import NAMES, own_program, split

    kind, _ = split([what])
    if not manager.unit_file(NAMES[kind]).exists():
        by = f"sudo {own_program()}" if manager.is_system else "cortex"
        scope = " --system" if manager.is_system else ""
        raise ServiceProblem(
            f"there is no {manager.unit_file(NAMES[kind])}",
            f"make it with: {by} service install{scope} {kind}",
        )
    return NAMES[kind]


def _check_other(manager: Manager, what: What, planned: Service) -> None:
    """Raises ServiceProblem where the other of the two is a service that keeps its state there.

    Of the whole machine's there is one: systemd makes one state directory, and gives it whole to
    the user of whichever starts last.
    """
    from ..errors import ServiceProblem
    from ..service.planning import NAMES, own_program, shares_state

    other: What = "gateway" if what == "peer" else "peer"
    file = manager.unit_file(NAMES[other])
    if not file.exists():
        return
    if manager.is_system:
        raise ServiceProblem(
            f"{file} is there, and a machine has one of the two: a peer is a gateway too",
            f"remove that one first: sudo {own_program()} service remove {other} --system",
        )
    if shares_state(planned, file.read_text(encoding="utf-8")):
        raise ServiceProblem(
            f"{file} keeps its state where this one would: only one of them could run",
            "a peer is a gateway too; for both, give this one a --state-dir of its own, and"
            " `cortex join KEY` with the same",
        )


def _put(manager: Manager, planned: Service, text: str) -> None:
    import errno
    import os

    from ..errors import ServiceProblem
    from ..service.accounts import find_user
    from ..service.folders import make_folder
    from ..service.planning import is_given_by_systemd, own_program

    manager.must_answer()
    file = manager.unit_file(planned.name)
    user = None if planned.run_as is None else find_user(planned.run_as)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file.parent, os.W_OK):  # nor can we act as the user, to make folders
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)
        for folder in planned.writes:
            # What lies in the folder that systemd gives the service, that makes as its own.
            if planned.is_system and is_given_by_systemd(folder):
                continue
            if user is None:
                folder.mkdir(parents=True, exist_ok=True)
            elif not folder.is_dir():
                make_folder(folder, user)
        temporary = file.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        raise ServiceProblem(
            f"cannot write {error.filename or file}: {error.strerror or error}",
            f"for the whole machine's: sudo {own_program()} …" if manager.is_system else "",
        ) from None
    manager.call("daemon-reload")
    manager.call("enable", planned.name)
    manager.call("restart", planned.name)


def _tell_what_next(what: What, planned: Service) -> None:
    from ..output import standard_output
    from ..service.accounts import find_user
    from ..service.planning import is_given_by_systemd, key_command
    from ..service.reach import may_write

    output = standard_output()
    name = planned.name
    scope, whose = (" --system", "") if planned.is_system else ("", " --user")
    output.line(f"runs   {name}, and starts again with the machine")
    output.line(f"look   cortex service status {what}{scope}   log: journalctl{whose} -u {name} -f")
    if planned.models_dirs:
        output.line(f"finds  models in {', '.join(map(str, planned.models_dirs))}")
    if (place := planned.pulling_dir) is not None:
        user = None if planned.run_as is None else find_user(planned.run_as)
        if not is_given_by_systemd(place) and not may_write(user, place):
            output.line(f"pulls  fail: the service's user may not write {place}")
    output.line(f"join   elsewhere run what this prints: {key_command(planned)}")
    if not planned.is_system:
        output.line("stays  after you log out, once you have run: loginctl enable-linger")
