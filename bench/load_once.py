"""Loads a model once and says how long it took and what it held, as one JSON object.

Run by `bench.load` in a process of its own, whose memory is then the load's alone.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path

import torch

from cortex.engine.models.registry import load_model

from .machine import read_kib

_STATUS = Path("/proc/self/status")
_SAMPLE_S = 0.002
_PAGE_BYTES = 4096


class Watch:
    """Samples this process's own memory: what is mapped from files the system can take back."""

    def __init__(self) -> None:
        self.most_bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self.most_bytes = max(self.most_bytes, read_kib(_STATUS, "RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--dtype", required=True)
    args = parser.parse_args()
    before_bytes = read_kib(_STATUS, "RssAnon")
    with Watch() as watch:
        began_s = time.perf_counter()
        loaded = load_model(args.model_dir, getattr(torch, args.dtype), torch.device("cpu"))
        for parameter in loaded.model.parameters():
            touch(parameter.detach())
        load_s = time.perf_counter() - began_s
    told = {
        "load_s": load_s,
        "weight_bytes": loaded.weight_bytes,
        "peak_own_bytes": watch.most_bytes - before_bytes,
    }
    print(json.dumps(told))


def touch(tensor: torch.Tensor) -> None:
    """Read a byte of every page: nothing may be left to be read later."""
    if tensor.is_contiguous():
        tensor.view(-1).view(torch.uint8)[::_PAGE_BYTES].sum()


if __name__ == "__main__":
    main()
