"""Asks a backend and shows what it answers: once, or for as long as a person has more to say.

It ties the parts together and decides nothing: questions, events, conversation and what is shown
are each somebody else's.
"""

from __future__ import annotations

import difflib
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cortex.engine.errors import ModelNotFound
from cortex.engine.types import ChatRequest, ImagePart
from cortex.peer.client.backends import PRIVATE, Backend
from cortex.peer.config import PeerConfig
from cortex.peer.devices.hardware import machine_memory_bytes
from cortex.peer.talk.answer import Answer, Arriving, receive
from cortex.peer.talk.conversation import SEED_BITS, Conversation
from cortex.peer.talk.pictures import read_picture
from cortex.peer.talk.tally import Tally
from cortex.peer.types import ModelInfo
from cortex.peer.wall_clock import wall_clock_s

from .backends import choose_backend
from .bridge import Bridge, bridge
from .devices import check_memory, require_engine
from .diagnostics import Diagnostics
from .interactive import Terminal, converse
from .output import Output
from .progress import ProgressLine
from .teller import Form, Rendering, Teller
from .unheard import unheard


@dataclass(frozen=True, slots=True)
class Manner:
    """How answers and pictures are shown. `preview` draws a picture, or is None."""

    form: Form
    hides_reasoning: bool = False
    rendering: Rendering | None = None
    preview: Callable[[ImagePart], str | None] | None = None
    previews_always: bool = False


@dataclass(slots=True)
class Talker:
    """A conversation with one model at a time of one backend."""

    backend: Backend
    bridge: Bridge
    model: str
    conversation: Conversation
    output: Output
    diagnostics: Diagnostics
    manner: Manner
    # Keeps out of an answer what is typed while it comes.
    unheard: Callable[[], AbstractContextManager[None]]
    _tally: Tally = field(default_factory=Tally, init=False)

    def answer(self, prompt: str) -> Answer:
        """Ask, show the answer, remember both.

        One that was interrupted, or broke off, is remembered as far as it came.
        """
        seed = random.SystemRandom().getrandbits(SEED_BITS)
        now_s = wall_clock_s(time.time())
        request = self.conversation.ask(prompt, model=self.model, seed=seed, now_s=now_s)
        progress = ProgressLine(self.diagnostics, time.monotonic)
        teller = Teller(
            self.output,
            self.diagnostics,
            progress,
            self.manner.form,
            tuple(self.conversation.pictures),
            self.manner.hides_reasoning,
            self.manner.rendering,
        )
        arriving = Arriving(asked_s=time.monotonic())
        with self.unheard():
            try:
                events = self.bridge.iterate(self.backend.chat(request))
                answer = receive(events, teller, arriving, time.monotonic)
            except BaseException:
                teller.broken_off()
                raise
            finally:
                # First of all: ctrl-c may come again while the answer is drawn.
                self._keep(request, arriving.answer())
            teller.finished(answer, model=self.model, peer=self.backend.answered_by)
        return answer

    def _keep(self, request: ChatRequest, answer: Answer) -> None:
        if answer.prompt_tokens is not None:
            self._tally.add(answer)
        if answer.text:
            self.conversation.keep(request, answer.text, answer.reasoning)

    def models(self) -> tuple[ModelInfo, ...]:
        return self.bridge.call(self.backend.models())

    def switch(self, model: str) -> None:
        """Have another one answer. Raises ModelNotFound."""
        self.model = find_model(self.models(), model).id

    def stats(self) -> list[str]:
        context = next((m.context_length for m in self.models() if m.id == self.model), 0)
        return self._tally.lines(context)

    def show(self, picture: ImagePart) -> None:
        if self.manner.preview and (drawn := self.manner.preview(picture)):
            self.diagnostics.write(drawn)


def answer_once_or_converse(
    config: PeerConfig,
    peer: str | None,
    typed_for_own_node: Sequence[str],
    question: str | None,
    conversation: Conversation,
    *,
    output: Output,
    diagnostics: Diagnostics,
    manner: Manner,
    api_key: str | None,
    is_late: Callable[[], bool],
) -> None:
    """Answer `question`; where it is None, talk with whoever sits at the terminal.

    Raises KeyboardInterrupt where the one answer was interrupted, once it has been shown, or it is
    too late to talk on.
    """
    opened = choose_backend(config, peer, typed_for_own_node, diagnostics, api_key=api_key)
    with bridge() as loop, loop.entered(opened) as backend:
        if backend.name == PRIVATE:
            # In time: a node starts no process before it is asked something.
            require_engine(config.engine)
            check_memory(config.memory_bytes, machine_memory_bytes())
        model = conversation.wishes.model or default_model(
            cached_last(loop.call(backend.models()), config.locations.hub_dir),
            backend.name,
            has_pictures=bool(conversation.pictures),
        )
        # Where the answer goes elsewhere, nothing that is typed mixes with it.
        keyboard = sys.stdin if output.is_terminal else None
        deaf = partial(unheard, keyboard, is_forgotten=question is None)
        talker = Talker(backend, loop, model, conversation, output, diagnostics, manner, deaf)
        if question is None:
            terminal = Terminal(diagnostics, can_edit=output.is_terminal)
            reader = partial(read_picture, stdin=None)
            converse(talker, terminal, diagnostics, reader, talker.show, is_late)
            return
        if manner.previews_always:
            for picture in conversation.pictures:
                talker.show(picture)
        if talker.answer(question).finish_reason == "cancelled":
            raise KeyboardInterrupt


def default_model(models: Sequence[ModelInfo], backend_name: str, *, has_pictures: bool) -> str:
    """The model that answers when none was asked for: the first that can.

    Raises ModelNotFound where there is none at all.
    """
    able = [model for model in models if model.takes_chats]
    if not able:
        raise ModelNotFound(
            f"{backend_name} has no models{' that chat' * bool(models)}.",
            "name a folder that holds some: --models DIR",
        )
    seeing = [model for model in able if model.sees_images]
    # Where none sees, the first one's refusal says so.
    return (seeing if has_pictures and seeing else able)[0].id


def cached_last(models: Sequence[ModelInfo], hub_dir: Path | None) -> Sequence[ModelInfo]:
    """What other programs have fetched, in the Hugging Face cache, may be large: it answers by its
    name, and by default where there is nothing else. Where another machine has its models is not
    known here.
    """

    def is_cached(model: ModelInfo) -> bool:
        return hub_dir is not None and model.dir is not None and model.dir.is_relative_to(hub_dir)

    return sorted(models, key=is_cached)


def find_model(models: Sequence[ModelInfo], wanted: str) -> ModelInfo:
    """The one of that name, or the only one whose name begins so. Raises ModelNotFound."""
    begun = [model for model in models if model.id.startswith(wanted)]
    exact = [model for model in begun if model.id == wanted]
    for found in (exact, begun):
        if len(found) == 1:
            return found[0]
    close = difflib.get_close_matches(wanted, [model.id for model in models], n=1)
    several = ", ".join(model.id for model in begun)
    hint = f"did you mean {close[0]}?" if close else "all of them: /models"
    raise ModelNotFound(f"no model is called {wanted}", f"there are {several}" if begun else hint)
