"""What a person can type at the prompt of a conversation that is not for the model.

A command is a slash and a word. Each says in one line what it did; what goes wrong is raised.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cortex.engine.types import ImagePart
from cortex.peer.private_file import write_new
from cortex.peer.talk.conversation import Conversation, transcript
from cortex.peer.talk.paths import at_home, names_in
from cortex.peer.types import ModelInfo
from cortex.peer.units import counted

from .chat_settings import changed, described
from .diagnostics import Diagnostics
from .errors import UsageProblem
from .model_table import model_table
from .question import checked_text

_COMMAND = re.compile(r"/([a-z?]+)(?:\s+(.*))?", re.DOTALL)
_OFF = "off"


class Talk(Protocol):
    """What a conversation needs of whoever answers. All raise CortexError."""

    conversation: Conversation

    @property
    def model(self) -> str: ...

    def answer(self, prompt: str) -> object:
        """Answer and show it."""
        ...

    def models(self) -> Sequence[ModelInfo]: ...

    def switch(self, model: str) -> None: ...

    def stats(self) -> Sequence[str]: ...


class Leave(Exception):
    """The person wants to go."""


class ChatCommands:
    def __init__(
        self,
        talk: Talk,
        diagnostics: Diagnostics,
        read_picture: Callable[[str], ImagePart],
        show_picture: Callable[[ImagePart], None],
    ) -> None:
        self._talk = talk
        self._diagnostics = diagnostics
        self._say = diagnostics.line
        self._read_picture = read_picture
        self._show_picture = show_picture

    def obey(self, line: str) -> bool:
        """Whether the line was a command, if one that is misspelt: a path that more is said about
        is none. Raises CortexError, and Leave.
        """
        asked = _COMMAND.fullmatch(line)
        if asked is None:
            return False
        rest = (asked[2] or "").strip()
        command = _COMMANDS.get(_ALSO.get(asked[1], asked[1]))
        if command is not None:
            command.run(self, rest)
            return True
        close = difflib.get_close_matches(asked[1], NAMES, n=1)
        if rest and not close:
            return False
        near = f"did you mean /{close[0]}?" if close else "/help lists them."
        otherwise = " With a space before it, it is asked." if rest else ""
        self._say(f"there is no command /{asked[1]}; {near}{otherwise}")
        return True

    def image(self, argument: str) -> None:
        if not argument:
            self._say("which picture? /image FILE")
            return
        for name in names_in(argument):
            picture = self._read_picture(name)
            self._talk.conversation.pictures.append(picture)
            self._show_picture(picture)
            self._say(f"{picture.name} goes with the next prompt.")

    def images(self, argument: str) -> None:
        pictures = self._talk.conversation.pictures
        if argument == _OFF:
            self._talk.conversation.detach()
        for picture in pictures:
            self._say(f"{picture.name}  {len(picture.data):,} bytes")
        if not pictures:
            self._say("no picture goes with the next prompt; /image FILE sends one.")

    def model(self, argument: str) -> None:
        if not argument:
            self._say(f"{self._talk.model} answers; /models lists the others.")
            return
        self._talk.switch(argument)
        turns = len(self._talk.conversation.turns) // 2
        known = f"; it is told the {counted(turns, 'turn')} so far" if turns else ""
        self._say(f"{self._talk.model} answers from now on{known}.")

    def models(self, _: str) -> None:
        for line in model_table(self._talk.models(), width=self._diagnostics.width):
            self._say(line)

    def system(self, argument: str) -> None:
        conversation = self._talk.conversation
        if argument:
            text = None if argument == _OFF else checked_text(argument, "/system")
            conversation.wishes = replace(conversation.wishes, system=text)
        self._say(f"system: {conversation.wishes.system or 'nothing'}")

    def set(self, argument: str) -> None:
        conversation = self._talk.conversation
        name, _, value = argument.partition(" ")
        if name:
            conversation.wishes = changed(conversation.wishes, name, value.strip())
        for line in described(conversation.wishes):
            if not name or line.startswith(f"{name} "):
                self._say(line)

    def retry(self, _: str) -> None:
        conversation = self._talk.conversation
        before = list(conversation.turns)
        prompt = conversation.take_back()
        if prompt is None:
            self._say("nothing was asked yet.")
        else:
            try:
                self._talk.answer(prompt)
            finally:
                # Without another answer the first one stands.
                if len(conversation.turns) < len(before):
                    conversation.turns[:] = before
                    conversation.unanswered = None
                    conversation.detach()

    def new(self, _: str) -> None:
        self._talk.conversation.begin_anew()
        self._say("a new conversation.")

    def save(self, argument: str) -> None:
        if not argument:
            self._say("where to? /save FILE")
            return
        [name] = names_in(argument)[:1]
        path = at_home(name)
        try:
            write_new(path, transcript(self._talk.conversation))
        except FileExistsError as error:
            raise UsageProblem(f"{path} exists already.", "give another name") from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            raise UsageProblem(f"cannot write {path}: {reason}.") from error
        self._say(f"{counted(len(self._talk.conversation.turns) // 2, 'turn')} in {path}")

    def stats(self, _: str) -> None:
        for line in self._talk.stats():
            self._say(line)

    def help(self, _: str) -> None:
        width = max(len(command.usage) for command in _COMMANDS.values())
        for command in _COMMANDS.values():
            self._say(f"{command.usage:<{width}}  {command.help}")
        self._say(f"{'ctrl-c':<{width}}  stop the answer; at an empty prompt: leave")
        self._say(f"{'alt-enter':<{width}}  a line more (what is pasted stays one prompt anyway)")

    def quit(self, _: str) -> None:
        raise Leave


@dataclass(frozen=True, slots=True)
class _Command:
    usage: str
    help: str
    run: Callable[[ChatCommands, str], None]


_COMMANDS = {
    "image": _Command("/image FILE...", "send pictures with the next prompt", ChatCommands.image),
    "images": _Command("/images [off]", "which go with it; off: none", ChatCommands.images),
    "model": _Command("/model [ID]", "who answers; another from now on", ChatCommands.model),
    "models": _Command("/models", "who could answer", ChatCommands.models),
    "system": _Command("/system [TEXT|off]", "what the model is told first", ChatCommands.system),
    "set": _Command("/set [NAME VALUE]", "max-tokens, temperature, seed, think", ChatCommands.set),
    "retry": _Command("/retry", "the last prompt again, for another answer", ChatCommands.retry),
    "new": _Command("/new", "forget what was said (also /clear)", ChatCommands.new),
    "save": _Command("/save FILE", "write what was said to a file", ChatCommands.save),
    "stats": _Command("/stats", "tokens and times of this conversation", ChatCommands.stats),
    "help": _Command("/help", "this list", ChatCommands.help),
    "quit": _Command("/quit", "leave (also ctrl-d)", ChatCommands.quit),
}
_ALSO = {"clear": "new", "?": "help", "exit": "quit", "bye": "quit"}
NAMES = tuple(_COMMANDS)
