"""What the benchmark tells of a case: its rate, and what share that is of a ceiling. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .ceilings import Ceilings
from .engine_level import Case
from .roofline import Work, decode_tokens_per_s

Row = dict[str, Any]


def kept_bytes(case: Case, work: Work) -> int:
    """At the end of its answers."""
    num_tokens = case.prompt_tokens + case.output_tokens
    return case.concurrency * (num_tokens * work.token_bytes + work.state_bytes)


def decoded(rate: float, case: Case, work: Work, ceilings: Ceilings) -> Row:
    if not rate:
        return {"skipped": "the first of them ended before the last began: never all at once"}
    ceiling = decode_tokens_per_s(
        work, case.concurrency, case.mean_context_tokens, ceilings.copy_bytes_per_s
    )
    return {"decode_tokens_per_s": rate, "ceiling_tokens_per_s": ceiling, "share": rate / ceiling}


def beside_engine(row: Row, rows: Sequence[Row]) -> Row:
    """A row over HTTP says what is left of the engine's own rate for that case, too."""
    alone = (
        each["decode_tokens_per_s"]
        for each in rows
        if (each["shape"], each["level"], each["case"]) == (row["shape"], "engine", row["case"])
        and "share" in each
    )
    rate = next(alone, None) if row["level"] == "http" and "share" in row else None
    return row if rate is None else row | {"of_engine": row["decode_tokens_per_s"] / rate}


def line_of(row: Row) -> list[str]:
    """A row for people."""
    words = [row["shape"], f"{row['level']} {row['case']}"]
    if "skipped" in row:
        return [*words, "-", "-", "-", f"skipped: {row['skipped']}"]
    if "share" not in row:
        told = ", ".join(
            f"{name} {value:.2f}" if isinstance(value, float) else str(value)
            for name, value in row.items()
            if name not in ("shape", "level", "case")
        )
        return [*words, "-", "-", "-", told]
    rates = [f"{row['decode_tokens_per_s']:,.0f}", f"{row['ceiling_tokens_per_s']:,.0f}"]
    first = f"{row['ttft_s'] * 1e3:.1f} ms" if "ttft_s" in row else "-"
    if "of_engine" in row:
        words[1] += f" ({row['of_engine']:.1%} of the engine's)"
    return [*words, *rates, f"{row['share']:.0%}", first]
