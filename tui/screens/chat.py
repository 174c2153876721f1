"""A conversation with a model, through whichever peer is watched.

It is kept while other screens are looked at and never written to disk. One answer at a time.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from cortex.engine.errors import ContextLengthExceeded, CortexError, ModelNotFound
from cortex.engine.types import ChatRequest
from cortex.peer.onlooker.pictures import FleetPicture
from cortex.peer.talk.conversation import SEED_BITS, Conversation, Wishes, may_be_pictures
from cortex.peer.talk.tally import Tally
from cortex.peer.types import ModelInfo
from cortex.peer.units import counted, tokens
from cortex.peer.wall_clock import wall_clock_s

from ..frame import Frame
from ..model_words import model_words
from ..widgets.keys_line import key_of
from ..widgets.message import MessageField
from ..widgets.turns import AnswerTurn, AskedTurn, NoteTurn
from .attach import Attached, AttachScreen
from .choice import Choice, Option
from .framed import FramedScreen

if TYPE_CHECKING:
    from cortex.peer.client.steadfast import Asked

_HINT = """\
Ask about text and pictures: {attach} attaches one, as pasting its name does.
Nothing that is said here is written to disk. esc stops an answer."""
_ONLY_LOOKING = """\
This dashboard only looks on.
No model is asked anything: an answer costs a device its time,
and may make it load and let go of models.

  cortex chat      a conversation without the dashboard"""


class ChatScreen(FramedScreen):
    HEAD = "Chat"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", id="chat.stop"),
        Binding("escape", "leave", "Leave", id="chat.leave"),
        Binding("ctrl+o", "attach", "Attach", id="chat.attach"),
        Binding("ctrl+n", "new", "New", id="chat.new"),
        Binding("ctrl+t", "model", "Model", id="chat.model"),
        Binding("i", "write", "Write", id="chat.write"),
        Binding("t", "thoughts", "Thoughts", id="chat.thoughts", show=False),
    ]

    def __init__(self, frame: Frame) -> None:
        super().__init__(frame)
        self._conversation = Conversation(Wishes(model=frame.chat_model))
        self._tally = Tally()
        self._models: tuple[ModelInfo, ...] = ()
        self._pulling: asyncio.Task[None] | None = None
        self._attached: list[Attached] = []
        self._peer = ""

    def compose_body(self) -> ComposeResult:
        hint = _ONLY_LOOKING if self._is_read_only else _HINT.format(attach="ctrl+o")
        with VerticalScroll(id="conversation"):
            yield Static(hint, id="hint", markup=False)
        yield Static(id="attached", markup=False)
        if not self._is_read_only:
            yield MessageField()

    def on_mount(self) -> None:
        self._scroll.border_title = "conversation"
        self._scroll.anchor()
        self._draw_attached()
        if not self._is_read_only:
            self._field.border_title = "message"
            self._field.focus()

    def draw_body(self, picture: FleetPicture, now: datetime) -> None:
        """The conversation draws itself as it goes on; the title is all that a beat changes."""

    def heading(self, picture: FleetPicture) -> list[str]:
        model = self._conversation.wishes.model
        if model is None:
            return ["no model chosen yet"]
        # Who answered last, while it is there: the next question goes through another.
        is_here = any(peer.name == self._peer_name and not peer.is_gone for peer in picture.peers)
        words = [f"{model} through {self._peer_name}" if is_here else model]
        length = next((m.context_length for m in self._models if m.id == model), 0)
        used = tokens(self._tally.context_tokens)
        words.append(f"ctx {used}/{tokens(length)}" if length else f"ctx {used}")
        return words

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "pause":
                return False
            case "stop":
                return self._pulling is not None
            case "leave":
                return self._pulling is None and isinstance(self.focused, MessageField)
            case "write":
                return not (self._is_read_only or isinstance(self.focused, MessageField))
            case "attach" | "new" | "model":
                return not self._is_read_only
            case _:
                return super().check_action(action, parameters)

    @property
    def _peer_name(self) -> str:
        return self.frame.watched.with_names(self._peer)

    @property
    def _is_read_only(self) -> bool:
        return self.frame.acting.is_read_only

    @property
    def _field(self) -> MessageField:
        return self.query_one(MessageField)

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#conversation", VerticalScroll)

    @on(MessageField.Sent)
    async def _send(self, message: MessageField.Sent) -> None:
        if self._pulling is not None:
            self.notify("one answer at a time; esc stops this one", markup=False)
            return
        self._field.clear()
        self.query_one("#hint").display = False
        # What is attached from now on is for the next question.
        sent, self._attached = self._attached, []
        self._conversation.pictures[:] = [attached.picture for attached in sent]
        self._draw_attached()
        asked = AskedTurn(message.text, [attached.words for attached in sent])
        turn = AnswerTurn(self._conversation.wishes.model or "model", self.frame.look)
        await self._scroll.mount(asked, turn)
        self._scroll.anchor()
        self._pulling = asyncio.create_task(self._pull(message.text, turn))
        self._answer(message.text, sent, turn)

    @work(exclusive=True, group="answer")
    async def _answer(self, prompt: str, sent: list[Attached], turn: AnswerTurn) -> None:
        """Wait for the answer and put down how it ended, its being stopped included."""
        assert self._pulling is not None
        pulling = self._pulling
        self.refresh_bindings()
        try:
            await asyncio.wait({pulling})
            self._pulling = None
            error = None if pulling.cancelled() else pulling.exception()
            if isinstance(error, CortexError):
                self._refused(error, prompt, turn)
            elif error is not None:
                raise error
            self._attach_again(sent)
            if error is None:
                await turn.finish(turn.arriving.answer(), self._peer_name)
        finally:
            pulling.cancel()
            self.refresh_bindings()
            self.draw()

    async def _pull(self, prompt: str, turn: AnswerTurn) -> None:
        """Ask, and give the turn what comes; what has come is remembered, however it ends."""
        async with self.frame.acting.talk(self._moved) as asked:
            model = await self._model_of(asked)
            turn.be_of(model)
            request = self._conversation.ask(
                prompt,
                model=model,
                seed=random.SystemRandom().getrandbits(SEED_BITS),
                now_s=wall_clock_s(self.frame.now().timestamp()),
            )
            try:
                async with aclosing(asked.chat(request)) as events:
                    async for event in events:
                        self._peer = asked.answered_by
                        turn.take(event)
            finally:
                self._keep(request, turn)

    def _keep(self, request: ChatRequest, turn: AnswerTurn) -> None:
        answer = turn.arriving.answer()
        if answer.prompt_tokens is not None:
            self._tally.add(answer)
        if answer.text:
            self._conversation.keep(request, answer.text, answer.reasoning)

    def _attach_again(self, sent: list[Attached]) -> None:
        """What went with a question that nothing came of, unless it was let go of."""
        if self._conversation.detach():
            self._attached[:0] = sent
            self._draw_attached()

    async def _model_of(self, asked: Asked) -> str:
        """The one that was chosen, else the first that can. Raises ModelNotFound."""
        self._models = self._models or await asked.models()
        chosen = self._conversation.wishes.model
        if chosen is None:
            able = [model for model in self._models if model.takes_chats]
            if not able:
                raise ModelNotFound(
                    "nobody in the fleet has a model that chats", "cortex pull gets one"
                )
            seeing = [model for model in able if model.sees_images]
            chosen = (seeing if self._conversation.pictures and seeing else able)[0].id
            self._choose(chosen)
        return chosen

    def _choose(self, model: str) -> None:
        self._conversation.wishes = replace(self._conversation.wishes, model=model)

    def _refused(self, error: CortexError, prompt: str, turn: AnswerTurn) -> None:
        """The message is given back, unless it was answered in part or another is being written."""
        words = [error.message, error.hint]
        if may_be_pictures(error):
            words.append(self._let_go(error))
        if isinstance(error, ContextLengthExceeded) and self._conversation.turns:
            words.append(f"{key_of(self, 'chat.new')} begins anew")
        turn.fail(". ".join(filter(None, words)))
        if not turn.text and not self._field.text:
            self._field.load_text(prompt)
            self._field.move_cursor(self._field.document.end)

    def _let_go(self, error: CortexError) -> str:
        """What is done about the pictures, or has to be."""
        if self._conversation.detach():
            return "the picture that went with it is let go of"
        # Of a full context it is said anyway that a new conversation begins.
        if self._conversation.shows_pictures and not isinstance(error, ContextLengthExceeded):
            return "the pictures so far go with every prompt: a new conversation begins without"
        return ""

    def _moved(self, words: str) -> None:
        self._note(self.frame.watched.with_names(words))

    def _note(self, words: str) -> None:
        """Said before the answer that is under way, if there is one."""
        self.query_one("#hint").display = False
        turns = self._scroll.query(AnswerTurn) if self._pulling is not None else ()
        self._scroll.mount(NoteTurn(words), before=[*turns][-1] if turns else None)

    def _draw_attached(self) -> None:
        line = self.query_one("#attached", Static)
        line.display = bool(self._attached)
        line.update(" ".join(f"[{attached.words}]" for attached in self._attached))

    def action_stop(self) -> None:
        if self._pulling is not None:
            self._pulling.cancel()

    def action_leave(self) -> None:
        self.set_focus(self._scroll)
        self.refresh_bindings()

    def action_write(self) -> None:
        self._field.focus()

    def action_thoughts(self) -> None:
        for turn in self.query(AnswerTurn):
            turn.toggle_thoughts()

    @work
    async def action_new(self) -> None:
        if self._conversation.turns or self._pulling is not None:
            words = "forget what was said, here and for the model"
            option = Option(words, True)
            if not await self.app.push_screen_wait(Choice("a new conversation", [option])):
                return
        self.call_next(self._begin_anew)

    async def _begin_anew(self) -> None:
        """The answer under way ends first, with nobody to show its end: it is of the old one."""
        self.workers.cancel_group(self, "answer")
        if self._pulling is not None:
            self._pulling.cancel()
            await asyncio.wait({self._pulling})
            self._pulling = None
        self._conversation.begin_anew()
        self._attached.clear()
        self._tally = Tally()
        self._draw_attached()
        turns: list[Widget] = [*self._scroll.query(".turn"), *self._scroll.query(".note")]
        await self._scroll.remove_children(turns)
        self.query_one("#hint").display = True
        self._field.focus()
        self.draw()

    @work
    async def action_model(self) -> None:
        try:
            async with self.frame.acting.talk(self._moved) as asked:
                self._models = await asked.models()
        except CortexError as error:
            self.notify(error.message, severity="error", markup=False)
            return
        width = max((cell_len(model.id) for model in self._models), default=0)
        options = [Option(model_words(model, width), model.id) for model in self._models]
        chosen = await self.app.push_screen_wait(Choice("who answers", options))
        if chosen is not None and chosen != self._conversation.wishes.model:
            self._choose(chosen)
            turns = len(self._conversation.turns) // 2
            known = f"; it is told the {counted(turns, 'turn')} so far" if turns else ""
            self._note(f"{chosen} answers from now on{known}")
            self.draw()

    def action_attach(self) -> None:
        self._open_attaching("")

    @on(MessageField.PicturePasted)
    def _offer(self, message: MessageField.PicturePasted) -> None:
        self._open_attaching(message.name)

    @work
    async def _open_attaching(self, name: str) -> None:
        attached = await self.app.push_screen_wait(
            AttachScreen(self.frame, name, self._conversation.wishes.model)
        )
        if attached is not None:
            self._attached.append(attached)
            self._draw_attached()
            self._field.focus()  # what is typed next is the question
