"""The keys of the dashboard: what each is called in `[keys]` of cortex.toml, and what it is there.

Light to import: a file of settings is read long before there is a screen. The screens bind the
keys; a test holds their bindings against this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAMED = (
    "enter escape tab space backspace delete insert home end pageup pagedown up down left right"
)
_NAMES = frozenset((*_NAMED.split(), *(f"f{number}" for number in range(1, 25))))
_MODIFIED = re.compile(r"(?:(?:ctrl|alt|shift)\+)*(.+)")


@dataclass(frozen=True, slots=True)
class KeyUse:
    key: str
    says: str


KEYS: Mapping[str, KeyUse] = {
    "app.fleet": KeyUse("1", "The screen of the fleet."),
    "app.models": KeyUse("2", "The screen of the models."),
    "app.requests": KeyUse("3", "The screen of the requests."),
    "app.chat": KeyUse("4", "The screen of the chat."),
    "app.faster": KeyUse("+", "Draw more often."),
    "app.slower": KeyUse("-", "Draw less often."),
    "app.mouse": KeyUse("m", "Take the mouse, or leave it to the terminal."),
    "app.palette": KeyUse("ctrl+p", "Every action, peer and model by its name."),
    "app.keys": KeyUse("?", "The list of keys."),
    "app.quit": KeyUse("q", "End the dashboard, and no peer."),
    "app.logs": KeyUse("5", "The screen of the logs."),
    "screen.pause": KeyUse("p", "Hold the picture."),
    "screen.ask_again": KeyUse("r", "Ask again now."),
    "keys.back": KeyUse("escape,?,q", "Back from the list of keys."),
    "fleet.detail": KeyUse("enter", "The peer in full."),
    "fleet.load": KeyUse("l", "Load one of the models on the peer's disk."),
    "fleet.unload": KeyUse("u", "Unload one of the peer's models."),
    "fleet.drain": KeyUse("D", "Have the peer take nothing new, or again."),
    "peer.back": KeyUse("escape", "Back to the fleet."),
    "table.filter": KeyUse("/", "Leave the rows that match."),
    "table.clear": KeyUse("escape", "Leave the filter."),
    "table.sort": KeyUse("s", "Order by the next column."),
    "table.reverse": KeyUse("S", "The other way round."),
    "table.down": KeyUse("j", "One row down."),
    "table.up": KeyUse("k", "One row up."),
    "table.first": KeyUse("g", "The first row."),
    "table.last": KeyUse("G", "The last row."),
    "table.copy": KeyUse("c", "Copy the row's id, over ssh too."),
    "logs.level": KeyUse("l", "From which level on lines are shown."),
    "logs.search": KeyUse("/", "Leave the lines that match."),
    "logs.clear": KeyUse("escape", "Leave the search."),
    "logs.follow": KeyUse("f", "Stay at the newest line, or not."),
    "logs.wrap": KeyUse("w", "Break long lines, or cut them."),
    "logs.down": KeyUse("j", "One line down."),
    "logs.up": KeyUse("k", "One line up."),
    "logs.first": KeyUse("g", "The oldest line."),
    "logs.last": KeyUse("G", "The newest line."),
    "chat.send": KeyUse("enter", "Send the message."),
    "chat.newline": KeyUse("alt+enter", "A line more in the message."),
    "chat.newline_too": KeyUse("ctrl+j", "The same, where a terminal keeps alt+enter."),
    "chat.stop": KeyUse("escape", "Stop the answer, and keep what came."),
    "chat.leave": KeyUse("escape", "Out of the message's field, to other keys."),
    "chat.write": KeyUse("i", "Back into the message's field."),
    "chat.attach": KeyUse("ctrl+o", "A picture for the next message."),
    "chat.new": KeyUse("ctrl+n", "Forget what was said."),
    "chat.model": KeyUse("ctrl+t", "Another model, told the same conversation."),
    "chat.thoughts": KeyUse("t", "What the model thought."),
    "attach.complete": KeyUse("tab", "Complete the path."),
    "attach.back": KeyUse("escape", "Attach nothing."),
    "models.load": KeyUse("l", "Plan a load."),
    "models.unload": KeyUse("u", "Unload the model, after a question."),
    "models.pin": KeyUse("P", "Keep the model where it is, or no longer."),
    "models.cancel": KeyUse("x", "Cancel what becomes of the model."),
    "requests.cancel": KeyUse("x", "End the request, after a question."),
    "plan.carry_out": KeyUse("enter", "Carry the plan out."),
    "plan.wait": KeyUse("w", "Order the load for when there is room."),
    "plan.ask_again": KeyUse("r", "Plan again."),
    "plan.drop": KeyUse("escape", "Drop the plan."),
    "plan.down": KeyUse("j,down", "Further down in the plan."),
    "plan.up": KeyUse("k,up", "Further up in the plan."),
    "choice.carry_out": KeyUse("enter", "Do what the cursor is on."),
    "choice.drop": KeyUse("escape", "Do nothing."),
    "choice.down": KeyUse("j", "One choice down."),
    "choice.up": KeyUse("k", "One choice up."),
}


# What lies over a screen hears no keys but its own; three screens are tables.
_ON_TOP = frozenset(("keys", "attach", "plan", "choice"))
_TABLES = frozenset(("fleet", "models", "requests"))


def are_live_together(one: str, other: str) -> bool:
    """Whether a key might mean either of these actions."""
    of = {one.partition(".")[0], other.partition(".")[0]}
    if len(of) == 1:
        return True
    if of & _ON_TOP:
        return False
    return bool(of & {"app", "screen"}) or ("table" in of and bool(of & _TABLES))


def is_key(text: str) -> bool:
    """f, ?, ctrl+f, f5, space: one character, or a name, after what is held with it."""
    found = _MODIFIED.fullmatch(text)
    if found is None:
        return False
    return found[1] in _NAMES or (len(found[1]) == 1 and found[1].isprintable())
