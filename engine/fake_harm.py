"""Harm that the fake engine comes to when its script says so, at an exact place.

For tests of what stands around an engine: a real process really dies, falls silent or hangs, and
nothing has to be timed. A resumed answer meets the same place again, unless its epoch is past it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from .errors import DevicePoisoned, InvalidRequest

# kill: by a signal. exit: of itself. freeze: the whole process stands still. hang: its device
# alone does. poison: its device fails for good.
How = Literal["kill", "exit", "freeze", "hang", "poison"]
_SHAPE = 'expected {"how": "kill", "at": "load" or a number of tokens, "epochs": 1, "word": ""}'


@dataclass(frozen=True, slots=True)
class Harm:
    """`at` is "load", or how many tokens an answer has when it happens.

    It happens to attempts up to the number `epochs`, whose prompt holds `word`.
    """

    how: How
    at: Literal["load"] | int
    epochs: int = 1
    word: str = ""

    async def strike(self) -> None:
        """Raises DevicePoisoned, or does not return."""
        if self.how == "poison":
            raise DevicePoisoned("the device failed for good: so says the script")
        if self.how == "exit":
            os._exit(3)
        if self.how != "hang":
            os.kill(os.getpid(), signal.SIGKILL if self.how == "kill" else signal.SIGSTOP)
        await asyncio.Event().wait()


def read_harm(value: Any) -> Harm:
    """The script's object. Raises InvalidRequest, saying what is wrong with it."""
    names = {field.name for field in fields(Harm)}
    if not isinstance(value, dict) or not {"how", "at"} <= cast(dict[str, Any], value).keys():
        raise InvalidRequest("harm is no object with how and at", _SHAPE)
    given = cast(dict[str, Any], value)
    if unknown := sorted(given.keys() - names):
        raise InvalidRequest(f"harm has an unknown key {unknown[0]!r}", _SHAPE)
    harm = Harm(**given)
    is_right = (
        harm.how in get_args(How)
        and (harm.at == "load" or _is_count(harm.at))
        and _is_count(harm.epochs)
        and isinstance(cast(Any, harm.word), str)
    )
    if not is_right:
        raise InvalidRequest(f"harm is {given!r}", _SHAPE)
    return harm


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
