"""A chat of eight turns whose client drops the reasoning: does a turn cost what is new in it?

Clients send the whole conversation again with every turn, without what the model thought. What was
computed for the last turn is then of use up to the start of its answer, and what comes after it is
new: the answer as the client tells it, and the question. Told for each turn: prompt tokens, how
many came from the cache, how many should have, and the time to the first token.

    python -m bench.turns
    python -m bench.turns --image examples/receipt.png
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from cortex.cli.output import align
from cortex.peer.measure.endpoint import open_endpoint
from cortex.peer.measure.questions import random_words
from cortex.peer.measure.rounds import Askable

from .peers.base import CannotRun
from .peers.cortex_peer import cortex_server
from .peers.process import exit_when_terminated
from .report import arguments, written

NUM_TURNS = 8
# What a template puts after the last message to have it answered; none of it need be remembered.
_OPENING_TOKENS = 8
_HEAD = ("TURN", "PROMPT", "FROM CACHE", "EXPECTED", "COMPUTED", "FIRST TOKEN")
_TTFT_BAR = 1.3


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn. `expected_tokens`: what the turn before left that is of use, at the least."""

    prompt_tokens: int
    cached_tokens: int
    expected_tokens: int
    ttft_s: float

    @property
    def reuses_all(self) -> bool:
        return self.cached_tokens >= self.expected_tokens


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--url", help="a running endpoint; otherwise a peer is started")
    parser.add_argument("--model", default="cortex-nano")
    parser.add_argument("--models", metavar="DIR", help="where the started peer finds the model")
    parser.add_argument("--image", type=Path, help="shown in the first turn")
    parser.add_argument("--words", type=int, default=20, help="of each question")
    parser.add_argument("--answer-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    exit_when_terminated()
    image = None if args.image is None else args.image.read_bytes()
    with ExitStack() as stack:
        url = args.url
        if url is None:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "peer.log"
            options = ("--models", args.models) if args.models else ()
            url = stack.enter_context(cortex_server(args.model, log, options=options)).url
        rounds = asyncio.run(converse_all(url, args, image))
    print("\n".join(describe(rounds)))
    written(
        args.out,
        "eight turns of a chat whose client drops the reasoning",
        model=args.model,
        image=None if args.image is None else args.image.name,
        ttft_turn_8_by_turn_2=growth(rounds),
        rounds=[[asdict(turn) for turn in turns] for turns in rounds],
    )


async def converse_all(url: str, args: argparse.Namespace, image: bytes | None) -> list[list[Turn]]:
    """Every round is another conversation; the first one of all warms up and is dropped."""
    async with open_endpoint(url, time.perf_counter) as endpoint:
        conversations = [
            await converse(endpoint, args.model, args.words, args.answer_tokens, image, seed)
            for seed in range(args.rounds + 1)
        ]
    return conversations[1:]


async def converse(
    endpoint: Askable, model: str, words: int, answer_tokens: int, image: bytes | None, seed: int
) -> list[Turn]:
    """One conversation. Raises CannotRun where the endpoint refuses a turn."""
    source = random.Random(f"turns {seed}")
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": f"Answer briefly. {random_words(source, words)}"}
    ]
    turns: list[Turn] = []
    for number in range(NUM_TURNS):
        content = _question(random_words(source, words), image if number == 0 else None)
        messages.append({"role": "user", "content": content})
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": answer_tokens,
        }
        seen = await endpoint.ask("chat/completions", body)
        if seen.error or not seen.arrivals:
            raise CannotRun(f"turn {number + 1}: {seen.error or 'no token came'}")
        before = turns[-1].prompt_tokens - _OPENING_TOKENS if turns else 0
        prompt_tokens = seen.prompt_tokens or 0
        turns.append(Turn(prompt_tokens, seen.cached_tokens, before, seen.ttft_s))
        # What the client keeps is the answer as it would write it down, not what was thought.
        messages.append({"role": "assistant", "content": random_words(source, words // 2)})
    return turns


def describe(rounds: Sequence[Sequence[Turn]]) -> list[str]:
    """The table of medians, and what it comes to."""
    columns = list(zip(*rounds, strict=True))
    rows = [
        (
            str(number),
            *(
                f"{median(values):,.0f}"
                for values in (
                    [turn.prompt_tokens for turn in turns],
                    [turn.cached_tokens for turn in turns],
                    [turn.expected_tokens for turn in turns],
                    [turn.prompt_tokens - turn.cached_tokens for turn in turns],
                )
            ),
            f"{median(turn.ttft_s for turn in turns) * 1000:,.1f} ms",
        )
        for number, turns in enumerate(columns, 1)
    ]
    reused = sum(turn.reuses_all for turns in columns[1:] for turn in turns)
    return [
        *align(_HEAD, rows),
        f"first token of turn 8 by turn 2: {growth(rounds):.2f} (bar: at most {_TTFT_BAR})",
        f"turns that reuse all there is: {reused} of {len(rounds) * (NUM_TURNS - 1)}",
    ]


def growth(rounds: Sequence[Sequence[Turn]]) -> float:
    """How much longer the last turn takes than the second: the median of the rounds."""
    return median(turns[-1].ttft_s / turns[1].ttft_s for turns in rounds)


def _question(text: str, image: bytes | None) -> str | list[dict[str, Any]]:
    if image is None:
        return text
    url = f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"
    picture = {"type": "image_url", "image_url": {"url": url}}
    return [picture, {"type": "text", "text": text}]


if __name__ == "__main__":
    main()
