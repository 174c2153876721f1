"""How the name of a file goes on, for whoever types one."""

from __future__ import annotations

from pathlib import Path

_MOST = 200


def path_completions(begun: str) -> list[str]:
    """What lies where `begun` leads, as it would be typed; a folder ends with a slash.

    Hidden names only where the dot is typed.
    """
    start = begun.rpartition("/")[2]
    lead = begun[: len(begun) - len(start)]
    try:
        at = Path(lead or ".").expanduser()
        entries = sorted(at.iterdir(), key=lambda entry: entry.name)
        return [
            f"{lead}{entry.name}{'/' * entry.is_dir()}"
            for entry in entries
            if entry.name.startswith(start) and (start or not entry.name.startswith("."))
        ][:_MOST]
    except (OSError, ValueError, RuntimeError):
        return []
