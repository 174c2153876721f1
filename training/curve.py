"""The curve of a training: a row of curve.csv every few steps."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

_COLUMNS = ("step", "seconds", "lr", "loss", "cell_loss", "cell_accuracy", "token_accuracy",
            "answer_accuracy", "answers", "questions", "beside", "above")  # fmt: skip


def trim_curve(path: Path, step: int) -> None:
    """Drop what a lost stretch of training wrote after the step it was resumed from."""
    if not path.exists():
        return
    head, *rows = path.read_text().splitlines()
    kept = [row for row in rows if int(row.split(",", 1)[0]) <= step]
    path.write_text("\n".join([head, *kept]) + "\n")


def log(path: Path, step: int, elapsed_s: float, metrics: dict[str, float]) -> None:
    """A line on the terminal and a row of the curve."""
    row: dict[str, Any] = {"step": step, "seconds": round(elapsed_s), **metrics}
    print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(_COLUMNS)
        writer.writerow([row.get(column, "") for column in _COLUMNS])
