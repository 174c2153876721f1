"""Asks a backend and shows what it answers: once, or for as long as a person has more to say.

It ties the parts together and decides nothing: questions, events, conversation and what is shown
are each somebody else's.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cortex.engine.errors import ModelNotFound
from cortex.engine.types import ImagePart
from cortex.peer.client.backends import PRIVATE, Backend
from cortex.peer.config import PeerConfig
from cortex.peer.types import ModelInfo

from .answer import Answer, receive
from .backends import choose_backend
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
    hides_reasoning: bool

    def answer(self, prompt: str) -> Answer:
        """Ask, show the answer, remember both.

        An interrupted answer is remembered as far as it came.
        """
        seed = random.SystemRandom().getrandbits(_SEED_BITS) if self.seed is None else self.seed
        request = self.conversation.ask(prompt, model=self.model, seed=seed, now_s=int(time.time()))
        progress = new_progress(self.diagnostics)
        teller = Teller(
            self.output,
            self.diagnostics,
            progress,
            self.form,
            tuple(self.conversation.pictures),
            self.hides_reasoning,
        )
        try:
            events = self.bridge.iterate(self.backend.chat(request))
            answer = receive(events, teller, time.monotonic)
        finally:
            progress.clear()
        teller.finished(answer, model=self.model, peer=self.backend.name)
        if answer.text:
            self.conversation.keep(request, answer.text, answer.reasoning)
        return answer

    def attach(self, picture: ImagePart) -> None:
        self.conversation.attach(picture)

    def detach(self) -> bool:
        had_pictures = bool(self.conversation.pictures)
        self.conversation.pictures.clear()
        return had_pictures


def answer_once_or_converse(
    config: PeerConfig,
    peer: str | None,
    typed_for_own_node: Sequence[str],
    question: str | None,
    conversation: Conversation,
    *,
    output: Output,
    diagnostics: Diagnostics,
    form: Form,
    seed: int | None,
    hides_reasoning: bool,
    api_key: str | None,
) -> None:
    """Answer `question`; where it is None, talk with whoever sits at the terminal.

    Raises KeyboardInterrupt where the one answer was interrupted, once it has been shown.
    """
    opened = choose_backend(config, peer, typed_for_own_node, diagnostics, api_key=api_key)
    with bridge() as loop, loop.entered(opened) as backend:
        if backend.name == PRIVATE:
            # In time: a node starts no process before it is asked something.
            require_engine(config.engine)
        model = conversation.wishes.model or default_model(
            loop.call(backend.models()), backend.name, has_pictures=bool(conversation.pictures)
        )
        talker = Talker(
            backend, loop, model, conversation, output, diagnostics, form, seed, hides_reasoning
        )
        if question is None:
            terminal = Terminal(diagnostics, can_edit=output.is_terminal)
            converse(talker, terminal, diagnostics, lambda path: read_picture(path, None))
        elif talker.answer(question).finish_reason == "cancelled":
            raise KeyboardInterrupt


def default_model(models: Sequence[ModelInfo], backend_name: str, *, has_pictures: bool) -> str:
    """The model that answers when none was asked for: the first that can.

    Raises ModelNotFound where there is none at all.
    """
    if not models:
        raise ModelNotFound(
            f"{backend_name} has no models.", "name a folder that holds some: --models DIR"
        )
    seeing = [model for model in models if model.sees_images]
    # Where none sees, the first one's refusal says so.
    return (seeing if has_pictures and seeing else models)[0].id


def new_progress(diagnostics: Diagnostics) -> ProgressLine:
    return ProgressLine(diagnostics, time.monotonic, shutil.get_terminal_size().columns)
