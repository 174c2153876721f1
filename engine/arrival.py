"""Answers that have been asked for, until the device thread takes them up.

Those that are wanted of one prompt come together and share it: it is unpacked when the first of
them is begun, and what they all see of its pictures are the bytes of the one message.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from .frames import unpack_value
from .generation import choice_sampling
from .messages import Generate, Wanted
from .types import Prompt


class _SharedPrompt:
    def __init__(self, packed: msgspec.Raw) -> None:
        self._packed = packed

    @functools.cached_property
    def unpacked(self) -> Prompt:
        """Raises FrameError."""
        return unpack_value(Prompt, self._packed)


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    model_id: str
    wanted: Wanted
    _prompt: _SharedPrompt

    @property
    def key(self) -> tuple[str, int]:
        return self.wanted.request_id, self.wanted.epoch

    def prompt(self) -> Prompt:
        """The prompt as it is for this answer. Raises FrameError where it is none."""
        prompt = self._prompt.unpacked
        sampling = choice_sampling(prompt.sampling, self.wanted.choice)
        return msgspec.structs.replace(prompt, sampling=sampling)


def arrivals(generate: Generate) -> Iterator[Arrival]:
    prompt = _SharedPrompt(generate.prompt)
    for wanted in generate.wanted:
        yield Arrival(generate.model_id, wanted, prompt)
