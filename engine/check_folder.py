"""`python -m cortex.engine.check_folder --engine torch|fake FOLDER`: whether a model whose weights
have still to come could be served, by all that is there before them.

Prints the error as it travels between processes, or nothing. A process of its own, because the
files may be a stranger's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import CortexError, ModelInvalid, to_info
from .frames import pack_value
from .text_model import load_text_model


def check_folder(model_dir: Path, engine: str) -> None:
    """Raises ModelInvalid, as a load or the first request would, or what is not its fault."""
    readers: list[Callable[[Path], object]] = [load_text_model]
    if engine == "torch":
        from .models.registry import read_config  # loads torch, which the fake engine does without

        readers.append(read_config)
    try:
        for read in readers:
            read(model_dir)
    except (CortexError, ImportError, MemoryError, OSError):
        raise
    except Exception as error:
        raise ModelInvalid(f"{model_dir} cannot be read ({type(error).__name__})") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="cortex-check-folder")
    parser.add_argument("--engine", choices=("torch", "fake"), required=True)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    try:
        check_folder(args.folder, args.engine)
    except CortexError as error:
        sys.stdout.buffer.write(pack_value(to_info(error)))


if __name__ == "__main__":
    main()
