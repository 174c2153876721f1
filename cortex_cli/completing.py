"""What TAB offers for an argument: its few words, or names that were last seen; nobody is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import typer

from .config import Invocation
from .last_seen import LastSeen, last_seen


def models(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.models)


def peers(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.peers)


def addresses(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.addresses)


def one_of(words: Sequence[str]) -> Callable[[str], list[str]]:
    """Words of which an argument is one, that a command checks itself."""

    def begun(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return begun


def _of(
    context: typer.Context, incomplete: str, kind: Callable[[LastSeen], tuple[str, ...]]
) -> list[str]:
    invocation = context.find_root().obj
    assert isinstance(invocation, Invocation), "every command is run with one"
    seen = last_seen(invocation.locations.cache_dir, time.time())
    return one_of(kind(seen))(incomplete)
