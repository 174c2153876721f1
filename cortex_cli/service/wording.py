"""How a unit is doing, for people and for programs. Pure: systemd's properties in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortex.peer.units import counted


def told(state: Mapping[str, str]) -> dict[str, Any]:
    return {
        "enabled": state.get("UnitFileState", "").startswith("enabled"),
        "state": state.get("ActiveState") or None,
        "substate": state.get("SubState") or None,
        "result": state.get("Result") or None,
        "pid": _number(state, "MainPID") or None,
        "restarts": _number(state, "NRestarts"),
        "since": state.get("ActiveEnterTimestamp") or None,
        "says": state.get("StatusText") or None,
    }


def lines(name: str, state: Mapping[str, str], *, is_system: bool) -> list[str]:
    """What it does, what it says, and where to look further if it does not run."""
    found = told(state)
    words = [f"{name}   {found['state']} ({found['substate']})"]
    if found["pid"]:
        words.append(f"process {found['pid']}")
    if found["state"] == "active" and found["since"]:
        words.append(f"since {found['since']}")
    if found["restarts"]:
        words.append(f"started again {counted(found['restarts'], 'time')}")
    shown = ["   ".join(words)]
    if found["says"]:
        shown.append(f"it says: {found['says']}")
    if not found["enabled"]:
        shown.append("it does not start by itself")
    if found["state"] != "active":
        why = "" if found["result"] in (None, "success") else f"it ended with {found['result']}; "
        whose = "" if is_system else " --user"
        shown.append(f"{why}see: journalctl{whose} -n 20 -u {name}")
    return shown


def outdated(renew: str) -> list[str]:
    way = "this release has another layout for its unit"
    return [f"{way} (changes of your own belong into a drop-in)", f"write it anew: {renew}"]


def _number(state: Mapping[str, str], name: str) -> int:
    text = state.get(name, "")
    return int(text) if text.isdecimal() else 0
