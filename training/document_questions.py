"""Questions about documents, asked of what they say and not of what they are.

Every document tells its facts; a fact that is told twice with two answers is never asked for.
Answers are bare values exactly as printed, short sentences where the question wants one, or a call.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from .document_wordings import SENTENCES, TOOL_NAMES, WORDINGS
from .drawing import Book, Fact, Picture, Sample, draw_document
from .drawing.documents.compose import LEAST_BUDGET_CELLS
from .drawing.printed import Money
from .drawing.types import DocumentKind, Task
from .phrasing import of_two, places_of, reworded, wish_for_form, wished
from .questions import vary
from .turns import MOST_TURNS, last_of, unrepeated
from .wordings import ABSENT_ANSWER

KINDS: tuple[DocumentKind, ...] = get_args(DocumentKind)
_LONGEST_TRANSCRIPT = 500
_LONGEST_NAME = 40
_HELD_OUT_SHARE = 0.35
_COMPARED_SHARE = 0.6  # of two pages with amounts; some of them turn out to have two each
# A page has many cells and lines and one total: tasks are drawn first, then a fact of the task.
_WEIGHTS: dict[Task, float] = {
    "total": 4.0, "cell": 2.0, "key": 2.0, "switch": 2.0, "highest": 1.5,
    "heading": 0.3, "line": 0.5, "row": 0.7,
}  # fmt: skip
# Names, dates or amounts also stand on a page without a key: who asks for one may mean those.
_KEYED = ("code", "word", "count", "percent", "email", "days", "grams")
_AMOUNT = re.compile(r"\d[.,]\d\d")


class Asker:
    """Asks in the wordings of its book's side: `held_out` lets the evaluation use all of its own.

    `turns` is the share of pages that are asked about more than once.
    """

    def __init__(
        self,
        rng: random.Random,
        book: Book,
        max_cells: int,
        *,
        held_out: bool = False,
        turns: float = 0.15,
    ) -> None:
        self._rng, self._book, self._max_cells = rng, book, max_cells
        self._held_out, self._turns = held_out, turns

    def sample(self, kind: DocumentKind) -> Sample:
        """A question about one page, several in turn, about two pages, or a wish for a call."""
        roll = self._rng.random()
        if roll < 0.1:
            return self.about_two(kind)
        picture = draw_document(self._rng, self._book, kind, self._max_cells)
        if roll < 0.1 + self._turns:
            return self.in_turns(picture)
        if roll < 0.15 + self._turns:
            return self.call(picture)
        return self.about(picture)

    def about(self, picture: Picture) -> Sample:
        roll = self._rng.random()
        text = "\n".join(picture.facts.lines)
        if roll < 0.1:
            return self.absent(picture)
        if roll < 0.17:
            return self.there(picture)
        if roll < 0.25 and len(text) <= _LONGEST_TRANSCRIPT and _is_plain(picture):
            return self._asked(picture, Fact("read", (), text))
        return self._asked(picture, self._fact(picture))

    def in_turns(self, picture: Picture) -> Sample:
        """Several questions about one page, the last of them the sample's own."""
        num_turns = self._rng.randint(2, MOST_TURNS[self._book.side])
        if self._book.side == "evaluation":
            return last_of([self.about(picture) for _ in range(num_turns)])
        return last_of(unrepeated([self.about(picture) for _ in range(2 * num_turns)])[:num_turns])

    def about_two(self, kind: DocumentKind) -> Sample:
        """Which of two costs more, or a question about one of the two."""
        moneys = [m for each in self._book.documents if each.kind == kind and each.has_amount
                  for m in each.moneys]  # fmt: skip
        if moneys and self._rng.random() < _COMPARED_SHARE:
            compared = self._compared(*self._two(kind, self._rng.choice(moneys)))
            if compared:
                return compared
        one, other = self._two(kind, None)
        place = self._rng.choice(("first", "second"))
        asked = self._asked(one, self._fact(one if place == "first" else other), second=other)
        return replace(asked, question=of_two(self._rng, self._book, place, asked.question))

    def _two(self, kind: DocumentKind, priced: Money | None) -> tuple[Picture, Picture]:
        cells = max(LEAST_BUDGET_CELLS, self._max_cells // 2)
        one, other = (
            draw_document(self._rng, self._book, kind, cells, priced=priced) for _ in range(2)
        )
        return one, other

    def _compared(self, one: Picture, other: Picture) -> Sample | None:
        """Nothing where a page is about several amounts, or both are about the same."""
        first, second = _amount(one), _amount(other)
        if not (first and second and _comparable(first, second)):
            return None
        task = self._rng.choice(_COMPARISONS)
        is_first = (_digits(first) > _digits(second)) == (task == "dearer")
        fact = Fact(task, (), "first" if is_first else "second")
        asked = self._asked(one, fact, second=other)
        return replace(asked, answer=_ordinal(asked.answer))

    def absent(self, picture: Picture) -> Sample:
        """A thing that is asked for by a name, or of a sort, that is nowhere on the page."""
        known = picture.facts.known
        text = "\n".join(picture.facts.lines)
        tasks: list[Task] = ["key", "key"]
        if not any(fact.task == "date" for fact in known):
            tasks.append("date")
        if not _AMOUNT.search(text):
            tasks.extend(("total", "price"))
        task = self._rng.choice(tasks)
        names = (self._unprinted_key(picture),) if task == "key" else ()
        asked = self._asked(picture, Fact(task, names, ABSENT_ANSWER))
        return replace(asked, answer=ABSENT_ANSWER, task="absent")

    def there(self, picture: Picture) -> Sample:
        """Whether something is printed: half of the time it is."""
        printed = [
            fact.names[0]
            for fact in picture.facts.known
            if fact.task in ("key", "switch", "bar", "cell") or fact.task == "there"
        ]
        if printed and self._rng.random() < 0.5:
            return self._asked(picture, Fact("there", (self._rng.choice(printed),), "Yes"))
        return self._asked(picture, Fact("there", (self._unprinted_key(picture),), "No"))

    def call(self, picture: Picture) -> Sample:
        """A value handed to a tool; now and then the tool has answered already."""
        rng = self._rng
        fact = self._fact(picture, longest_value=_LONGEST_NAME)
        name = " ".join(fact.names) if fact.task in ("key", "bar", "line", "item") else ""
        name = f"line {name}" if fact.task == "line" else name or fact.task
        if fact.task not in _NAMED_BY_TASK and name == fact.task:
            return self.about(picture)
        tools = rng.sample(TOOL_NAMES, rng.randint(1, 2))
        tool = rng.choice(tools)
        arguments = {"name": name, "value": fact.value}
        call = json.dumps({"name": tool, "arguments": arguments}, ensure_ascii=False)
        wordings = WORDINGS["call"] if len(tools) == 1 else WORDINGS["call"][2:]
        asked = self._asked(picture, Fact("call", (name, tool), call), wordings=wordings)
        answer = f"<tool_call>\n{call}\n</tool_call>"
        asked = replace(asked, answer=answer, tools=tuple(map(_tool, tools)))
        if rng.random() < 0.3:
            result = "<tool_response>\nok\n</tool_response>"
            return replace(
                asked, earlier=((asked.question, answer),), question=result, answer="Done."
            )
        return asked

    def _fact(self, picture: Picture, longest_value: int = 10_000) -> Fact:
        groups = [
            [fact for fact in group if len(fact.value) <= longest_value]
            for group in askable(picture.facts.known).values()
        ]
        groups = [group for group in groups if group]
        if not groups:
            return Fact("read", (), "\n".join(picture.facts.lines))
        weights = [_WEIGHTS.get(group[0].task, 1.0) for group in groups]
        return self._rng.choice(self._rng.choices(groups, weights)[0])

    def _asked(
        self,
        picture: Picture,
        fact: Fact,
        *,
        wordings: Sequence[str] | None = None,
        second: Picture | None = None,
    ) -> Sample:
        rng = self._rng
        wordings = wordings or WORDINGS[fact.task]
        if self._held_out and rng.random() < _HELD_OUT_SHARE:
            wording = wordings[-1]
        else:
            places = () if second or fact.task == "call" else places_of(picture)
            wording = reworded(rng, self._book, wordings[:-1], fact.task, places)
        names = fact.names
        if fact.task in ("key", "cell", "item") and rng.random() < 0.2:
            names = tuple(name.lower() for name in names)
        answer, wish = fact.value, ""
        if fact.task in SENTENCES:
            is_sentence, wish = wish_for_form(rng, self._book)
            if is_sentence:
                answer = SENTENCES[fact.task].format(*fact.names, value=fact.value)
        question = wished(_filled(vary(rng, wording), names), wish)
        about = (fact.task, *_asked_as(fact))
        return Sample(picture, question, answer, fact.task, second, wording=wording, about=about)

    def _unprinted_key(self, picture: Picture) -> str:
        text = "\n".join(picture.facts.lines).casefold()
        entries = [entry.split("|") for entry in self._book.words.keys]
        return self._rng.choice(
            [key for _, type, key in entries if type in _KEYED and key.casefold() not in text]
        )


_COMPARISONS: tuple[Task, ...] = ("dearer", "cheaper")
_NAMED_BY_TASK: tuple[Task, ...] = ("total", "date", "price", "product", "heading")


def askable(known: Sequence[Fact]) -> dict[Task, list[Fact]]:
    """The facts by task, without those that have a twin with another answer."""
    answers: dict[tuple[Task, tuple[str, ...]], set[str]] = defaultdict(set)
    for fact in known:
        answers[fact.task, _asked_as(fact)].add(fact.value)
    groups: dict[Task, list[Fact]] = defaultdict(list)
    for fact in known:
        if len(answers[fact.task, _asked_as(fact)]) == 1 and fact.task != "there":
            groups[fact.task].append(fact)
    return groups


def _asked_as(fact: Fact) -> tuple[str, ...]:
    return tuple(name.casefold() for name in fact.names)


def _filled(wording: str, names: Sequence[str]) -> str:
    for number, name in enumerate(names):
        wording = wording.replace(f"{{{number}}}", name)
    return wording


def _is_plain(picture: Picture) -> bool:
    return any(fact.task == "line" for fact in picture.facts.known)


def _amount(picture: Picture) -> str | None:
    """The one amount that a page is about, if there is one."""
    groups = askable(picture.facts.known)
    facts = groups.get("total") or groups.get("price")
    return facts[0].value if facts else None


def _digits(amount: str) -> int:
    return int(re.sub(r"\D", "", amount))


def _comparable(one: str, other: str) -> bool:
    """Amounts in the same coin, and not the same amount."""
    coins = [re.sub(r"[\d.,]", "", amount) for amount in (one, other)]
    return coins[0] == coins[1] and _digits(one) != _digits(other)


def _ordinal(answer: str) -> str:
    return {"first": "The first.", "second": "The second."}.get(answer, answer)


def _tool(name: str) -> str:
    text = {"type": "string"}
    parameters = {"type": "object", "properties": {"name": text, "value": text}}
    return json.dumps(
        {"type": "function", "function": {"name": name, "parameters": parameters}},
        ensure_ascii=False,
    )
