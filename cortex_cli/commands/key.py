"""`cortex key`: the key that makes peers one fleet, shown, and changed by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import completing
from ..errors import UsageProblem
from ..fleet_options import KeyFile, key_file_of
from ..options import Json, invocation_of

if TYPE_CHECKING:
    from pathlib import Path

    from cortex.peer.keys.fleet_key import FleetKey
    from cortex.peer.onlooker.pictures import FleetPicture

    from ..config import Invocation
    from ..output import Output

_WITHOUT_WORD = ("show", "new", "list")
_WITH_WORD = {"add": "KEY", "use": "ID", "drop": "ID"}
_ACTIONS = (*_WITHOUT_WORD, *_WITH_WORD)


def key(
    context: typer.Context,
    action: Annotated[
        str,
        typer.Argument(
            metavar="[show|new|add|use|drop|list]",
            autocompletion=completing.one_of(_ACTIONS),
            show_default=False,
        ),
    ] = "show",
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY|ID]")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Use or drop a key though peers are not ready.")
    ] = False,
    as_json: Json = False,
    key_file: KeyFile = None,
) -> None:
    """Show the line that lets others join this fleet, or change the fleet's key.

    \b
      cortex key                 the line to run elsewhere; it holds the key, which is a secret
      cortex key list            the keys held here, by their names alone
      cortex key new             make another key, trusted here and not yet used
      cortex key add KEY         trust another key; with - it is read from standard input
      cortex key use ID          use it from now on, and trust the one before
      cortex key drop ID         trust it no longer

    A fleet changes its key in that order: new on one peer, add on all others, use on all, drop on
    all. Peers that run follow within seconds, and none loses the others: a peer that runs here is
    asked whether all are ready, and where one is not, nothing is changed without --yes.
    """
    from ..output import standard_output

    _check(action, words or [])
    invocation = invocation_of(context)
    path = key_file_of(invocation, key_file)
    if as_json:
        _tell(action, path, standard_output())
        return
    picture = _seen(invocation) if action in ("use", "drop") and not yes else None
    match action:
        case "show":
            _show(path, standard_output())
        case "list":
            _list(path, standard_output())
        case "new":
            _new(path, standard_output())
        case _:
            _change(action, path, words or [], picture, standard_output())


def _seen(invocation: Invocation) -> FleetPicture | None:
    """The fleet as a peer that runs here sees it, where one does.

    Raises UsageProblem where one does and does not say.
    """
    from cortex.engine.errors import CortexError
    from cortex.peer.serving.state_lock import holder_of

    from ..doors import ask_first, find_doors

    try:
        return ask_first(find_doors(invocation, None)).picture
    except CortexError:
        state_dir = invocation.locations.state_dir
        if (pid := holder_of(state_dir)) is not None:
            raise UsageProblem(
                f"the peer that runs with {state_dir} (process {pid}) does not say whether the"
                " others are ready.",
                "see what it lacks: cortex doctor; to change the key all the same: --yes",
            ) from None
        return None


def _check(action: str, words: list[str]) -> None:
    """Raises UsageProblem. What was typed is not repeated: it may be a key."""
    if action not in _ACTIONS:
        raise UsageProblem(
            f"cortex key takes {', '.join(_ACTIONS[:-1])} or {_ACTIONS[-1]}.",
            "to join a fleet by its key: cortex join KEY",
        )
    wanted = _WITH_WORD.get(action)
    if wanted is None and words:
        raise UsageProblem(f"cortex key {action} takes nothing more.")
    if wanted is not None and not words:
        raise UsageProblem(f"cortex key {action} takes one {wanted}.", "see: cortex key -h")


def _show(path: Path, output: Output) -> None:
    from ..key_file import kept_ring

    output.line(f"cortex join {kept_ring(path).primary.text}")


def _list(path: Path, output: Output) -> None:
    output.table(("KEY", "STATE"), [(held.key_id.hex(), state) for held, state in _held(path)])


def _held(path: Path) -> list[tuple[FleetKey, str]]:
    """The keys that are kept here, the one that is used first."""
    from ..key_file import kept_ring

    ring = kept_ring(path)
    others = [(held, "trusted") for held in ring.others]
    return [(ring.primary, "used"), *others, *((held, "retired") for held in ring.retired)]


def _tell(action: str, path: Path, output: Output) -> None:
    """For programs. Raises UsageProblem where there is nothing to read."""
    from ..key_file import kept_ring

    if action == "show":
        key = kept_ring(path).primary
        output.json({"id": key.key_id.hex(), "join": f"cortex join {key.text}"})
    elif action == "list":
        keys = [{"id": held.key_id.hex(), "state": state} for held, state in _held(path)]
        output.json({"keys": keys})
    else:
        raise UsageProblem(f"cortex key {action} changes keys: --json is for show and list.")


def _new(path: Path, output: Output) -> None:
    import secrets

    from cortex.peer.keys.fleet_key import new_fleet_key

    from ..key_file import change

    made = new_fleet_key(secrets.token_bytes)
    change(path, lambda ring: ring.adding(made))
    output.line(f"made   {made.key_id.hex()}, trusted here and not yet used")
    output.line(f"next   on every other peer: cortex key add {made.text}")
    output.line(f"then   on every peer: cortex key use {made.key_id.hex()}")


def _change(
    action: str, path: Path, words: list[str], picture: FleetPicture | None, output: Output
) -> None:
    import sys

    from ..key_coverage import must_hold, must_not_use
    from ..key_file import change, id_in, kept_ring, key_in

    if action == "add":
        added = key_in(words, sys.stdin and sys.stdin.buffer)
        change(path, lambda ring: ring.adding(added))
        output.line(f"added  {added.key_id.hex()}, trusted here and not yet used")
        return
    key_id = id_in(" ".join(words))
    if action == "use":
        must_hold(picture, kept_ring(path).using(key_id), key_id.hex())
        before = change(path, lambda ring: ring.using(key_id))
        old = ", ".join(held.key_id.hex() for held in before.others)
        output.line(f"using  {key_id.hex()}" + (f"; still trusted: {old}" if old else ""))
        return
    must_not_use(picture, kept_ring(path).dropping(key_id), key_id.hex())
    change(path, lambda ring: ring.dropping(key_id))
    output.line(f"dropped {key_id.hex()}: who has no other key is told so, and stays outside")
