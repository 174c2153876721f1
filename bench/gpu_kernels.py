"""What a GPU's kernels become for an architecture, as far as that is known without one.

Registers of a thread, what did not fit into them (bytes of stack), and shared memory of a block, as
Triton's compiler and NVIDIA's assembler, which it brings along, make them.

    python -m bench.gpu_kernels --architecture 90
"""

# What compiles kernels takes and gives values without types.
# pyright: basic
from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cortex.engine.kernels.gpu import delta_step, norms, paged_attention, swiglu, turning

_CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
_PAGES = {"pages": "*i64", "lengths": "*i64"}


def kernels() -> Iterator[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Each with its tensors' types, its constants and its options: as Qwen3.5-9B takes them."""
    attention = vars(paged_attention)
    heads = {"heads": 16, "kv_heads": 4}
    sums = {"sums": "*fp32", "weights": "*fp32"}
    part = {"part_tokens": paged_attention.PART_TOKENS}
    for dim, rows in ((64, 16), (128, 16), (256, 16), (256, 32), (256, 64)):
        constants = {
            **heads, **part, "dim": dim, "page_tokens": 64, "block_rows": rows, "block_dim": dim,
            "block_tokens": attention["_block_tokens"](torch.bfloat16, rows, dim, 64),
        }  # fmt: skip
        types = {**_PAGES, **sums, **_halves("queries keys values"), "scale_log2": "fp32"}
        yield attention["_attend_part"], types, constants, {"num_warps": 4, "num_stages": 2}
    constants = {"heads": 16, **part, "dim": 256, "block_dim": 256, "at_once": 16}
    types = {**sums, "lengths": "*i64", **_halves("outs")}
    yield attention["_add_parts"], types, constants, {"num_warps": 2}
    types = {
        **_PAGES, **_halves("queries keys values query_weights key_weights cos sin"),
        **_halves("turned kept_keys kept_values"),
        **dict.fromkeys(("query_offset", "key_offset", "query_eps", "key_eps"), "fp32"),
    }  # fmt: skip
    constants = {
        **heads, "dim": 256, "page_tokens": 64, "turning": 64, "has_norms": True, "block_dim": 256,
    }  # fmt: skip
    yield vars(turning)["_turn"], types, constants, {"num_warps": 1}
    types = {
        **_halves("qkv z b a conv_states conv_weights dt_biases outs"), "slots": "*i64",
        **dict.fromkeys(("states", "a_logs", "norm_weights"), "*fp32"), "eps": "fp32",
    }  # fmt: skip
    constants = {
        "key_heads": 16, "value_heads": 32, "key_dim": 128, "value_dim": 128, "taps": 4,
        "block_taps": 4, "block_key": 128, "block_value": 128,
    }  # fmt: skip
    yield vars(delta_step)["_delta_step"], types, constants, {"num_warps": 8}
    types = {**_halves("x update weight total normed"), "offset": "fp32", "eps": "fp32"}
    for has_update, size, block in ((False, 4096, 4096), (True, 4096, 4096), (True, 5120, 8192)):
        constants = {"size": size, "has_update": has_update, "block": block}
        yield vars(norms)["_rms_norm"], types, constants, {"num_warps": 16}
    constants = {"size": 12288, "block": 1024}
    yield vars(swiglu)["_silu_times"], _halves("gates ups outs"), constants, {"num_warps": 4}


def _halves(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "*bf16")


def compiled(
    kernel: Any,
    types: dict[str, str],
    constants: dict[str, Any],
    options: dict[str, int],
    target: GPUTarget,
) -> dict[str, Any]:
    names: list[str] = kernel.arg_names
    signature = {n: "constexpr" if n in constants else types.get(n, "i32") for n in names}
    # Tensors begin at multiples of sixteen bytes, as torch's do.
    aligned = {
        (i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if signature[n].startswith("*")
    }
    values = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, values, aligned)
    made: Any = triton.compile(source, target=target, options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        told = subprocess.run(
            [_CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    registers, stack = (
        int(found.group(1))
        for word in ("REG", "STACK")
        if (found := re.search(rf"{word}:(\d+)", told))
    )
    sizes = {name: constants[name] for name in ("dim", "block_rows") if name in constants}
    return {
        "kernel": kernel.__name__, **sizes, "registers": registers, "stack_bytes": stack,
        "shared_bytes": made.metadata.shared,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", type=int, default=90, help="80, 86, 90, 100")
    target = GPUTarget("cuda", parser.parse_args().architecture, 32)
    for kernel, types, constants, options in kernels():
        print(json.dumps(compiled(kernel, types, constants, options, target)), flush=True)


if __name__ == "__main__":
    main()
