"""Three models of which two have room: what they are, and what they are asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex.peer.config import EngineChoice, Locations, PeerConfig
from cortex.peer.models.catalogue import embedded_dir

from ..chaos.clients import Wish

MODELS = ("first", "second", "third")
# That have room at one time.
NUM_PLACES = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """`memory` has room for two of the three, `ample_memory` for all. So many streams are loyal to
    each model, and as many ask all in turn; one more has answers of `long_tokens`. `words` go into
    the file `file` of each model; they make it another one than its neighbours.
    """

    engine: EngineChoice
    memory: str
    ample_memory: str
    num_streams: int
    lengths: tuple[int, ...]
    long_tokens: int
    file: str
    words: tuple[dict[str, Any], ...]
    options: tuple[str, ...]


# A quarter of a peer's memory is for remembering prompts; models have the rest.
TRIALS = {
    "fake": Trial(
        "fake", "3GiB", "8GiB", 4, (20, 40, 80), 600, "config.json",
        tuple({"weights_bytes": 1 << 30, "load_s": load_s} for load_s in (0.5, 1.0, 1.5)),
        ("--fake-token-interval-ms", "50"),
    ),
    "torch": Trial(
        "torch", "280MiB", "2GiB", 1, (16, 32, 64), 3000, "generation_config.json",
        tuple({"top_k": top_k} for top_k in (1, 20, 40)),
        ("--gpu", "cpu", "--threads", "1"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class InTurn:
    """Each request asks another model than the one before it; short ones, and long ones."""

    models: Sequence[str]
    lengths: Sequence[int]
    num_streams: int

    @property
    def num_kinds(self) -> int:
        return 4 * len(self.models) * len(self.lengths)

    def body(self, kind: int) -> dict[str, Any]:
        num_tokens = self.lengths[kind // len(self.models) % len(self.lengths)]
        model = self.models[kind % len(self.models)]
        return Wish(model, self.num_kinds, num_tokens).body(kind)


@dataclass(frozen=True, slots=True)
class Long:
    """Answers of one model that last for half a minute, one after the other."""

    model: str
    num_tokens: int
    num_kinds: int = 1
    num_streams: int = 1

    def body(self, kind: int) -> dict[str, Any]:
        return Wish(self.model, 1, self.num_tokens).body(kind) | {"ignore_eos": True}


def wishes_of(trial: Trial) -> list[InTurn | Long]:
    """Those who want one model all the while, those who want another one each time, and the one
    whose answers are long.
    """
    turns = [InTurn(m, trial.lengths, trial.num_streams) for m in (*((o,) for o in MODELS), MODELS)]
    return [*turns, Long(MODELS[0], trial.long_tokens)]


def make_models(trial: Trial, folder: Path) -> None:
    source = embedded_dir(PeerConfig(Locations(folder, folder), engine=trial.engine))
    for name, words in zip(MODELS, trial.words, strict=True):
        shutil.copytree(source, folder / name)
        path = folder / name / trial.file
        path.write_text(json.dumps(json.loads(path.read_text()) | words | {"name": name}))
