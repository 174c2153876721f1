"""Whether grammars can be used, asked of a process of its own (`trial.py`), and remembered.

May be asked from several threads; one grammar is tried at a time. The process is started when it is
first needed, and again after it has ended over a grammar.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from ..errors import EngineFailed

_LENGTH = struct.Struct(">I")
_SECONDS = 2.0
_SECONDS_FOR_PARTS = 10.0
_MEMORY_BYTES = 1024 * 1024 * 1024
# Why a part is not tried for which there is no budget.
SPENT = f"it and what came before it took over {_SECONDS_FOR_PARTS:g} s to make ready"
_MAX_KNOWN = 512
_MAX_REASON_CHARS = 300
_TOO_MUCH = "it takes too long, or too much memory, to make ready"
# What a process dies of by a grammar that takes too much, and by nothing else.
_OF_GRAMMARS = frozenset({-signal.SIGPROF, -signal.SIGABRT, -signal.SIGSEGV})


@dataclass(slots=True)
class TrialBudget:
    """How long the trials for the parts of one answer may take together."""

    seconds_left: float = _SECONDS_FOR_PARTS


class GrammarTrial:
    """`why_not` of a grammar is nothing where it can be used. Raises EngineFailed where none can be
    tried: that is no grammar's fault.
    """

    def __init__(
        self,
        seconds: float = _SECONDS,
        memory_bytes: int = _MEMORY_BYTES,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock_s = clock_s
        self._command = (
            sys.executable, "-P", "-m", "cortex.engine.grammars.trial",
            "--seconds", str(seconds), "--memory-bytes", str(memory_bytes),
        )  # fmt: skip
        # Who asks for what is known does not wait for a trial.
        self._lock = threading.Lock()
        self._trial_lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        # By the digest of a grammar, in order of use.
        self._known: OrderedDict[bytes, str | None] = OrderedDict()

    def why_not(self, grammar: str, budget: TrialBudget | None = None) -> str | None:
        """What is known costs nothing, and what there is no budget for is not tried."""
        digest = hashlib.blake2b(grammar.encode(), digest_size=16).digest()
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
        with self._trial_lock:
            if budget is not None and budget.seconds_left <= 0:
                return SPENT
            began_s = self._clock_s()
            reason, is_sure = self._try(grammar)
            if budget is not None:
                budget.seconds_left -= self._clock_s() - began_s
        if not is_sure:
            return reason
        with self._lock:
            self._known[digest] = reason
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return reason

    def close(self) -> None:
        """End the process; the next grammar would start another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()

    def _try(self, grammar: str) -> tuple[str | None, bool]:
        """Why not, and whether that is sure: a process may end over other things than a grammar.
        Then another is asked, once.
        """
        for _ in range(2):
            if self._process is not None and self._process.poll() is not None:
                self.close()
            process = self._process or self._started()
            assert process.stdin is not None and process.stdout is not None
            answer = asked(process.stdin, process.stdout, grammar)
            if answer is not None:
                return worded(answer) if answer else None, True
            self.close()
            if process.returncode in _OF_GRAMMARS:
                return _TOO_MUCH, True
        return _TOO_MUCH, False

    def _started(self) -> subprocess.Popen[bytes]:
        # It is there before it answers: who closes meanwhile ends it.
        process = self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        if _read(process.stdout) is None:
            self.close()
            raise EngineFailed(
                "what tries schemas and grammars does not start on this machine",
                "its last words are in the peer's log",
            )
        return process


def asked(stdin: IO[bytes], stdout: IO[bytes], grammar: str) -> str | None:
    """What the process says of it; None where it has ended."""
    data = grammar.encode()
    try:
        stdin.write(_LENGTH.pack(len(data)) + data)
        stdin.flush()
    except OSError:
        return None
    return _read(stdout)


def _read(stdout: IO[bytes]) -> str | None:
    header = stdout.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(header)
    body = stdout.read(size)
    return body.decode() if len(body) == size else None


def worded(error: str) -> str:
    """The library's own reason, without its picture of a grammar that the client never saw."""
    reason = error.split("\n   1 |")[0].split("\n<")[0].partition(". Enable ")[0]
    _, mark, schema_reason = reason.partition("failed to compile JSON schema: ")
    reason = (schema_reason if mark else reason).replace("Unimplemented keys", "not supported")
    return " ".join(reason.split())[:_MAX_REASON_CHARS]
