"""What can compute on this machine: the device that `--gpu` means, and whether torch is there.

The NVIDIA driver lists its devices in a folder: counting them needs neither torch nor a library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cortex.peer.config import EngineKind

from .errors import EngineMissing, UsageProblem

DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Device:
    """`name` is what torch calls it; `note` says what the wish did not get."""

    name: str
    note: str = ""


def count_gpus(listing: Path = DRIVER_GPUS) -> int:
    return sum(1 for _ in listing.iterdir()) if listing.is_dir() else 0


def choose_device(wish: str, num_gpus: int) -> Device:
    """The device that computes.

    Raises UsageProblem for a device that is not there, or a wish for more than one.
    """
    if wish == "cpu":
        return Device("cpu")
    if wish == "all":
        if num_gpus == 0:
            return Device("cpu", "no NVIDIA device is seen")
        return Device("cuda:0", f"{num_gpus - 1} more stay idle" if num_gpus > 1 else "")
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", wish):
        raise UsageProblem(f"--gpu takes all, cpu or a number, not {wish!r}.")
    wanted = [int(index) for index in wish.split(",")]
    if missing := [index for index in wanted if index >= num_gpus]:
        here = ",".join(map(str, range(num_gpus))) or "none"
        raise UsageProblem(
            f"gpu {missing[0]} asked for, but this machine has {here}.",
            "" if num_gpus else "to compute without one: --gpu cpu",
        )
    if len(wanted) > 1:
        raise UsageProblem(
            f"--gpu {wish}: a peer computes on one device so far.",
            "start one peer for each: --gpu 0, --gpu 1, each with its own --port.",
        )
    return Device(f"cuda:{wanted[0]}")


def require_engine(engine: EngineKind = "torch") -> None:
    """Raises EngineMissing where `engine` needs torch and there is none; it is not loaded here."""
    if engine == "torch" and find_spec("torch") is None:
        raise EngineMissing(
            "there is no torch here to compute with.",
            "pip install 'cortex-fleet[engine]', or ask another peer with --peer HOST:PORT",
        )
