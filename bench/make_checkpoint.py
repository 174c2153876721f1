"""Random weights at a published shape, as a folder that every engine loads.

Speed does not depend on what a model knows. The numbers are drawn as an untrained model's are, from
a seed and the tensor's name; they are bfloat16 numbers in the float32 file too, so that all engines
and both files compute the same model. Written as it is drawn: memory stays small whatever the size.

    python -m bench.make_checkpoint qwen3-0.6b --dtype bfloat16 /tmp/qwen3-0.6b
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch

from .made_tokenizer import write_tokenizer
from .shapes import SHAPES, Shape, Tensor, tensors_of, text_part

Dtype = Literal["bfloat16", "float32", "float16"]

DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32", "float16")
MAX_SHARD_BYTES = 2_000_000_000
_TORCH = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}
_WORDS = {"bfloat16": "BF16", "float32": "F32", "float16": "F16"}
CPU = torch.device("cpu")
_CHUNK_ELEMENTS = 4 * 1024 * 1024
# A_log is drawn as the log of this range, the way the architecture's authors initialise it.
_LOWEST_RATE, _HIGHEST_RATE = 0.01, 16.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("out", type=Path, help="the folder to make; it must not exist")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", type=torch.device, default=CPU, help="where they are drawn")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} exists; name another folder, or remove it")
    make_checkpoint(SHAPES[args.shape], args.dtype, args.out, seed=args.seed, device=args.device)
    size_bytes = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {size_bytes / 1e9:.2f} GB, {args.shape}, {args.dtype}, seed {args.seed}")


def make_checkpoint(
    shape: Shape,
    dtype: Dtype,
    out: Path,
    *,
    seed: int,
    device: torch.device = CPU,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """The folder `out`, whole or not at all. Devices draw different numbers from one seed."""
    # What an interrupted run left is of no use: its name never was the folder's.
    folder = out.with_name(f"{out.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    config = {**shape.config, "dtype": dtype, "torch_dtype": dtype}
    (folder / "config.json").write_text(f"{json.dumps(config, indent=1)}\n", encoding="utf-8")
    write_tokenizer(shape, folder)
    std = float(text_part(shape.config)["initializer_range"])
    shards = plan_shards(tensors_of(shape.config), dtype, max_shard_bytes)
    names = _shard_names(len(shards))
    for name, tensors in zip(names, shards, strict=True):
        _write_shard(folder / name, tensors, dtype, std, seed, device)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(num_bytes(t, dtype) for s in shards for t in s)},
            "weight_map": {t.name: name for name, s in zip(names, shards, strict=True) for t in s},
        }
        path = folder / "model.safetensors.index.json"
        path.write_text(f"{json.dumps(index, indent=1)}\n", encoding="utf-8")
    folder.rename(out)


def plan_shards(
    tensors: Iterable[Tensor], dtype: Dtype, max_shard_bytes: int
) -> list[list[Tensor]]:
    """Tensors in their order, in as few files as the limit allows; a larger one is alone in its."""
    shards: list[list[Tensor]] = [[]]
    shard_bytes = 0
    for tensor in tensors:
        size_bytes = num_bytes(tensor, dtype)
        if shards[-1] and shard_bytes + size_bytes > max_shard_bytes:
            shards.append([])
            shard_bytes = 0
        shards[-1].append(tensor)
        shard_bytes += size_bytes
    return shards


def _shard_names(num_shards: int) -> list[str]:
    if num_shards == 1:
        return ["model.safetensors"]
    return [f"model-{n:05}-of-{num_shards:05}.safetensors" for n in range(1, num_shards + 1)]


def _write_shard(
    path: Path,
    tensors: Sequence[Tensor],
    dtype: Dtype,
    std: float,
    seed: int,
    device: torch.device,
) -> None:
    with path.open("wb") as file:
        file.write(_header(tensors, dtype))
        for tensor in tensors:
            for chunk in draw(tensor, std, seed, device):
                stored = chunk.to(_TORCH[_dtype_of(tensor, dtype)]).cpu()
                file.write(stored.view(torch.uint8).numpy().tobytes())


def _header(tensors: Sequence[Tensor], dtype: Dtype) -> bytes:
    """What safetensors begins with: a length, and where each tensor lies."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for tensor in tensors:
        end = begin + num_bytes(tensor, dtype)
        entries[tensor.name] = {
            "dtype": _WORDS[_dtype_of(tensor, dtype)],
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    # Tensors begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def draw(
    tensor: Tensor, std: float, seed: int, device: torch.device = CPU
) -> Iterator[torch.Tensor]:
    """The tensor's numbers, flat, in float32 pieces; all but the float32 ones fit bfloat16."""
    digest = hashlib.blake2b(f"{seed} {tensor.name}".encode(), digest_size=8).digest()
    generator = torch.Generator(device).manual_seed(int.from_bytes(digest, "big") >> 1)
    num_left = math.prod(tensor.shape)
    while num_left:
        num_now = min(num_left, _CHUNK_ELEMENTS)
        chunk = torch.empty(num_now, device=device)  # [elements]
        if tensor.draw == "normal":
            chunk.normal_(0.0, std, generator=generator)
        elif tensor.draw == "log_uniform":
            chunk.uniform_(_LOWEST_RATE, _HIGHEST_RATE, generator=generator).log_()
        else:
            chunk.fill_(1.0 if tensor.draw == "ones" else 0.0)
        yield chunk if tensor.is_float32 else chunk.bfloat16().float()
        num_left -= num_now


def num_bytes(tensor: Tensor, dtype: Dtype) -> int:
    """What the tensor takes in a file of that dtype."""
    return math.prod(tensor.shape) * _TORCH[_dtype_of(tensor, dtype)].itemsize


def _dtype_of(tensor: Tensor, dtype: Dtype) -> Dtype:
    return "float32" if tensor.is_float32 else dtype


if __name__ == "__main__":
    main()
