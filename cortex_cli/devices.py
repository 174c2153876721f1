"""What can compute on this machine: the devices that `--gpu` means, and whether torch is there.

The NVIDIA driver's tool lists its devices, and torch writes down what it was built for: neither
needs torch to be loaded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cortex.peer.config import Card, EngineKind
from cortex.peer.devices.cards import OLDER_CUDA, find_cards, too_old, too_weak
from cortex.peer.units import memory

from .config import visible_gpus
from .errors import EngineMissing, NotThereYet, UsageProblem

_CPU_TORCH = "the torch here was built without CUDA"
_UNSEEN = "no NVIDIA device is seen"


@dataclass(frozen=True, slots=True)
class Devices:
    """`names` are what people call them; `note` says what the wish did not get, and `cards` are
    those of the names that are cards.
    """

    names: tuple[str, ...] = ()
    note: str = ""
    cards: tuple[Card, ...] = ()


def find_gpus(wish: str = "all") -> Sequence[Card]:
    """Those that this process may use; nobody looks for them where the CPU is meant."""
    return () if wish == "cpu" else asyncio.run(find_cards(visible_gpus()))


def torch_cuda(folder: Path | None = None) -> str | None:
    """The CUDA that the torch in `folder`, else the installed one, was built for: empty where that
    is none, None where nobody says.
    """
    if folder is None:
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return None
        folder = Path(spec.origin).parent
    try:
        built_for = (folder / "version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"^cuda\b[^=]*= *(?:None|'([\d.]+)') *$", built_for, re.MULTILINE)
    return None if found is None else found[1] or ""


def choose_devices(
    wish: str,
    cards: Sequence[Card],
    cuda: str | None = None,
    driver: str = "",
    why_unseen: str = "",
) -> Devices:
    """The devices that compute. `cuda` is what torch was built for, and `driver` a version;
    `why_unseen` is said where there is no card.

    Raises NotThereYet for one that is not there, UsageProblem for one that this torch cannot use.
    """
    if wish == "cpu":
        return Devices(("cpu",))
    if wish == "all":
        if not cards:
            return Devices(("cpu",), "; ".join(filter(None, (_UNSEEN, why_unseen))))
        if cuda == "":
            return Devices(("cpu",), f"{_CPU_TORCH}, and the NVIDIA device stays idle")
        weak = {card: wrong for card in cards if (wrong := too_weak(card, cuda))}
        note = f"{'; '.join(weak.values())}: idle until you {OLDER_CUDA}" if weak else ""
        if len(weak) == len(cards):
            return Devices(("cpu",), note)
        notes = filter(None, (note, too_old(driver, cuda)))
        return _with_cards([card for card in cards if card not in weak], "; ".join(notes))
    wanted, by_number = _numbers(wish), {card.number: card for card in cards}
    if missing := [number for number in wanted if number not in by_number]:
        here = ",".join(map(str, by_number)) or "none"
        raise NotThereYet(
            f"gpu {missing[0]} asked for, but this machine has {here}.",
            "they count as in nvidia-smi; CUDA_VISIBLE_DEVICES hides those it does not name"
            if cards
            else "to compute without one: --gpu cpu",
        )
    if cuda == "":
        raise UsageProblem(
            f"gpu {wanted[0]} asked for, but {_CPU_TORCH}.",
            "install a torch built with CUDA, or compute without it: --gpu cpu",
        )
    chosen = [by_number[number] for number in wanted]
    if wrong := next(filter(None, (too_weak(card, cuda) for card in chosen)), ""):
        raise UsageProblem(f"{wrong}.", f"{OLDER_CUDA}, or leave the card out of --gpu")
    return _with_cards(chosen, too_old(driver, cuda))


def _with_cards(cards: Sequence[Card], note: str) -> Devices:
    return Devices(tuple(card.device for card in cards), note, tuple(cards))


def fake_devices(wish: str) -> Devices:
    """Those of an engine that computes nothing: as many as are asked for."""
    if wish in ("all", "cpu"):
        return Devices(("cpu",))
    return Devices(tuple(f"fake:{index}" for index in _numbers(wish)))


def _numbers(wish: str) -> list[int]:
    if not re.fullmatch(r"\d{1,4}(,\d{1,4})*", wish):
        raise UsageProblem(f"--gpu takes all, none, cpu or numbers such as 0,1, not {wish!r}.")
    return list(dict.fromkeys(int(index) for index in wish.split(",")))


def check_memory(wish_bytes: int | None, machine_bytes: int) -> None:
    """Raises UsageProblem where the processors are to have more than there is."""
    if wish_bytes is not None and wish_bytes > machine_bytes:
        raise UsageProblem(
            f"--memory {memory(wish_bytes)} is more than the {memory(machine_bytes)} of this"
            " machine.",
            "give it less, or leave it out: then the engine takes most of what is free",
        )


def require_engine(engine: EngineKind = "torch") -> None:
    """Raises EngineMissing where `engine` needs torch and there is none; it is not loaded here."""
    if engine == "torch" and find_spec("torch") is None:
        from cortex.peer.release import install_engine

        raise EngineMissing(
            "there is no torch here to compute with.",
            f"{install_engine()}; or ask another peer with --peer HOST:PORT",
        )
