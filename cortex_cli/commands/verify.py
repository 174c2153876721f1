"""`cortex verify`: does this machine compute what a golden folder says?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.engine.errors import InvalidRequest
from cortex.engine.wishes import DtypeWish

from ..errors import UsageProblem
from ..options import Json, invocation_of

if TYPE_CHECKING:
    from cortex.engine.verify import CaseResult

    from ..output import Output


def verify(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="A golden folder.")
    ],
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            metavar="all|cpu|N",
            help="What computes: the first NVIDIA device, else the CPU; the CPU; this device.",
        ),
    ] = "all",
    dtype: Annotated[
        DtypeWish,
        typer.Option(
            "--dtype",
            help="bfloat16 tells how many tokens are the same; else every number is compared,"
            " in float32.",
        ),
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Compare the engine's numbers with a golden folder's.

    \b
      cortex verify tests/golden/qwen3_5
      cortex verify tests/golden/qwen3_5 --gpu 0 --dtype bfloat16


    One line for each case: PASS or FAIL, its name, the greatest absolute error, the tolerance.
    Exits 1 where a case fails, 2 where there is nothing to compare.
    """
    from ..devices import require_engine

    require_engine()
    from ..config import keep_compiled
    from ..diagnostics import FAILED, show_logs
    from ..output import standard_output

    show_logs(verbose=invocation_of(context).verbose)
    keep_compiled(invocation_of(context).locations)
    output, (name, device) = standard_output(), chosen_device(gpu)
    from cortex.engine.verify import verify_folder

    results: list[CaseResult] = []
    try:
        if dtype == "bfloat16":
            _tell_agreement(output, folder, device, name, as_json=as_json)
            return
        for result in verify_folder(folder, device):
            results.append(result)
            if not as_json:
                with output.outlived():
                    output.line(describe(result))
    except InvalidRequest as error:
        raise UsageProblem(error.message, error.hint) from error
    num_failed = sum(not result.passed for result in results)
    with output.outlived():
        _summarise(output, results, num_failed, name, as_json=as_json)
    if num_failed:
        raise typer.Exit(FAILED)


def chosen_device(gpu: str) -> tuple[str, str]:
    """One of those that `--gpu` means: its name, and torch's for it in this process."""
    from ..config import see_only
    from ..devices import choose_devices, find_gpus, torch_cuda

    chosen = choose_devices(gpu, find_gpus(gpu), torch_cuda())
    if not chosen.cards:
        return chosen.names[0], chosen.names[0]
    see_only(chosen.cards[0].id)
    return chosen.names[0], "cuda:0"


def _tell_agreement(output: Output, folder: Path, device: str, name: str, *, as_json: bool) -> None:
    """Nothing fails: numbers rounded so may well choose another of two near tokens."""
    from cortex.engine.verify import verify_agreement

    found = list(verify_agreement(folder, device))
    if as_json:
        cases = [asdict(each) for each in found]
        output.json({"device": name, "dtype": "bfloat16", "cases": cases})
        return
    for each in found:
        output.line(f"{each.num_equal:>4} of {each.num_tokens:<4} {each.name}")
    num_equal, num_tokens = (sum(e.num_equal for e in found), sum(e.num_tokens for e in found))
    output.line(f"{num_equal} of {num_tokens} tokens agree, in bfloat16 on {name}.")


def describe(result: CaseResult) -> str:
    verdict = "PASS" if result.passed else "FAIL"
    figures = f"{result.max_abs_error:8.2e}   at most {result.tolerance:7.1e}"
    return f"{verdict}  {result.name:<28} {figures}   {result.detail}".rstrip()


def _summarise(
    output: Output, results: list[CaseResult], num_failed: int, name: str, *, as_json: bool
) -> None:
    if as_json:
        cases = [_as_json(result) for result in results]
        output.json({"device": name, "passed": not num_failed, "cases": cases})
    else:
        output.line(f"{len(results) - num_failed} of {len(results)} cases pass on {name}.")


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
