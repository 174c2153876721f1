"""cortex on a GPU beside what the GPU can do: ceilings, the engine alone, over HTTP, and the peer.

The ceilings come first: bytes copied within the device, and a large product. Then random weights at
published shapes, drawn on the device; golden folders, whose numbers must be right before any speed
counts; the engine alone at each concurrency and length; the same over HTTP; and transformers'
`generate` with a static cache beside it. A case that does not fit, and a peer that is not there,
are told with the reason.

    python -m bench.gpu --out bench/results/gpu.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cortex.cli.output import align
from cortex.engine.current_device import open_device
from cortex.engine.errors import CortexError, EngineFailed
from cortex.engine.gauge import gpu_memory
from cortex.engine.reading import give_back
from cortex.engine.service import ModelService
from cortex.engine.verify import verify_agreement, verify_folder
from cortex.engine.wishes import Wishes

from ..compare import decode_rate
from ..compare_cpu import answers, digits
from ..load import read_seconds
from ..machine import describe_machine
from ..make_checkpoint import DTYPES, make_checkpoint
from ..peers.base import CannotRun, Setting
from ..peers.process import exit_when_terminated
from ..peers.transformers_generate import TransformersGenerate
from ..report import arguments, written
from ..shapes import SHAPES, Shape
from .ceilings import Ceilings, measure_ceilings
from .engine_level import Case, CaseFailed, load_engine, measured_case
from .http_level import serve
from .roofline import Work, prefill_tokens_per_s, work_of
from .rows import Row, beside_engine, decoded, kept_bytes, line_of

# Of the concurrencies, those asked over HTTP and of the peer too, at the first of the lengths.
_OVER_HTTP = (1, 32)
_MEMORY_SHARE = 0.85
_HEAD = ("SHAPE", "WHAT", "TOKENS/S", "CEILING", "SHARE", "FIRST TOKEN")


def main() -> None:
    exit_when_terminated()
    args = _read_arguments()
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    ceilings = measure_ceilings(device, dtype)
    _say(f"copy {ceilings.copy_bytes_per_s / 1e9:.0f} GB/s, "
         f"product {ceilings.product_flops_per_s / 1e12:.1f} TFLOP/s")  # fmt: skip
    told: dict[str, Any] = {
        "machine": describe_machine() | {"device": device_name(device)},
        "dtype": args.dtype,
        "ceilings": asdict(ceilings),
        "verified": {},
        "rows": [],
    }
    rows: list[Row] = told["rows"]

    def write() -> None:
        what = "tokens a second on a GPU, and the least time its memory and its products allow"
        written(args.out, what, **told)

    def tell(row: Row) -> None:
        rows.append(row)
        write()
        _say(" ".join(line_of(row)))

    write()
    try:
        told["verified"] = verified(args.golden, device)
        _say(f"golden folders: {json.dumps(told['verified'])}")
    except Exception as error:
        tell({"shape": "golden", "level": "engine", "case": "verify", "skipped": _why(error)})
    for name in args.shapes:
        for level, measure in _LEVELS.items():
            place = {"shape": name, "level": level}
            try:
                for row in measure(SHAPES[name], args, ceilings):
                    tell(beside_engine(place | row, rows))
            except Exception as error:
                # Whatever failed on a device nobody has seen, what comes after it is measured.
                tell(place | {"case": "all", "skipped": _why(error)})
    print("\n".join(align(_HEAD, [line_of(row) for row in rows])))


def _model_dir(shape: Shape, args: argparse.Namespace) -> Path:
    """Drawn where it is not."""
    model_dir: Path = args.root / "models" / f"{shape.name.replace('.', '_')}-{args.dtype}"
    if not model_dir.exists():
        make_checkpoint(shape, args.dtype, model_dir, seed=0, device=torch.device(args.device))
    return model_dir


def _engine_rows(shape: Shape, args: argparse.Namespace, ceilings: Ceilings) -> Iterator[Row]:
    device, work = torch.device(args.device), work_of(shape, args.dtype)
    model_dir = _model_dir(shape, args)
    give_back(device)
    # Guesses at tokens would move other bytes than the ceiling counts.
    wishes = Wishes(mode="fast", dtype=args.dtype, speculation="off")
    try:
        memory_bytes = _memory_bytes(device)
        loaded = load_engine(model_dir, device, memory_bytes, wishes)
    except CortexError as error:
        yield {"case": "load", "skipped": str(error)}
        return
    yield {
        "case": "load",
        "seconds": loaded.load_s,
        "computes_in": loaded.computes_in,
    }
    for lengths in args.lengths:
        for concurrency in args.concurrencies:
            case = Case(concurrency, *lengths)
            room_bytes = memory_bytes - work.weight_bytes
            row = _engine_row(loaded.service, case, work, ceilings, room_bytes)
            yield {"case": str(case)} | row


def _engine_row(
    service: ModelService, case: Case, work: Work, ceilings: Ceilings, room_bytes: int
) -> Row:
    # Else some of them wait until others have ended, and there is no rate of all of them.
    if (needed_bytes := kept_bytes(case, work)) > room_bytes:
        kept, free = needed_bytes / 2**30, room_bytes / 2**30
        return {"skipped": f"it keeps {kept:.0f} GiB, and there are {free:.0f} beside the weights"}
    try:
        seen = measured_case(service, case)
    except CaseFailed as error:
        return {"skipped": str(error)}
    return {
        **decoded(seen.decode_tokens_per_s, case, work, ceilings),
        "ttft_s": seen.ttft_s,
        "num_replayed": seen.num_replayed,
        "prefill_tokens_per_s": seen.prefill_tokens_per_s,
        "prefill_ceiling_tokens_per_s": prefill_tokens_per_s(
            work, case.prompt_tokens, ceilings.product_flops_per_s
        ),
    }


def _http_rows(shape: Shape, args: argparse.Namespace, ceilings: Ceilings) -> Iterator[Row]:
    give_back(torch.device(args.device))
    model_dir, work = _model_dir(shape, args), work_of(shape, args.dtype)
    gpu = "cpu" if args.device == "cpu" else str(torch.device(args.device).index or 0)
    log = args.root / "logs" / f"cortex-{model_dir.name}.log"
    try:
        served = serve(model_dir, gpu, args.dtype, args.http_cases, log)
    except CannotRun as error:
        yield {"case": "start", "skipped": str(error)}
        return
    yield {
        "case": "start",
        "first_token_s": served.first_token_s,
        "weights_read_s": read_seconds(sorted(model_dir.glob("*.safetensors"))),
        "idle_cores": served.idle_cores,
    }
    for case, rate in zip(args.http_cases, served.decode_tokens_per_s, strict=True):
        yield {"case": str(case), **decoded(rate, case, work, ceilings)}


def _transformers_rows(shape: Shape, args: argparse.Namespace, ceilings: Ceilings) -> Iterator[Row]:
    give_back(torch.device(args.device))
    model_dir, work = _model_dir(shape, args), work_of(shape, args.dtype)
    peer = TransformersGenerate(args.peer_python)
    family = "qwen3" if shape.config["model_type"] == "qwen3" else "qwen3_5"
    longest = max(case.prompt_tokens + case.output_tokens for case in args.http_cases)
    setting = Setting(
        model_dir, family, args.dtype, 1, max(case.concurrency for case in args.http_cases),
        longest, args.root / "logs" / f"transformers-{model_dir.name}.log", args.device,
    )  # fmt: skip
    try:
        version = peer.install(args.root)
        with peer.running(args.root, setting) as running:
            for case in args.http_cases:
                prompts = digits(f"peer {case}", case.concurrency, case.prompt_tokens)
                # The first answer compiles.
                answers(running, prompts, case.output_tokens)
                rate = decode_rate(answers(running, prompts, case.output_tokens))
                row = decoded(rate, case, work, ceilings)
                yield {"case": str(case), "version": version, **row}
    except CannotRun as error:
        yield {"case": "start", "skipped": str(error)}


_LEVELS = {"engine": _engine_rows, "http": _http_rows, "transformers": _transformers_rows}


def verified(golden: Path, device: torch.device) -> dict[str, Any]:
    """Of each golden checkpoint, how many cases the device computes right, the greatest error, and
    how many tokens are the same in bfloat16.
    """
    found: dict[str, Any] = {}
    for folder in sorted(path.parent for path in golden.glob("*/config.json")):
        results = list(verify_folder(folder, str(device)))
        agreements = list(verify_agreement(folder, str(device)))
        found[folder.name] = {
            "passed": sum(result.passed for result in results),
            "of": len(results),
            "max_abs_error": max(result.max_abs_error for result in results),
            "bfloat16_tokens_equal": sum(each.num_equal for each in agreements),
            "bfloat16_tokens": sum(each.num_tokens for each in agreements),
        }
    return found


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free_bytes, _ = gpu_memory(device)
        return int(free_bytes * _MEMORY_SHARE)
    return 4 << 30


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _read_arguments() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda:0", help="a CUDA device, or cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument(
        "--shapes", nargs="+", choices=sorted(SHAPES), default=["qwen3-8b", "qwen3.5-9b"]
    )
    parser.add_argument("--concurrencies", nargs="+", type=int, default=[1, 8, 32, 128])
    parser.add_argument(
        "--lengths",
        nargs="+",
        type=_lengths,
        default=[(128, 1024), (1024, 1024), (8192, 256)],
        metavar="PROMPT/ANSWER",
        help="in tokens; 128/1024 1024/1024 8192/256 if nothing is said",
    )
    cache = Path("~/.cache/cortex-bench").expanduser()
    parser.add_argument("--root", type=Path, default=cache, help="checkpoints and engines")
    parser.add_argument("--golden", type=Path, default=Path("tests/golden"))
    parser.add_argument(
        "--peer-python", type=Path, help="has torch and transformers; without it both are installed"
    )
    args = parser.parse_args()
    try:
        open_device(torch.device(args.device))
    except EngineFailed as error:
        parser.error(f"{error.message}; `--device cpu --shapes qwen3-0.6b` tries the rest")
    prompt_tokens, output_tokens = args.lengths[0]
    args.http_cases = [
        Case(n, prompt_tokens, output_tokens) for n in args.concurrencies if n in _OVER_HTTP
    ]
    return args


def _lengths(text: str) -> tuple[int, int]:
    prompt, _, answer = text.partition("/")
    return int(prompt), int(answer)


if __name__ == "__main__":
    main()
