"""What TAB offers for an argument: names that were last seen, and no question to anybody."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer

from .config import Invocation
from .last_seen import LastSeen, last_seen


def models(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.models)


def peers(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.peers)


def addresses(context: typer.Context, incomplete: str) -> list[str]:
    return _of(context, incomplete, lambda seen: seen.addresses)


def _of(
    context: typer.Context, incomplete: str, kind: Callable[[LastSeen], tuple[str, ...]]
) -> list[str]:
    invocation = context.find_root().obj
    assert isinstance(invocation, Invocation), "every command is run with one"
    seen = last_seen(invocation.locations.cache_dir, time.time())
    return [name for name in kind(seen) if name.startswith(incomplete)]
