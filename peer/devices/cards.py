"""Which NVIDIA cards an engine of this machine may use, by what the driver lists and hides.

They count as the driver's tool counts them, in PCI bus order, whatever is hidden: one number means
one card, in every option, log line and sensor.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..config import Card
from .gpus import ANSWER_S, FORMAT, ask, cells

DRIVER = Path("/proc/driver/nvidia")
_NODES = Path("/dev")
# A driver that nothing keeps awake takes long to list many cards.
_LIST_S = 20.0
# The oldest Linux driver that runs each CUDA's programs: NVIDIA's CUDA release notes, "minor
# version compatibility".
_OLDEST_DRIVERS = {"11": 450, "12": 525, "13": 580}
# The weakest cards that each CUDA compiles for: NVIDIA's CUDA release notes. A torch that is built
# with it may have kernels for fewer: its engine says so.
_WEAKEST_CARDS = {"12": (5, 0), "13": (7, 5)}
# What can be done about a card that is too weak.
OLDER_CUDA = "install a torch built for an older CUDA, such as 12.6"
# Since this compute capability cards multiply bfloat16 by themselves.
_HAS_BFLOAT16 = (8, 0)
_CARD = re.compile(r"GPU (\d+): (.*) \(UUID: ([^)]+)\)")
_SLICE = re.compile(r"\s+MIG .*\(UUID: (MIG-[^)]+)\)")


async def find_cards(
    visible: str | None, driver: Path = DRIVER, nodes: Path = _NODES
) -> Sequence[Card]:
    """`visible` is CUDA_VISIBLE_DEVICES, where that is set."""
    query = ask("--query-gpu=uuid,compute_cap", FORMAT, limit_s=_LIST_S)
    async with asyncio.TaskGroup() as tasks:
        told = tasks.create_task(query)
        lines = await ask("--list-gpus", limit_s=_LIST_S)
        await asyncio.wait((told,), timeout=ANSWER_S)
        told.cancel()
    if not lines:
        cards = [*_driver_cards(driver, nodes)]
    else:
        rows = map(cells, () if told.cancelled() else told.result() or ())
        cards = read_cards(lines, {row[0]: row[1] for row in rows if len(row) == 2})
    return [*_first_slices(cards if visible is None else visible_cards(visible, cards))]


def read_cards(lines: Iterable[str], capabilities: Mapping[str, str]) -> Sequence[Card]:
    """What nvidia-smi lists: a card that is cut stands there as each of its slices, for CUDA uses
    nothing else of it. `capabilities` are by UUID.
    """
    cards: list[Card] = []
    for line in lines:
        if card := _CARD.match(line):
            number, name, uuid = card.groups()
            # CUDA takes no other ids by their letters, as those of Tegra's devices are.
            id = uuid if uuid.startswith("GPU-") else number
            cards.append(Card(int(number), id, name, capabilities.get(uuid, "")))
        elif cards and (part := _SLICE.match(line)):
            whole = cards[-1] if cards[-1].is_slice else cards.pop()
            cards.append(replace(whole, id=part[1]))
    return cards


def visible_cards(visible: str, cards: Sequence[Card]) -> Iterator[Card]:
    """As CUDA reads it: numbers, or beginnings of ids; what it does not know hides the rest."""
    for word in visible.split(","):
        named = word.strip()
        found = [
            card
            for card in cards
            if (str(card.number) == named if named.isdecimal() else card.id.startswith(named))
        ]
        if not named or not found:
            return
        yield found[0]


def driver_version(driver: Path = DRIVER) -> str:
    """Empty where the kernel's module does not tell."""
    try:
        line = (driver / "version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
    return next((word for word in line.split() if word[0].isdigit() and "." in word), "")[:64]


def too_old(driver: str, cuda: str | None) -> str:
    """What is wrong with a driver, by its version, for programs of a CUDA such as 13.0; empty where
    nothing is.
    """
    oldest = _OLDEST_DRIVERS.get((cuda or "").partition(".")[0], 0)
    major = driver.partition(".")[0]
    if not major.isdecimal() or int(major) >= oldest:
        return ""
    return f"CUDA {cuda} needs a driver of {oldest} or newer, this is {driver}"


def too_weak(card: Card, cuda: str | None) -> str:
    """What keeps programs of a CUDA from ever running on a card; empty where nothing does."""
    least = _WEAKEST_CARDS.get((cuda or "").partition(".")[0], (0, 0))
    capability = _capability(card)
    if capability is None or capability >= least:
        return ""
    words = f"gpu {card.number} {card.name} has compute capability {card.capability}"
    return f"{words}, and CUDA {cuda} needs {least[0]}.{least[1]}"


def differ_in_bfloat16(cards: Iterable[Card]) -> str:
    """What is to be said of cards of which some compute in float32 for want of bfloat16: a model
    takes twice as much there, and what it takes is asked of one of them.
    """
    told = {card.number: can for card in cards if (can := _capability(card))}
    without = [number for number, can in told.items() if can < _HAS_BFLOAT16]
    if len(without) in (0, len(told)):
        return ""
    return (
        f"gpu {','.join(map(str, without))} would compute in float32 and the others in bfloat16,"
        " and models take more or less than they are expected to: --dtype bfloat16 makes them alike"
    )


def why_unseen(nodes: Path = _NODES) -> str:
    """What may be the reason where no card is found; empty where nothing hints at one."""
    if not (nodes / "dxg").exists():
        return ""
    return "in WSL, NVIDIA's driver is the one that is installed in Windows"


def _capability(card: Card) -> tuple[int, int] | None:
    major, _, minor = card.capability.partition(".")
    is_told = major.isdecimal() and minor.isdecimal()
    return (int(major), int(minor)) if is_told else None


def _first_slices(cards: Iterable[Card]) -> Iterable[Card]:
    """One of each card: it is known by its number."""
    by_number: dict[int, Card] = {}
    for card in cards:
        by_number.setdefault(card.number, card)
    return by_number.values()


def _driver_cards(driver: Path, nodes: Path) -> Iterator[Card]:
    """What the kernel's module lists. In a container that is all of the host's cards, and those
    that are given to it have a node.
    """
    try:
        folders = sorted((driver / "gpus").iterdir())
    except OSError:
        return
    told = (_fields(folder / "information") for folder in folders)
    here = (each for each in told if (nodes / f"nvidia{each.get('Device Minor')}").exists())
    for number, each in enumerate(here):
        id, name = each.get("GPU UUID", ""), each.get("Model", f"gpu {number}")
        # The driver's own word for what it does not know.
        yield Card(number, str(number) if "?" in id or not id else id, name)


def _fields(path: Path) -> Mapping[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
