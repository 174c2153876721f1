"""Asks a backend and shows what it answers: once, or for as long as a person has more to say.

It ties the parts together and decides nothing: questions, events, conversation and what is shown
are each somebody else's.
"""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass

from cortex.engine.errors import ModelNotFound
from cortex.engine.types import ImagePart
from cortex.peer.client import Backend, open_backend
from cortex.peer.config import PeerConfig

from .answer import Answer, receive
from .bridge import Bridge, bridge
from .conversation import Conversation
from .devices import require_engine
from .diagnostics import Diagnostics
from .interactive import Terminal, converse
from .output import Output
from .pictures import read_picture
from .progress import ProgressLine
from .teller import Form, Teller

_SEED_BITS = 63
# What a backend is called that is this process itself.
_PRIVATE = "private"


@dataclass(slots=True)
class Talker:
    """A conversation with one model of one backend. `seed` None draws a new one for each answer."""

    backend: Backend
    bridge: Bridge
    model: str
    conversation: Conversation
    output: Output
    diagnostics: Diagnostics
    form: Form
    seed: int | None

    def answer(self, prompt: str) -> Answer:
        """Ask, show the answer, remember both.

        An interrupted answer is remembered as far as it came.
        """
        seed = random.SystemRandom().getrandbits(_SEED_BITS) if self.seed is None else self.seed
        request = self.conversation.ask(prompt, model=self.model, seed=seed, now_s=int(time.time()))
        progress = new_progress(self.diagnostics)
        teller = Teller(
            self.output, self.diagnostics, progress, self.form, tuple(self.conversation.pictures)
        )
        try:
            events = self.bridge.iterate(self.backend.chat(request))
            answer = receive(events, teller, time.monotonic)
        finally:
            progress.clear()
        teller.finished(answer, model=self.model, peer=self.backend.name)
        if answer.text:
            self.conversation.keep(request, answer.text)
        return answer

    def attach(self, picture: ImagePart) -> None:
        self.conversation.attach(picture)

    def detach(self) -> None:
        self.conversation.pictures.clear()


def answer_once_or_converse(
    config: PeerConfig,
    peer: str | None,
    question: str | None,
    conversation: Conversation,
    *,
    output: Output,
    diagnostics: Diagnostics,
    form: Form,
    seed: int | None,
) -> None:
    """Answer `question`; where it is None, talk with whoever sits at the terminal.

    Raises KeyboardInterrupt where the one answer was interrupted, once it has been shown.
    """
    with (
        bridge() as loop,
        loop.entered(open_backend(config, peer, on_notice=diagnostics.notice)) as backend,
    ):
        if backend.name == _PRIVATE:
            require_engine(config.engine)
        model = conversation.wishes.model or first_model(loop, backend)
        talker = Talker(backend, loop, model, conversation, output, diagnostics, form, seed)
        if question is None:
            terminal = Terminal(diagnostics, can_edit=output.is_terminal)
            converse(talker, terminal, diagnostics, lambda path: read_picture(path, None))
        elif talker.answer(question).finish_reason == "cancelled":
            raise KeyboardInterrupt


def first_model(loop: Bridge, backend: Backend) -> str:
    """The model that answers when none was asked for.

    Raises ModelNotFound where the backend has none at all.
    """
    models = loop.call(backend.models())
    if not models:
        raise ModelNotFound(
            f"{backend.name} has no models.", "name a folder that holds some: --models DIR"
        )
    return models[0].id


def new_progress(diagnostics: Diagnostics) -> ProgressLine:
    return ProgressLine(diagnostics, time.monotonic, shutil.get_terminal_size().columns)
