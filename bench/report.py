"""What every bench shares: how it is asked, and how its figures are written down.

A figure says when it was taken, on which machine, and how loaded that was over the last minute, the
bench's own work included.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .machine import describe_machine, load_average


def arguments(
    doc: str | None, out: str = "write the figures here as well"
) -> argparse.ArgumentParser:
    """A parser that tells the first line of the bench's docstring, and takes `--out`."""
    spec = sys.modules["__main__"].__spec__  # none where no module was run by its name
    prog = None if spec is None else f"python -m {spec.name.removesuffix('.__main__')}"
    parser = argparse.ArgumentParser(prog=prog, description=(doc or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help=out)
    return parser


def written(out: Path | None, what: str, /, **figures: Any) -> str:
    """The figures as JSON, which `out` holds then as well; they come after what is said of all."""
    told = {
        "what": what,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "load_average": round(load_average(), 2),
    }
    text = json.dumps(told | figures, indent=1)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{text}\n", encoding="utf-8")
    return text
