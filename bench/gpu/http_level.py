"""The same over HTTP: a peer of this checkout, from its start, and what it does when idle."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..compare import decode_rate
from ..compare_cpu import answers, digits
from ..machine import cpu_s, tree
from ..peers.cortex_peer import cortex_server
from ..peers.served import Server
from .engine_level import Case

_IDLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """`first_token_s` is from the start of the process, weights read and all."""

    first_token_s: float
    idle_cores: float
    decode_tokens_per_s: tuple[float, ...]


def serve(model_dir: Path, gpu: str, dtype: str, cases: Sequence[Case], log: Path) -> Served:
    """Raises CannotRun, with the peer's last words."""
    options = ("--models", str(model_dir.parent), "--dtype", dtype, "--speculation", "off")
    began_s = time.perf_counter()
    with cortex_server(model_dir.name, log, None, options, gpu) as server:
        server.answer(digits("first", 1, 16), 1)
        first_token_s = time.perf_counter() - began_s
        rates = tuple(_decode_rate(server, case) for case in cases)
        return Served(first_token_s, _idle_cores(server.pid), rates)


def _decode_rate(server: Server, case: Case) -> float:
    """The second time: in the first, kernels and graphs are made."""
    warm, prompts = (
        digits(f"{word} {case}", case.concurrency, case.prompt_tokens)
        for word in ("warm-up", "http")
    )
    answers(server, warm, case.output_tokens)
    return decode_rate(answers(server, prompts, case.output_tokens))


def _idle_cores(pid: int) -> float:
    """CPU seconds a second of the peer and its engines, while nobody asks anything."""
    before_s = sum(map(cpu_s, tree(pid)))
    time.sleep(_IDLE_S)
    return (sum(map(cpu_s, tree(pid))) - before_s) / _IDLE_S
