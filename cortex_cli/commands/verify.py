"""`cortex verify`: does this machine compute what a golden folder says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.engine.errors import InvalidRequest

from ..errors import UsageProblem
from ..options import Json, Verbose, invocation_of

if TYPE_CHECKING:
    from cortex.engine.verify import CaseResult

    from ..output import Output


def verify(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="A golden folder.", show_default=False
        ),
    ],
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare the engine's numbers with a golden folder's.

    \b
      cortex verify tests/golden/qwen3_5


    One line for each case: PASS or FAIL, its name, the greatest absolute error, the tolerance.
    Exits 1 where a case fails, 2 where there is nothing to compare.
    """
    from ..devices import require_engine

    require_engine()
    from cortex.engine.verify import verify_folder

    from ..diagnostics import FAILED, show_logs
    from ..output import standard_output

    show_logs(verbose=invocation_of(context).verbose)
    output = standard_output()
    results: list[CaseResult] = []
    try:
        for result in verify_folder(folder):
            results.append(result)
            if not as_json:
                output.line(describe(result))
    except InvalidRequest as error:
        raise UsageProblem(error.message, error.hint) from error
    num_failed = sum(not result.passed for result in results)
    _summarise(output, results, num_failed, as_json=as_json)
    if num_failed:
        raise typer.Exit(FAILED)


def describe(result: CaseResult) -> str:
    verdict = "PASS" if result.passed else "FAIL"
    figures = f"{result.max_abs_error:8.2e}   at most {result.tolerance:7.1e}"
    return f"{verdict}  {result.name:<28} {figures}   {result.detail}".rstrip()


def _summarise(
    output: Output, results: list[CaseResult], num_failed: int, *, as_json: bool
) -> None:
    if as_json:
        cases = [_as_json(result) for result in results]
        output.json({"schema": 1, "passed": not num_failed, "cases": cases})
    else:
        output.line(f"{len(results) - num_failed} of {len(results)} cases pass.")


def _as_json(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "max_abs_error": _finite(result.max_abs_error),
        "tolerance": result.tolerance,
        "passed": result.passed,
        "detail": result.detail,
    }


def _finite(value: float) -> float | None:
    # JSON has no word for NaN or infinity.
    return value if abs(value) < float("inf") else None
