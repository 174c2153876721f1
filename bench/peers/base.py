"""What the comparison asks of every engine, ours included; each engine is a file beside this one.

An engine is installed below a folder of its own, started with a model and a dtype, and asked token
prompts of which it answers so many at once, greedily and to a fixed length. How its users would run
it decides how it is run here; what was set is part of the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cortex.peer.measure.timeline import Timeline

from ..make_checkpoint import Dtype

Family = Literal["qwen3", "qwen3_5"]

# The ids of 0 to 9 in the made tokenizer: each digit of a text is one token.
_ZERO_ID = ord("0") - ord("!")


class CannotRun(Exception):
    """An engine that cannot be installed or started here; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text of digits, and its tokens."""

    text: str

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(_ZERO_ID + int(digit) for digit in self.text)


@dataclass(frozen=True, slots=True)
class Setting:
    """What an engine is started with. `threads` is for its computing; it keeps `concurrency`
    sequences of `context_tokens` at once. `log` is where its words go. `device` is torch's word.
    """

    model_dir: Path
    family: Family
    dtype: Dtype
    threads: int
    concurrency: int
    context_tokens: int
    log: Path
    device: str = "cpu"


class Running(Protocol):
    """A started engine."""

    @property
    def pid(self) -> int: ...

    def answer(self, prompts: Sequence[Prompt], num_tokens: int) -> list[Timeline]:
        """Answer all of them at once, `num_tokens` each. Raises CannotRun."""
        ...


class Engine(Protocol):
    """One engine of the comparison. `name` is its row, `settings` how it is run, in words."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> str: ...

    def install(self, root: Path) -> str:
        """Make it ready below `root` where it is not, and give its version.

        Raises CannotRun.
        """
        ...

    def running(self, root: Path, setting: Setting) -> AbstractContextManager[Running]:
        """The engine with its model loaded. Raises CannotRun."""
        ...
