"""`cortex config`: what belongs into the files of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageProblem
from ..options import Json, StateDir, invocation_of

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        envvar="CORTEX_CONFIG",
        help="The file. Otherwise the first that is found.",
    ),
]
config = typer.Typer(add_completion=False, rich_markup_mode=None)


@config.callback(invoke_without_command=True)
def about_settings(context: typer.Context) -> None:
    """Show and check what cortex.toml and models.toml say, and make what belongs there.

    \b
      cortex config show
      cortex config validate
    """
    from ..output import standard_output

    if context.invoked_subcommand is None:
        standard_output().line(context.get_help())


@config.command("show", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def show(
    context: typer.Context,
    gateway: Annotated[
        bool,
        typer.Option(
            "--gateway", help="As `cortex gateway` would have it, not a peer.", show_envvar=False
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every setting as a peer would have it, and where its value came from.

    \b
      cortex config show
      cortex config show --config other.toml --port 8000

    Options of `cortex peer` may follow, as they would be typed there.
    """
    from ..output import standard_output
    from ..settings.origins import origins
    from ..taken_options import taken_options

    command = "gateway" if gateway else "peer"
    options = {command: taken_options(context, command, context.args)}
    settings = invocation_of(context).settings
    file_words = [] if settings.file is None else ["--config", str(settings.file)]
    # Some settings are those of one command, and have their defaults from there.
    for other in ("peer", "gateway", "tui"):
        if other not in options:
            words = [] if other == "tui" else file_words
            options[other] = taken_options(context, other, words)
    found = list(origins(settings, options, command))
    output = standard_output()
    if as_json:
        told = [
            {"section": one.section, "key": one.key, "value": one.value, "origin": one.place}
            for one in found
        ]
        file = None if settings.file is None else str(settings.file)
        output.json({"file": file, "settings": told})
        return
    rows = [(f"[{one.section}]", one.key, one.text or "-", one.place) for one in found]
    output.table(("SECTION", "SETTING", "VALUE", "FROM"), rows)


@config.command("path")
def path(
    context: typer.Context, named: File = None, state_dir: StateDir = None, as_json: Json = False
) -> None:
    """Show which files are looked for, and which are read; and the folders of a peer.

    \b
      cortex config path

    In `state` it keeps what it must remember, in `data` the models that are pulled where no
    folder of models is named, in `cache` what it can make again.
    """
    from ..output import standard_output
    from ..settings.reading import MODELS_NAME, NAME

    invocation = invocation_of(context)
    read = invocation.find_settings(named)
    searched = tuple(folder / NAME for folder in invocation.settings_dirs)
    looked_for = searched if named is None else (named,)
    models = None if read is None else read.parent / MODELS_NAME
    is_there = models is not None and models.is_file()
    locations = invocation.locations
    folders = {
        "state": str(state_dir or locations.state_dir),
        "data": str(locations.data_dir),
        "cache": str(locations.compiled_dir),
    }
    value = {
        "looked_for": [str(one) for one in looked_for],
        "read": None if read is None else str(read),
        "models": str(models) if is_there else None,
        **folders,
    }
    lines = [f"{'read' if one == read else '-':<5} {one}" for one in looked_for]
    if models is not None:
        lines.append(f"{'read' if is_there else '-':<5} {models}")
    lines += [f"{name:<5} {folder}" for name, folder in folders.items()]
    standard_output().either(value, lines, as_json=as_json)


@config.command("validate")
def validate(context: typer.Context, named: File = None, as_json: Json = False) -> None:
    """Say all that is wrong with the files of settings; exit 2 where anything is.

    \b
      cortex config validate
      cortex config validate /etc/cortex/cortex.toml


    FILE is a cortex.toml, with the models.toml beside it, or a models.toml.
    """
    from ..diagnostics import USAGE, standard_error
    from ..output import standard_output
    from ..settings.reading import examine

    invocation = invocation_of(context)
    file = invocation.find_settings(named)
    settings, problems = examine(file)
    files = [str(one) for one in (settings.file, settings.models_file) if one is not None]
    if as_json:
        told = [{"message": one.message, "hint": one.hint} for one in problems]
        output = standard_output()
        with output.outlived():
            output.json({"files": files, "problems": told})
    else:
        to = standard_error(invocation)
        for problem in problems:
            to.error(problem.message, problem.hint)
        if not problems:
            names = " and ".join(files)
            well = f"nothing is wrong with {names}" if files else "no file of settings is found"
            standard_output().line(well)
    if problems:
        raise typer.Exit(USAGE)


@config.command("new-key")
def new_key(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Whose key it is: its name stands in logs and errors.",
            show_envvar=False,
        ),
    ] = "key",
    admin: Annotated[
        bool,
        typer.Option(
            "--admin",
            help="A key that steers the peer too: it opens loads, pulls, requests, logs, drains.",
            show_envvar=False,
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an API key, and show it this once.

    \b
      cortex config new-key --name ci
      cortex config new-key --name ops --admin --json


    Only its hash belongs into cortex.toml: the entry, into the list of keys of [api], or of
    admin_keys.
    """
    import secrets

    from cortex.peer.keys.access import ApiKey, digest_of, make_key, spell_hash

    from ..diagnostics import standard_error
    from ..output import standard_output
    from ..settings.api_keys import is_name, spell_entry

    if not is_name(name):
        raise UsageProblem(f"--name takes letters, digits, '.', '_' and '-', not {name!r:.80}.")
    text = make_key(secrets.token_bytes(32))
    key = ApiKey(name, digest_of(text), is_admin=admin)
    output = standard_output()
    if as_json:
        output.json({"name": name, "key": text, "hash": spell_hash(key.digest)})
        return
    output.line(f"key    {text}")
    output.line(f"entry  {spell_entry(key)},")
    setting = "admin_keys" if admin else "keys"
    output.line(f"into   cortex.toml, below [api], {setting} = [ … ]")
    standard_error(invocation_of(context)).notice("The key is not shown again.")
