"""`cortex config`: what belongs into the files of settings."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageProblem
from ..options import Json

config = typer.Typer(rich_markup_mode=None)


@config.callback(invoke_without_command=True)
def about_settings(context: typer.Context) -> None:
    """Make what belongs into cortex.toml."""
    from ..output import standard_output

    if context.invoked_subcommand is None:
        standard_output().line(context.get_help())


@config.command("new-key")
def new_key(
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Whose key it is: its name stands in logs and errors."
        ),
    ] = "key",
    admin: Annotated[
        bool,
        typer.Option("--admin", help="A key that steers the peer too: /requests, /drain."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make an API key, and show it this once.

    Only its hash belongs into cortex.toml, in the section [api].
    """
    import secrets

    from cortex.peer.access import ApiKey, digest_of, make_key, spell_hash

    from ..diagnostics import standard_error
    from ..output import standard_output
    from ..settings.api_keys import is_name, spell_line

    if not is_name(name):
        raise UsageProblem(f"--name takes letters, digits, '.', '_' and '-', not {name!r:.80}.")
    text = make_key(secrets.token_bytes(32))
    key = ApiKey(name, digest_of(text), is_admin=admin)
    output = standard_output()
    if as_json:
        output.json({"schema": 1, "name": name, "key": text, "hash": spell_hash(key.digest)})
        return
    output.line(f"key    {text}")
    output.line(f"line   {spell_line(key)}")
    standard_error(can_redraw=False).notice(
        "The line belongs into cortex.toml, below [api]. The key is not shown again."
    )
