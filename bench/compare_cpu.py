"""cortex and the engines people could pick instead, on this machine's CPU, in one run.

Identical random weights at published shapes, token equality with transformers in float32 checked
first, then rounds in which every engine is measured, in turn: decoding at concurrency 1 and 8, and
prefill of a long prompt. Engines wait stopped while others are measured. An engine that cannot be
installed or started is skipped, with the reason.

    python -m bench.compare_cpu --dtypes bfloat16 --out bench/results/cpu-bfloat16.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cortex.cli.output import align
from cortex.peer.measure.timeline import Timeline

from .compare import Kind, Measured, decode_rate, equal_tokens, prefill_rate, ratios, table
from .machine import available_bytes, load_average, tree_peak_bytes
from .make_checkpoint import DTYPES, Dtype, make_checkpoint
from .peers import cortex_peer, llama_cpp, transformers_generate, vllm_cpu
from .peers.base import CannotRun, Engine, Family, Prompt, Running, Setting
from .peers.process import exit_when_terminated, pause, resume
from .report import arguments, written
from .shapes import SHAPES

ENGINES: tuple[Engine, ...] = (
    cortex_peer.CortexPeer(),
    transformers_generate.TransformersGenerate(),
    llama_cpp.LlamaCpp(),
    vllm_cpu.VllmCpu(),
)
REFERENCE = transformers_generate.TransformersGenerate()
# What fits beside three other engines in the memory of a small machine.
_SHAPES = ("qwen3-0.6b", "qwen3.5-0.8b")
_CONCURRENCY = 8
_CHECK_PROMPTS, _CHECK_TOKENS = 4, 8
_HEAD = (
    *("ENGINE", "DECODE AT 1", "AT 8", "PREFILL"),
    *("CORTEX / IT: AT 1", "AT 8", "PREFILL", "TOKENS EQUAL"),
)
# Who takes longer for the first round is not asked again: it will not be the best of any.
_LONGEST_ROUND_S = 120
# Weights, the packed copy that some engines make, and room for the rest.
_WEIGHTS_TIMES = 2.5


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is measured."""

    rounds: int
    decode_tokens: int
    prompt_tokens: int
    prefill_tokens: int


@dataclass(slots=True)
class Case:
    """One shape in one dtype: what was measured, what was skipped."""

    shape: str
    dtype: Dtype
    versions: dict[str, str] = field(default_factory=dict[str, str])
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    equal: dict[str, int] = field(default_factory=dict[str, int])
    peak_bytes: dict[str, int] = field(default_factory=dict[str, int])
    measured: list[Measured] = field(default_factory=list[Measured])

    def lines(self) -> list[str]:
        agreed = {name: f"{n} of {num_checked()}" for name, n in self.equal.items()}
        rows = table(self.measured, ratios(self.measured, self.exact), agreed)
        lines = [f"{self.shape} {self.dtype}, tokens a second", *align(_HEAD, rows)]
        return lines + [f"{name} skipped: {why}" for name, why in self.skipped.items()]

    @property
    def exact(self) -> frozenset[str]:
        """In float32 an engine must say what the reference says; in bfloat16 it may round."""
        names = self.equal if self.dtype == "bfloat16" else ()
        whole = [name for name, count in self.equal.items() if count == num_checked()]
        return frozenset((*names, *whole))

    def as_json(self) -> dict[str, Any]:
        found = ratios(self.measured, self.exact)
        return {
            "shape": self.shape,
            "dtype": self.dtype,
            "versions": self.versions,
            "skipped": self.skipped,
            "equal_tokens": self.equal,
            "checked_tokens": num_checked(),
            "peak_bytes": self.peak_bytes,
            "ratios": [asdict(ratio) for ratio in found],
            "measured": [asdict(measured) for measured in self.measured],
        }


def num_checked() -> int:
    return _CHECK_PROMPTS * _CHECK_TOKENS


def main() -> None:
    exit_when_terminated()
    args = _read_arguments()
    amounts = Amounts(args.rounds, args.decode_tokens, args.prompt_tokens, args.prefill_tokens)
    engines = [engine for engine in ENGINES if engine.name in args.engines]
    cases: list[Case] = []
    for shape in args.shapes:
        for dtype in args.dtypes:
            cases.append(Case(shape, dtype))
            compare(cases[-1], engines, amounts, args.root, args.threads)
            print("\n".join(cases[-1].lines()), flush=True)
            written(
                args.out,
                "engines on the CPU, interleaved; tokens a second, ratios within each round",
                threads=args.threads,
                amounts=asdict(amounts),
                settings={engine.name: engine.settings for engine in engines},
                cases=[case.as_json() for case in cases],
            )


def compare(
    case: Case, engines: Sequence[Engine], amounts: Amounts, root: Path, threads: int
) -> None:
    """Start the engines, check their tokens, measure them in turns."""
    setting = _setting(case, root, threads, amounts)
    reference = reference_answers(case, setting, root)
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        for engine in engines:
            log = root / "logs" / f"{engine.name}-{case.shape}-{case.dtype}.log"
            try:
                case.versions[engine.name] = engine.install(root)
                _need_memory(setting.model_dir)
                started = stack.enter_context(engine.running(root, replace(setting, log=log)))
                case.equal[engine.name] = equal_tokens(reference, check_answers(started))
                _warm_up(started, amounts)
            except CannotRun as error:
                case.skipped[engine.name] = str(error)
                _say(f"{engine.name} skipped: {error}")
                continue
            _say(f"{engine.name} runs; {case.equal[engine.name]} of {num_checked()} tokens equal")
            pause(started.pid)
            running[engine.name] = started
        slow: set[str] = set()
        for number in range(amounts.rounds):
            # Everybody is first once: who follows whom must not matter.
            names = list(running)
            start = number % max(1, len(names))
            for name in names[start:] + names[:start]:
                if name not in slow:
                    began_s = time.monotonic()
                    _measure(case, name, running[name], number, amounts)
                    if time.monotonic() - began_s > _LONGEST_ROUND_S:
                        slow.add(name)
        for name, started in running.items():
            case.peak_bytes[name] = tree_peak_bytes(started.pid)


def reference_answers(case: Case, setting: Setting, root: Path) -> list[Timeline]:
    """What transformers says in float32; kept beside the checkpoint."""
    kept = setting.model_dir.with_suffix(".reference.json")
    if not kept.exists():
        log = root / "logs" / f"reference-{case.shape}.log"
        version = REFERENCE.install(root)
        with REFERENCE.running(root, replace(setting, dtype="float32", log=log)) as started:
            said = check_answers(started)
        plain = {
            "transformers": version,
            "answers": [{"token_ids": s.token_ids, "text": s.text} for s in said],
        }
        kept.write_text(f"{json.dumps(plain)}\n", encoding="utf-8")
    told = json.loads(kept.read_text(encoding="utf-8"))["answers"]
    return [Timeline(0, 0, token_ids=tuple(one["token_ids"]), text=one["text"]) for one in told]


def check_answers(running: Running) -> list[Timeline]:
    return answers(running, digits("check", _CHECK_PROMPTS, 24), _CHECK_TOKENS)


def answers(running: Running, prompts: Sequence[Prompt], num_tokens: int) -> list[Timeline]:
    """Its answers. Raises CannotRun where it read or wrote another number of tokens."""
    seen = running.answer(prompts, num_tokens)
    for prompt, answer in zip(prompts, seen, strict=True):
        read, wrote = answer.prompt_tokens, answer.output_tokens
        wished = len(prompt.token_ids)
        if read != wished or wrote != num_tokens:
            raise CannotRun(
                f"asked for {wished} and {num_tokens} tokens, it had {read} and {wrote}"
            )
    return seen


def digits(seed: str, count: int, num_tokens: int) -> list[Prompt]:
    """Prompts of so many tokens, all different; the same seed gives the same ones."""
    source = random.Random(seed)
    return [Prompt("".join(source.choices("0123456789", k=num_tokens))) for _ in range(count)]


def _measure(case: Case, name: str, running: Running, number: int, amounts: Amounts) -> None:
    decodes: tuple[tuple[Kind, int], ...] = (("decode at 1", 1), ("decode at 8", _CONCURRENCY))
    resume(running.pid)
    try:
        for kind, count in decodes:
            prompts = digits(f"{kind} {number}", count, amounts.prompt_tokens)
            rate = decode_rate(answers(running, prompts, amounts.decode_tokens))
            case.measured.append(Measured(name, kind, number, rate, load_average()))
        prompts = digits(f"prefill {number}", 1, amounts.prefill_tokens)
        (seen,) = answers(running, prompts, 1)
        rate = prefill_rate(seen, amounts.prefill_tokens)
        case.measured.append(Measured(name, "prefill", number, rate, load_average()))
    except CannotRun as error:
        case.skipped[name] = f"in round {number + 1}: {error}"
    finally:
        pause(running.pid)


def _say(text: str) -> None:
    """What goes on, for whoever waits; the figures go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _warm_up(running: Running, amounts: Amounts) -> None:
    for count in (1, _CONCURRENCY):
        running.answer(digits(f"warm-up {count}", count, amounts.prompt_tokens), 4)
    running.answer(digits("warm-up", 1, amounts.prefill_tokens), 1)


def _setting(case: Case, root: Path, threads: int, amounts: Amounts) -> Setting:
    shape = SHAPES[case.shape]
    model_dir = root / "models" / f"{case.shape.replace('.', '_')}-{case.dtype}"
    if not model_dir.exists():
        make_checkpoint(shape, case.dtype, model_dir, seed=0)
    family: Family = "qwen3" if shape.config["model_type"] == "qwen3" else "qwen3_5"
    longest = max(amounts.prefill_tokens, amounts.prompt_tokens + amounts.decode_tokens)
    context_tokens = -(-(longest + 64) // 256) * 256
    return Setting(
        model_dir, family, case.dtype, threads, _CONCURRENCY, context_tokens, root / "logs" / "log"
    )


def _need_memory(model_dir: Path) -> None:
    """Refuse what would push the others out of memory."""
    weights_bytes = sum(path.stat().st_size for path in model_dir.glob("*.safetensors"))
    needed_bytes = int(_WEIGHTS_TIMES * weights_bytes)
    if available_bytes() < needed_bytes:
        free_gb, needed_gb = available_bytes() / 1e9, needed_bytes / 1e9
        raise CannotRun(f"{free_gb:.1f} GB are free beside the others, {needed_gb:.1f} are wanted")


def _read_arguments() -> argparse.Namespace:
    names = [engine.name for engine in ENGINES]
    parser = arguments(__doc__)
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=_SHAPES)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--engines", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decode-tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--prefill-tokens", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    cache = Path("~/.cache/cortex-bench").expanduser()
    parser.add_argument("--root", type=Path, default=cache, help="engines and checkpoints")
    return parser.parse_args()


if __name__ == "__main__":
    main()
