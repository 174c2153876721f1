"""Eight questions about eight pictures: how much faster all at once than one after the other?

Every round asks the eight one at a time and then all together, with other words each time. Compared
are the decode rates: tokens a second while all of them are decoding.

    python -m bench.image_batch --out bench/results/image-batch.json
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from cortex.peer.measure.endpoint import Endpoint, open_endpoint
from cortex.peer.measure.questions import Question, Way, random_words
from cortex.peer.measure.timeline import Timeline

from .compare import decode_rate
from .machine import load_average
from .peers.base import CannotRun
from .peers.cortex_peer import cortex_server
from .peers.process import exit_when_terminated
from .report import arguments, written

_NUM_PICTURES = 8
_BAR = 4.0
_WAY = Way("chat", has_extras=True)
_PICTURES = Path(__file__).resolve().parent.parent / "tests" / "golden" / "images"


@dataclass(frozen=True, slots=True)
class Round:
    """Decode rates, and how many tokens the shortest answer had."""

    alone_tokens_per_s: float
    together_tokens_per_s: float
    fewest_tokens: int
    load_average: float

    @property
    def ratio(self) -> float:
        return self.together_tokens_per_s / self.alone_tokens_per_s


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--url", help="a running endpoint; otherwise a peer is started")
    parser.add_argument("--model", default="cortex-nano")
    parser.add_argument("--output-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    exit_when_terminated()
    with ExitStack() as stack:
        url = args.url
        if url is None:
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "peer.log"
            url = stack.enter_context(cortex_server(args.model, log)).url
        rounds = asyncio.run(measure(url, args.model, args.output_tokens, args.rounds))
    ratio = median(found.ratio for found in rounds)
    for found in rounds:
        alone, together = found.alone_tokens_per_s, found.together_tokens_per_s
        shortest = f"shortest answer {found.fewest_tokens} tokens"
        print(f"alone {alone:,.1f} tok/s, together {together:,.1f} tok/s, {shortest}")
    print(f"eight together by one alone: {ratio:.2f} (bar: at least {_BAR:g})")
    written(
        args.out,
        "decode rate of eight picture questions at once, and of one at a time",
        model=args.model,
        output_tokens=args.output_tokens,
        ratio=ratio,
        rounds=[asdict(found) for found in rounds],
    )


async def measure(url: str, model: str, output_tokens: int, rounds: int) -> list[Round]:
    pictures = [path.read_bytes() for path in sorted(_PICTURES.glob("*.png"))[:_NUM_PICTURES]]
    async with open_endpoint(url, time.perf_counter) as endpoint:
        found = [
            await _round(endpoint, model, output_tokens, pictures, random.Random(f"images {seed}"))
            for seed in range(rounds + 1)
        ]
    # The first one warms up.
    return found[1:]


async def _round(
    endpoint: Endpoint,
    model: str,
    output_tokens: int,
    pictures: list[bytes],
    source: random.Random,
) -> Round:
    async def ask(picture: bytes) -> Timeline:
        question = Question(random_words(source, 8), output_tokens)
        seen = await endpoint.ask(_WAY.path, _WAY.body(model, question, picture))
        if seen.error or len(seen.arrivals) < 2:
            raise CannotRun(f"a request failed: {seen.error or 'too few tokens came'}")
        return seen

    alone = [await ask(picture) for picture in pictures]
    together = await asyncio.gather(*(ask(picture) for picture in pictures))
    return Round(
        alone_tokens_per_s=median(decode_rate([seen]) for seen in alone),
        together_tokens_per_s=decode_rate(together),
        fewest_tokens=min(seen.output_tokens for seen in (*alone, *together)),
        load_average=load_average(),
    )


if __name__ == "__main__":
    main()
