"""A folder of C to a library of this machine's own, compiled once and kept in the user's cache.

What is kept is named by all that it depends on: source, flags, compiler and processor. Knows
nothing of what the library computes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_log = logging.getLogger(__name__)

_COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT_S = 120
# The bits of a number must not depend on the optimiser's liberties; these two take none with them,
# and without them no loop with a square root or a choice becomes vectors.
_FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_THREADS = "-fopenmp"


class NotCompiled(Exception):
    """No library, and why, in words for a log."""


def compiled(folder: Path, definitions: Sequence[str], cache_dir: Path) -> Path:
    """The library of all of a folder's files, with these names defined. Raises NotCompiled."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise NotCompiled(f"none of {', '.join(_COMPILERS)} is installed")
    flags = [*_FLAGS, _for_this_processor(), *(f"-D{name}" for name in definitions)]
    files = sorted(folder.glob("*.[ch]"))
    key = _key([file.read_bytes() for file in files], flags, Path(compiler).resolve())
    library = cache_dir / f"kernels-{key}.so"
    if not library.exists():
        try:
            cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            _compile(compiler, flags, [str(each) for each in files if each.suffix == ".c"], library)
        except OSError as error:
            raise NotCompiled(str(error)) from error
    return library


def _compile(compiler: str, flags: list[str], sources: list[str], library: Path) -> None:
    """With threads where the compiler has them; whole or not at all, whoever else does the same."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        out = Path(folder) / library.name
        started_s = time.monotonic()
        for threads in ([_THREADS], []):
            command = [compiler, *flags, *threads, *sources, "-o", str(out), "-lm"]
            try:
                run = subprocess.run(
                    command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise NotCompiled(f"{compiler} took more than {_TIMEOUT_S} s") from error
            if run.returncode == 0:
                os.replace(out, library)
                took_s = time.monotonic() - started_s
                _log.info("kernels compiled by %s in %.1f s: %s", compiler, took_s, library)
                return
    last_line = run.stderr.strip().rpartition("\n")[2]
    raise NotCompiled(f"{compiler} failed: {last_line}")


def _for_this_processor() -> str:
    return "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"


def _key(sources: Sequence[bytes], flags: Sequence[str], compiler: Path) -> str:
    found = compiler.stat()
    told = (*flags, str(compiler), str(found.st_size), str(found.st_mtime_ns), _processor())
    return hashlib.sha256(b"\0".join((*sources, *map(str.encode, told)))).hexdigest()[:16]


def _processor() -> str:
    """What this processor is and can do, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    first = lines[: lines.index("")] if "" in lines else lines
    return "\n".join(
        line for line in first if line.startswith(("model", "flags", "Features", "CPU"))
    )
