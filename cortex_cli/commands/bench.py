"""`cortex bench`: how fast an OpenAI endpoint answers, ours or another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cortex.peer.config import DEFAULT_PORT

from ..config import peer_config
from ..errors import UsageProblem
from ..options import Json, invocation_of, model_option

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cortex.peer.measure.endpoint import Endpoint
    from cortex.peer.measure.questions import Way
    from cortex.peer.measure.rounds import Plan, Sample

    from ..bridge import Bridge
    from ..config import Invocation
    from ..diagnostics import Diagnostics
    from ..output import Output

# Where a peer listens that leaves its notes elsewhere, as the whole machine's service does.
_DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}/v1"
_DEFAULT_CONCURRENCY = "1,8,32,128"
_MAX_CONCURRENCY = 4096
_MAX_TOKENS = 1_000_000


def bench(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="The endpoint's base, which is sent the key of CORTEX_API_KEY. Otherwise that of"
            " this machine's peer.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        model_option("Which model is measured. Otherwise the first that the endpoint lists."),
    ] = None,
    concurrency: Annotated[
        str,
        typer.Option(
            "--concurrency",
            metavar="N,N,…",
            help="How many requests are under way at once, for each line of the table.",
        ),
    ] = _DEFAULT_CONCURRENCY,
    prompt_tokens: Annotated[
        int,
        typer.Option(
            "--prompt-tokens", metavar="N", min=1, max=_MAX_TOKENS, help="How long each prompt is."
        ),
    ] = 128,
    output_tokens: Annotated[
        int,
        typer.Option(
            "--output-tokens", metavar="N", min=1, max=_MAX_TOKENS, help="How long each answer is."
        ),
    ] = 128,
    requests: Annotated[
        int | None,
        typer.Option(
            "--requests",
            metavar="N",
            min=1,
            max=_MAX_TOKENS,
            help="Requests in each round. Otherwise twice the concurrency, and at least four.",
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            metavar="N",
            min=1,
            max=1000,
            help="How often everything is measured; the spread between rounds is shown.",
        ),
    ] = 3,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", "-i", metavar="FILE", help="Ask about this picture.", show_envvar=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Other prompts.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure how fast an OpenAI endpoint answers.

    \b
      cortex bench
      cortex bench --concurrency 1,8 --prompt-tokens 1000 --output-tokens 128
      cortex bench --url http://127.0.0.1:8000/v1 --json > measured.json

    Every answer is streamed and greedy; every prompt begins differently, so that no cache answers
    for the engine. One round at each concurrency is run first and dropped. Of several rounds the
    median is shown; --json prints all of it, down to the time of every token. Ctrl-c shows what
    was measured until then; "complete" says that nobody did that. Exits 1 where at one concurrency
    all requests failed. The key that is sent is that of CORTEX_API_KEY; where it holds none,
    a peer of this machine is asked with the one that it left for its user, and --url with none.
    """
    from cortex.peer.measure.rounds import Plan, find_way
    from cortex.peer.talk.pictures import read_picture

    from ..bridge import bridge
    from ..diagnostics import show_logs, standard_error
    from ..output import standard_output

    invocation = invocation_of(context)
    show_logs(verbose=invocation.verbose)
    diagnostics = standard_error(invocation)
    concurrencies = read_concurrencies(concurrency)
    picture = None if image is None else read_picture(image, None).data
    with (
        bridge() as loop,
        loop.entered(_opened(loop, invocation, url, diagnostics)) as endpoint,
    ):
        plan = Plan(
            model=model or _first_model(loop, endpoint),
            concurrencies=concurrencies,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            rounds=rounds,
            requests=requests,
            seed=seed,
            image=picture,
        )
        way = loop.call(find_way(endpoint, plan))
        samples, is_complete = _collect(loop, endpoint, plan, way, diagnostics)
    output = standard_output()
    with output.outlived():
        _show(output, endpoint.url, plan, way, samples, is_complete=is_complete, as_json=as_json)
    if not is_complete:
        raise KeyboardInterrupt
    _require_answers(samples)


def _opened(
    loop: Bridge, invocation: Invocation, url: str | None, to: Diagnostics
) -> AbstractAsyncContextManager[Endpoint]:
    """The endpoint of `url`, or of the peer of this machine that a chat would ask."""
    import time

    from cortex.peer.client.backends import find_peer
    from cortex.peer.measure.endpoint import open_endpoint

    base, key = url or _DEFAULT_URL, invocation.api_key
    if url is None:
        config = peer_config(invocation, None)
        finding = find_peer(config, None, on_notice=to.notice, api_key=key)
        with loop.entered(finding) as peer:
            if peer is not None:
                base, key = f"http://{peer.name}/v1", peer.api_key
    return open_endpoint(base, time.perf_counter, key)


def read_concurrencies(text: str) -> tuple[int, ...]:
    """`1,8,32` as numbers, each once."""
    try:
        numbers = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        numbers = ()
    if not numbers or not all(1 <= number <= _MAX_CONCURRENCY for number in numbers):
        raise UsageProblem(
            f"--concurrency {text}: numbers from 1 to {_MAX_CONCURRENCY}, with commas between.",
            "cortex bench --concurrency 1,8",
        )
    return numbers


def _first_model(loop: Bridge, endpoint: Endpoint) -> str:
    from cortex.engine.errors import ModelNotFound

    models = loop.call(endpoint.models())
    if not models:
        raise ModelNotFound(f"{endpoint.url} lists no models.", "name one with --model")
    return models[0]


def _collect(
    loop: Bridge, endpoint: Endpoint, plan: Plan, way: Way, diagnostics: Diagnostics
) -> tuple[list[Sample], bool]:
    """Every sample, and whether nobody interrupted."""
    from contextlib import closing

    from cortex.peer.measure.rounds import measure

    samples: list[Sample] = []
    counted: dict[tuple[int, int], int] = {}
    try:
        with closing(loop.iterate(measure(endpoint, plan, way))) as arriving:
            for sample in arriving:
                samples.append(sample)
                key = (sample.concurrency, sample.round)
                counted[key] = counted.get(key, 0) + 1
                if counted[key] == plan.requests_at(sample.concurrency):
                    diagnostics.notice(
                        f"concurrency {sample.concurrency}: round {sample.round + 1} of "
                        f"{plan.rounds} done"
                    )
    except KeyboardInterrupt:
        return samples, False
    return samples, True


def _require_answers(samples: list[Sample]) -> None:
    """Raises NotMeasurable where a concurrency has no figures, as all of its requests failed."""
    from collections import Counter

    from cortex.peer.errors import NotMeasurable

    asked = Counter(sample.concurrency for sample in samples)
    answered = Counter(one.concurrency for one in samples if one.timeline.is_answered)
    for concurrency, num_asked in asked.items():
        if not answered[concurrency]:
            errors = Counter(
                one.timeline.error or "no token came"
                for one in samples
                if one.concurrency == concurrency
            )
            ((error, count),) = errors.most_common(1)
            raise NotMeasurable(
                f"none of {num_asked} requests was answered at concurrency {concurrency}:"
                f" {count} x {error}",
                "the endpoint's log may say why",
            )


def _show(
    output: Output,
    url: str,
    plan: Plan,
    way: Way,
    samples: list[Sample],
    *,
    is_complete: bool,
    as_json: bool,
) -> None:
    from datetime import UTC, datetime

    from .. import bench_report

    if as_json:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        output.json(
            bench_report.as_json(url, plan, way, samples, is_complete=is_complete, date=date)
        )
    elif samples:
        output.line(f"{plan.model} at {url}")
        output.table(bench_report.HEAD, bench_report.table_rows(samples))
        for line in bench_report.notes(way, plan, samples):
            output.line(line)
