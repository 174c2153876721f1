"""A process that tries grammars: `python -m cortex.engine.grammars.trial`.

Grammars are made of what clients send, and nothing can stop the library while it compiles one: so
they are compiled first where it costs nobody anything if that takes too long or too much memory.
The kernel ends this process then; whoever waits for its word sees the pipe close. Reads and writes
a length of four bytes, highest first, and so much UTF-8: a grammar, and why it cannot be used. The
first that it writes says that it is there, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import struct
import sys
from typing import BinaryIO, cast

import llguidance

from .limits import parser_limits

_LENGTH = struct.Struct(">I")


def main() -> None:
    parser = argparse.ArgumentParser(prog="cortex-grammar-trial")
    parser.add_argument("--seconds", type=float, required=True, help="what one grammar may take")
    parser.add_argument("--real-seconds", type=float, required=True, help="of the clock")
    parser.add_argument("--memory-bytes", type=int, required=True, help="of address space, in all")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c at the terminal is the parent's
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    bound(resource.RLIMIT_AS, options.memory_bytes)
    bound(resource.RLIMIT_CORE, 0)
    tokenizer = byte_tokenizer()
    _say("")
    while (grammar := _read(sys.stdin.buffer)) is not None:
        # Its own time: on a busy machine that of the clock is no grammar's fault. It has an end
        # all the same, for whoever waits.
        signal.setitimer(signal.ITIMER_PROF, options.seconds)
        signal.setitimer(signal.ITIMER_REAL, options.real_seconds)
        reason = why_not(tokenizer, grammar)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(reason)


def bound(limit: int, most: int) -> None:
    """Where the system can: macOS bounds no address space, and there time alone is bounded."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(limit, (most, most))


def byte_tokenizer() -> llguidance.LLTokenizer:
    return llguidance.LLTokenizer(cast(llguidance.TokenizerWrapper, _Bytes()))


def why_not(tokenizer: llguidance.LLTokenizer, grammar: str) -> str:
    """Compile, and take the first step; nothing where both went well."""
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=parser_limits())
    if matcher.is_error():
        return matcher.get_error()
    matcher.compute_bitmask()
    if matcher.is_error():
        return f"nothing may come first that obeys it. {matcher.get_error()}"
    return ""


class _Bytes:
    """A tokenizer whose tokens are the bytes: what is wrong with a grammar shows with any."""

    is_tokenizer_wrapper = True
    eos_token_id = 256
    bos_token_id = None
    special_token_ids = (256,)

    def __init__(self) -> None:
        self.tokens = [*(bytes((byte,)) for byte in range(256)), b"<end>"]

    def __call__(self, text: bytes | str) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


def _say(text: str) -> None:
    data = text.encode()
    sys.stdout.buffer.write(_LENGTH.pack(len(data)) + data)
    sys.stdout.buffer.flush()


def _read(stream: BinaryIO) -> str | None:
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    return stream.read(_LENGTH.unpack(header)[0]).decode()


if __name__ == "__main__":
    main()
