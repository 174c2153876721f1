"""Where a message is written: enter sends, alt-enter and ctrl-j begin a new line, and what is
pasted stays one message.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import TextArea

from cortex.peer.talk.paths import picture_named


class MessageField(TextArea):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", key_display="enter", id="chat.send"),
        Binding("alt+enter", "newline", "Newline", key_display="alt+enter", id="chat.newline"),
        # What alt-enter is where a terminal keeps that for itself.
        Binding("ctrl+j", "newline", "Newline", id="chat.newline_too", show=False),
    ]

    class Sent(Message):
        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class PicturePasted(Message):
        """Not a text but the name of a picture."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def __init__(self) -> None:
        super().__init__(
            id="message",
            compact=True,
            highlight_cursor_line=False,
            placeholder="Write a message. enter sends it.",
        )

    def action_send(self) -> None:
        if self.text.strip():
            self.post_message(self.Sent(self.text.strip("\n")))

    def action_newline(self) -> None:
        self.insert("\n")

    async def _on_key(self, event: Key) -> None:
        """Send in turn with what was typed before it, which a binding that goes before the field
        would not: a burst of keys would be sent without its last ones.
        """
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.binding.action == "send":
            event.stop()
            event.prevent_default()
            self.action_send()

    # The field itself hears of what is pasted after this, unless that is prevented.
    async def _on_paste(self, event: Paste) -> None:
        if name := picture_named(event.text):
            event.stop()
            event.prevent_default()
            self.post_message(self.PicturePasted(name))
