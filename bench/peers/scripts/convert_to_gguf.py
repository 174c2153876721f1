"""Runs llama.cpp's own converter on a checkpoint whose tokenizer was made on the spot.

The converter knows tokenizers by a hash of what they make of a sample text, which a made one cannot
match; which published one it cuts text like is told here instead.

    python convert_to_gguf.py LLAMA_CPP_FOLDER qwen2 CHECKPOINT --outfile FILE --outtype bf16
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    folder, cuts_like = sys.argv[1], sys.argv[2]
    sys.path[:0] = [folder, f"{folder}/gguf-py"]
    base: Any = importlib.import_module("conversion.base")

    def known(self: Any, tokenizer: Any) -> str:
        return cuts_like

    base.TextModel.get_vocab_base_pre = known
    converter: Any = importlib.import_module("convert_hf_to_gguf")
    sys.argv[1:3] = []
    converter.main()


if __name__ == "__main__":
    main()
