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
_TIMEOUT_S = 60
# No liberties with the order of sums; products and sums may be one instruction. The next two take
# none either, and without them no loop with a square root or a choice becomes vectors.
_FLAGS = (
    *("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fopenmp", "-shared", "-fPIC"),
)


class NotCompiled(Exception):
    """No library, and why, in words for a log."""


def compiled(folder: Path, definitions: Sequence[str], cache_dir: Path) -> Path:
    """The library of all of a folder's files, with these names defined. Raises NotCompiled."""
    compilers = [found for name in _COMPILERS if (found := shutil.which(name))]
    why = f"none of {', '.join(_COMPILERS)} is installed"
    flags = [*_FLAGS, _for_this_processor(), *(f"-D{name}" for name in definitions)]
    for compiler in compilers:
        try:
            return _compiled_by(compiler, flags, sorted(folder.glob("*.[ch]")), cache_dir)
        except (NotCompiled, OSError) as error:
            why = str(error)
    raise NotCompiled(why)


def _compiled_by(compiler: str, flags: list[str], files: list[Path], cache_dir: Path) -> Path:
    """Raises NotCompiled, or OSError where the cache cannot be used."""
    key = _key([file.read_bytes() for file in files], flags, Path(compiler).resolve())
    cache_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    owned = cache_dir.stat()
    # What lies there is run.
    if owned.st_uid != os.geteuid() or owned.st_mode & 0o022:
        raise NotCompiled(f"others may write into {cache_dir}")
    library = cache_dir / f"kernels-{key}.so"
    if not library.exists():
        _compile([compiler, *flags, *(str(file) for file in files if file.suffix == ".c")], library)
    return library


def _compile(command: list[str], library: Path) -> None:
    """Whole or not at all, whoever else does the same at the time."""
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        out = Path(folder) / library.name
        started_s = time.monotonic()
        try:
            run = subprocess.run(
                [*command, "-o", str(out), "-lm"],
                capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise NotCompiled(f"{command[0]} took more than {_TIMEOUT_S} s") from error
        if run.returncode:
            lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
            first = next((line for line in lines if "error" in line), lines[0])
            raise NotCompiled(f"{command[0]} failed: {first}")
        with out.open("rb") as written:
            os.fsync(written.fileno())  # half a library ends the process that loads it
        os.replace(out, library)
    took_s = time.monotonic() - started_s
    _log.info("kernels compiled by %s in %.1f s: %s", command[0], took_s, library)


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
