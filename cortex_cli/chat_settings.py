"""What `/set` changes of a conversation: the names, what they take, and how they read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .errors import UsageProblem

if TYPE_CHECKING:
    from cortex.peer.talk.conversation import Wishes

MAX_SEED = 2**63 - 1
MAX_TOKENS = 2**31 - 1
MAX_TEMPERATURE = 2.0
_UNSET = "default"
_SWITCH = {"on": True, "off": False}


def _max_tokens(value: str) -> int:
    return _within(int(value), 1, MAX_TOKENS)


def _temperature(value: str) -> float:
    return _within(float(value), 0.0, MAX_TEMPERATURE)


def _seed(value: str) -> int:
    return _within(int(value), 0, MAX_SEED)


def _switch(value: str) -> bool:
    return _SWITCH[value]


# By name: the field, how its value is read, and what the value may be.
_SETTINGS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "max-tokens": ("max_tokens", _max_tokens, "a whole number from 1 on"),
    "temperature": ("temperature", _temperature, f"a number from 0 to {MAX_TEMPERATURE:g}"),
    "seed": ("seed", _seed, "a whole number from 0 on"),
    "think": ("thinks", _switch, "on or off"),
}
NAMES = tuple(_SETTINGS)


def parse_temperature(text: str) -> float:
    """Raises UsageProblem."""
    field, read, kind = _SETTINGS["temperature"]
    try:
        return read(text)
    except ValueError:
        raise UsageProblem(f"--{field} is {kind}, not {text!r}.") from None


def changed(wishes: Wishes, name: str, value: str) -> Wishes:
    """The wishes with one of them new. Raises UsageProblem."""
    if name not in _SETTINGS:
        import difflib

        close = difflib.get_close_matches(name, NAMES, n=1)
        raise UsageProblem(
            f"there is no setting {name}.",
            f"did you mean {close[0]}?" if close else f"there are {', '.join(NAMES)}",
        )
    field, read, kind = _SETTINGS[name]
    if value == _UNSET:
        return replace(wishes, **{field: None})
    try:
        return replace(wishes, **{field: read(value)})
    except (ValueError, KeyError) as error:
        raise UsageProblem(
            f"{name} is {kind}, not {value!r}.", f"/set {name} {_UNSET} leaves it to the model"
        ) from error


def described(wishes: Wishes) -> list[str]:
    """A line for each setting."""
    words = {True: "on", False: "off", None: _UNSET}
    lines: list[str] = []
    for name, (field, _, _) in _SETTINGS.items():
        value: Any = getattr(wishes, field)
        shown = words[value] if value is None or isinstance(value, bool) else value
        lines.append(f"{name:<12}  {shown}")
    return lines


def _within(value: Any, least: float, most: float) -> Any:
    # Written so that what is no number at all fails too.
    if not least <= value <= most:
        raise ValueError(f"{value} is out of range")
    return value
