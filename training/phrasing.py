"""Training's own wordings: a core of `phrases.py` in a frame, often with a place.

The evaluation asks in its short lists alone. Training asks in those for a third of its questions,
so that they stay known, and for the rest in what a small grammar makes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import asdict

from .document_wordings import SENTENCE_WISHES
from .drawing import Book, Picture
from .phrases import CORES, Cores

KNOWN_SHARE = 0.35  # of training's questions are in the evaluation's wordings
_PLACED_SHARE = 0.3
_VALUE_WISH_SHARE = 0.1
_SHORT_SHARE = 0.4  # of wordings have no more than a mark around their core
# A core that says where takes no second place.
_SAYS_WHERE = re.compile(r"\b(it|its|this|these|here|page|picture|printed|written|top)\b")

# Of each form the short frames, and the longer ones. A noun loses its "the" in a short one.
_FRAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "questions": (("{}?",), (
        "please tell me: {}?", "quick question: {}?", "hi, {}?", "hello, {}?", "one question: {}?",
        "and {}?", "so, {}?", "now, {}?", "{}, please?", "{}, do you know?", "excuse me, {}?",
        "my question: {}?", "{}, can you tell?", "{} pls", "I ask you: {}?", "just this: {}?",
        "have a look: {}?", "look closely: {}?", "{}? I need to know.", "good morning, {}?",
    )),
    "nouns": (("{}?", "{}", "{} please", "{} pls", "{}, please", "just the {}", "only the {}."), (
        "tell me {}.", "please tell me {}.", "can you tell me {}?", "could you tell me {}?",
        "give me {}.", "please give me {}.", "can you give me {}?", "could you give me {}, please?",
        "I would like to know {}.", "I would like to have {}.", "I'd like {}, please.",
        "I need {}.", "I want to know {}.", "let me know {}.", "I am looking for {}.", "find {}.",
        "please find {}.", "can you find {}?", "could you find {} for me?", "show me {}.",
        "name {}.", "read me {}.", "can you read {}?", "could you read {} to me?", "may I have {}?",
        "would you tell me {}?", "I have to know {}.", "{}, please.", "get me {}.",
    )),
    "clauses": (("tell me {}.", "say {}."), (
        "please tell me {}.", "can you tell me {}?", "could you tell me {}?", "do you know {}?",
        "I would like to know {}.", "I want to know {}.", "I'd like to know {}.", "I wonder {}.",
        "please say {}.", "can you see {}?", "find out {}.", "please find out {}.",
        "could you say {}?", "would you tell me {}?", "let me know {}.", "can you find out {}?",
        "I need to know {}.", "could you please tell me {}?", "can you make out {}?",
    )),
    "orders": (("{}.",), (
        "please {}.", "can you {}?", "could you {}?", "would you {}?", "{}, please.",
        "can you {}, please?", "could you please {}?", "I want you to {}.", "now {}.", "{} pls",
        "I would like you to {}.", "I need you to {}.", "would you please {}?", "{} for me.",
    )),
}  # fmt: skip

# Training's own ways to wish for a sentence; one with a colon goes before the question.
_MORE_SENTENCE_WISHES = (
    *(
        f"{verb} {how} sentence."
        for verb in ("Answer", "Reply", "Respond", "Please answer", "Say it", "Write the answer")
        for how in ("in one", "in a complete", "with a full", "with a whole", "in a short", "as a")
    ),
    "In a sentence:", "In one full sentence:", "Answer with a sentence:", "With a whole sentence:",
    "One sentence, please.", "Make it a sentence.", "Form a whole sentence.", "I want a sentence.",
    "as a sentence please", "Put that into a sentence.", "Give me a complete sentence.",
)  # fmt: skip
# The bare value, which is what all others get too.
_VALUE_WISHES = (
    *(
        f"{verb} {what}."
        for verb in ("Only", "Just", "Give only", "Give me just", "Answer with only", "Print only")
        for what in ("the value", "the answer", "the answer itself", "the bare answer")
    ),
    "Nothing else.", "No other words.", "Value only.", "Answer only.", "Keep it short.",
    "Be brief.", "Only the value:", "Just the answer:", "In short:", "value only please",
    "Do not add anything.", "Be short.", "As short as you can.",
)  # fmt: skip
_WHICH_OF_TWO = (
    "{} picture: {}", "In the {} one: {}", "Look at the {} picture. {}", "On the {} page: {}",
    "About the {} picture: {}", "I mean the {} picture. {}", "Take the {} of the two. {}",
    "This is about the {} picture: {}", "For the {} image: {}", "Only the {} picture counts. {}",
    "Here is a question about the {} picture. {}", "Of the two, the {} one: {}",
)  # fmt: skip

_ANYWHERE = (
    "in the picture", "in this picture", "here", "in the image", "in this image", "in the photo",
)  # fmt: skip
_ON_A_PAGE = ("on the page", "on this page", "in this document", "in the document")
_PLACES: dict[str, tuple[str, ...]] = {
    "receipt": ("on the receipt", "on this receipt"),
    "line": (),
    "page": (),
    "invoice": ("on the invoice", "on this invoice", "on this bill", *_ON_A_PAGE),
    "form": ("in the form", "on this form", *_ON_A_PAGE),
    "label": ("on the label", "on this label"),
    "letter": ("in the letter", "in this letter", *_ON_A_PAGE),
    "ticket": ("on the ticket", "on this ticket"),
    "table": ("in the table", "in this table", *_ON_A_PAGE),
    "chart": ("in the chart", "in this chart", "in the diagram", *_ON_A_PAGE),
    "terminal": ("in the terminal", "on this screen", "on the screen"),
    "dialog": ("in the dialog", "in this window", "on the screen", "in these settings"),
}


def reworded(
    rng: random.Random, book: Book, known: Sequence[str], task: str, places: Sequence[str] = ()
) -> str:
    """One of the known wordings; in training mostly another in their place."""
    wording = rng.choice(known)
    if not asks_anew(rng, book):
        return wording
    # Where all known ones have a second name, as of a tool, so has the other.
    return phrase(rng, task, places, needs="{1}" if all("{1}" in each for each in known) else "")


def wish_for_form(rng: random.Random, book: Book) -> tuple[bool, str]:
    """Whether a whole sentence is wanted, and the words that say so, or that it is not."""
    if rng.random() < 0.2:
        known = rng.choice(SENTENCE_WISHES)
        return True, rng.choice(_MORE_SENTENCE_WISHES) if asks_anew(rng, book) else known
    if book.side == "training" and rng.random() < _VALUE_WISH_SHARE:
        return False, rng.choice(_VALUE_WISHES)
    return False, ""


def wished(question: str, wish: str) -> str:
    if wish.endswith(":"):
        return f"{wish} {question}"
    if len(question) > 2 and wish and question[-1] not in "?.!":
        question += "."
    return f"{question} {wish}" if wish else question


def of_two(rng: random.Random, book: Book, place: str, question: str) -> str:
    """The question about the first or the second of two pictures."""
    told = rng.choice(_WHICH_OF_TWO) if asks_anew(rng, book) else "In the {} picture: {}"
    text = told.format(place, question)
    return text[0].upper() + text[1:]


def asks_anew(rng: random.Random, book: Book) -> bool:
    return book.side == "training" and rng.random() >= KNOWN_SHARE


def places_of(picture: Picture) -> tuple[str, ...]:
    """Where one may say that something stands."""
    return _ANYWHERE + 2 * _PLACES[picture.kind]


def phrase(rng: random.Random, task: str, places: Sequence[str] = (), needs: str = "") -> str:
    """A wording of the task with {0} and {1} for the names."""
    form, core = rng.choice([each for each in _CORES[task] if needs in each[1]])
    place = rng.choice(places) if places and rng.random() < _PLACED_SHARE else ""
    if place and form == "questions" and rng.random() < 0.4:
        core = f"{place}, {core}"
    elif place and not _SAYS_WHERE.search(core):
        core = f"{core} {place}"
    short, long = _FRAMES[form]
    is_short = rng.random() < _SHORT_SHARE
    if is_short and form == "nouns":
        core = core.removeprefix("the ")
    text = rng.choice(short if is_short else long).format(core)
    return text[0].upper() + text[1:]


def _parsed(cores: Cores) -> list[tuple[str, str]]:
    return [
        (form, " ".join(core.split()))
        for form, text in asdict(cores).items()
        for core in text.split("|")
        if core
    ]


_CORES = {task: _parsed(cores) for task, cores in CORES.items()}
