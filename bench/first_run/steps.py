"""The eight steps of a first run: what is typed, what must be seen, and how soon.

Each raises PromiseBroken, or gives what it measured in seconds and leaves its screens to be kept.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .terminals import PromiseBroken, Terminal

READY_S, MEET_S, SUSPECT_S, DEAD_S = 3.0, 3.0, 3.0, 10.0
# For what has no promise of its own.
PATIENCE_S = 30.0

QUESTION = "Tell me a long story."
_BEFORE_TEXT = ("asking", "starting", "loading", "waiting", "reading", "preparing")

Figures = dict[str, float]


@dataclass(slots=True)
class Stage:
    """Two machines, with two terminals each, and one more on the first.

    `options` are those of `cortex peer`; `block` has the second machine's network carry no
    multicast, and is None where the machines are none. On a busy machine all limits times `slack`
    hold.
    """

    atlas: Terminal
    atlas_too: Terminal
    borea: Terminal
    borea_too: Terminal
    client: Terminal
    model: str
    options: str
    is_fake: bool
    block: Callable[[], None] | None
    slack: float = 1.0
    kept: dict[str, str] = field(default_factory=dict[str, str])

    def keep(self, name: str, terminal: Terminal, *, is_drawn: bool = False) -> None:
        """What a step left; of a program that draws only what it has drawn."""
        self.kept[name] = terminal.visible() if is_drawn else terminal.screen()


class Skipped(Exception):
    """Why a step cannot be tried here."""


def installed(stage: Stage) -> Figures:
    began_s = stage.atlas.type("cortex --version")
    seen_s = stage.atlas.wait_for(r"cortex \d+\.\d+", PATIENCE_S, "a version")
    stage.keep("1-installed", stage.atlas)
    return {"version": seen_s - began_s}


def three_examples(stage: Stage) -> Figures:
    stage.atlas.clear()
    began_s = stage.atlas.type("cortex")
    seen_s = stage.atlas.wait_for(r"Settings and checks:", PATIENCE_S, "the commands")
    head = stage.atlas.screen().partition("Options:")[0]
    examples = re.findall(r"^    (?:cortex|git) .+$", head, re.MULTILINE)
    if len(examples) != 3:
        raise PromiseBroken(f"three examples, not {len(examples)}\n{head}")
    stage.keep("2-examples", stage.atlas)
    return {"help": seen_s - began_s}


def first_peer(stage: Stage) -> Figures:
    stage.atlas.clear()
    began_s = stage.atlas.type(f"cortex peer --name atlas {stage.options}")
    ready_s = stage.atlas.wait_for(
        r"ready in .+Try: cortex chat", READY_S * stage.slack, "ready, and what next"
    )
    for promise in (r"api +http://", r"elsewhere run: cortex join cortex1-", r"device "):
        stage.atlas.wait_for(promise, 0.5, promise)
    stage.keep("3-peer", stage.atlas)
    return {"ready": ready_s - began_s}


def first_answer(stage: Stage) -> Figures:
    stage.atlas_too.clear()
    began_s = stage.atlas_too.type('cortex chat "hi"')
    stages: set[str] = set()

    def is_answered(screen: str) -> bool:
        stages.update(re.findall(r"^(?:starting|loading|waiting|reading the prompt)", screen, re.M))
        return re.search(r"^\S+ +ttft .+ out", screen, re.MULTILINE) is not None

    seen_s = stage.atlas_too.wait_until(is_answered, PATIENCE_S, "an answer, and who gave it")
    if not stages and not stage.is_fake:  # what is made up is there before it could be waited for
        raise PromiseBroken("the wait was not explained: no stage was shown")
    stage.keep("4-chat", stage.atlas_too)
    return {"answer": seen_s - began_s}


def second_machine(stage: Stage) -> Figures:
    joins = re.search(r"cortex join (cortex1-\S+)", stage.atlas.screen())
    assert joins is not None, "the first peer has shown its key"
    stage.borea.clear()
    stage.borea.type(f"cortex join {joins[1]} && cortex peer --name borea {stage.options}")
    ready_s = stage.borea.wait_for(r"ready in ", PATIENCE_S, "the second peer ready")
    # The one may see the other before it says itself that it is ready.
    seen_s = [
        stage.atlas.wait_for(r"borea joined", MEET_S * stage.slack, "borea joined, at atlas"),
        stage.borea.wait_for(r"atlas joined", MEET_S * stage.slack, "atlas joined, at borea"),
    ]
    stage.keep("5-joined-atlas", stage.atlas)
    stage.keep("5-joined-borea", stage.borea)
    return {"both see each other": max(seen_s) - ready_s}


def dashboard(stage: Stage) -> Figures:
    stage.atlas_too.clear()
    began_s = stage.atlas_too.type("cortex tui")

    def has_rows(screen: str) -> bool:
        return all(re.search(rf"{name}\b.*\bup\b", screen) for name in ("atlas", "borea"))

    seen_s = stage.atlas_too.wait_until(has_rows, PATIENCE_S, "two rows")
    stage.keep("6-tui", stage.atlas_too, is_drawn=True)
    return {"two rows": seen_s - began_s}


def sudden_death(stage: Stage) -> Figures:
    """The peer that makes an answer is killed; the dashboard watches, and the client reads on."""
    client = stage.client
    client.type(f"cortex load {stage.model} --on borea && cortex unload {stage.model} --on atlas")
    client.wait_for(rf"(?m)^{stage.model} .*atlas", PATIENCE_S, "the model on borea alone")
    client.clear()
    client.type(f'cortex chat --max-tokens 100 "{QUESTION}"')
    client.wait_until(_has_begun, PATIENCE_S, "the beginning of an answer")
    os.kill(stage.borea.child_pid, signal.SIGKILL)
    killed_s = time.monotonic()
    watch = stage.atlas_too
    suspect_s = watch.wait_for(
        r"borea\b.*\b(?:suspect|dead)\b", SUSPECT_S * stage.slack, "borea suspect"
    )
    stage.keep("7-suspect", watch, is_drawn=True)
    dead_s = watch.wait_for(r"borea\b.*\bdead\b", DEAD_S * stage.slack, "borea dead")
    stage.keep("7-dead", watch, is_drawn=True)
    ended_s = client.wait_for(
        r"(?m)^\S+ +ttft .+ out|^error: .+",
        PATIENCE_S,
        "the rest of the answer, or why there is none",
    )
    stage.keep("7-chat", client)
    return {
        "suspect": suspect_s - killed_s,
        "dead": dead_s - killed_s,
        "answer": ended_s - killed_s,
    }


def _has_begun(screen: str) -> bool:
    """Whether a line below the question is neither a stage nor about who is asked."""
    _, _, below = screen.rpartition(QUESTION)
    lines = [line.strip('" ') for line in below.splitlines()]
    return any(len(line) > 3 and not line.startswith(_BEFORE_TEXT) for line in lines)


def doctor(stage: Stage) -> Figures:
    stage.atlas_too.press("q")
    if stage.block is None:
        raise Skipped("machines of their own need root and /dev/net/tun")
    stage.block()
    stage.borea_too.clear()
    began_s = stage.borea_too.type("cortex doctor --no-color")
    seen_s = stage.borea_too.wait_for(
        r"eth0 is not used: it carries no multicast", PATIENCE_S, "what blocks multicast"
    )
    stage.borea_too.wait_for(
        r"FAIL .+multicast\D+cortex peer --join", PATIENCE_S, "the line that does without"
    )
    stage.borea_too.wait_for(r"free for UDP and TCP\n\$", PATIENCE_S, "the end of the findings")
    stage.keep("8-doctor", stage.borea_too)
    return {"the finding": seen_s - began_s}


STEPS: Mapping[str, Callable[[Stage], Figures]] = {
    "1 installed": installed,
    "2 three examples": three_examples,
    "3 the first peer": first_peer,
    "4 the first answer": first_answer,
    "5 a second machine": second_machine,
    "6 the dashboard": dashboard,
    "7 a sudden death": sudden_death,
    "8 multicast blocked": doctor,
}
