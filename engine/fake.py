"""An engine process without an engine: `python -m cortex.engine.fake --fd N`.

Speaks the whole engine protocol and computes nothing: each next token is a hash of every token
before it and of the pictures, so that one token lost, doubled or torn anywhere changes everything
after it; or the answer is read from a script. Either way it is a pure function of the prompt and
the answer so far, and can be resumed anywhere. A vector is a hash of the whole prompt. Ships on
purpose: whatever stands around an engine can be tried at full speed, on any machine. Takes every
folder with a byte-level tokenizer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from .arrival import Arrival, arrivals
from .child import Send, run_child
from .errors import CortexError, EngineFailed, InternalError, InvalidRequest, ModelNotFound, to_info
from .fake_answer import Answer, HashSource, Made, ScriptSource, TokenSource
from .fake_harm import Harm, read_harm
from .fake_loads import FakeLoads
from .fake_vector import hashed_vector
from .grammars.guide import Guide, needs_guide
from .grammars.matchers import Matchers
from .grammars.tokens import grammar_tokenizer
from .histogram import Histogram
from .long_text import check_capacity
from .messages import (
    Alive,
    Cancel,
    CancelLoad,
    Estimate,
    Generate,
    GenerateFailed,
    Load,
    Message,
    ModelStatus,
    Pooled,
    Step,
    StepPart,
    Unload,
    Unloaded,
    Waiting,
)
from .stream import Stage
from .tokenizer import Tokenizer
from .types import Prompt


@dataclass(frozen=True, slots=True)
class FakeConfig:
    """`replies` are played in turn, one per assistant turn; none means hashed answers.

    A reply is what a model would write, marks and all: <think>, and <tool_call> with one JSON
    object in it. `harm` is what befalls the process, if anything. `memory_bytes` is what models may
    reserve in all, None without end.
    """

    replies: tuple[str, ...] = ()
    token_interval_ms: float = 0.0
    harm: Harm | None = None
    memory_bytes: int | None = None


@dataclass(slots=True)
class _Request:
    """`made` is the answer on its way, or the vector that the next step gives."""

    arrival: Arrival
    made: Answer | Pooled
    is_harmful: bool

    @property
    def num_tokens(self) -> int:
        return self.made.num_tokens if isinstance(self.made, Answer) else 0


class FakeService:
    """Steps all its requests together, one token each a tick."""

    def __init__(self, config: FakeConfig, send: Send) -> None:
        self._config = config
        self._send = send
        self._loads = FakeLoads(config.memory_bytes, send, self._began)
        # Made when a model's first answer needs them.
        self._matchers: dict[str, Matchers] = {}
        self._requests: dict[str, _Request] = {}
        self._has_work = asyncio.Event()
        self._num_steps = 0
        # Of every model that was ever loaded here.
        self._steps: dict[str, Histogram] = {}

    async def handle(self, message: Message) -> None:
        match message:
            case Load():
                if self._config.harm is not None and self._config.harm.at == "load":
                    await self._config.harm.strike()
                self._loads.load(message)
            case CancelLoad():
                self._loads.cancel(message.job_id)
            case Estimate():
                self._loads.estimate(message)
            case Unload():
                self._unload(message)
            case Generate():
                for arrival in arrivals(message):
                    self._start(arrival)
            case Cancel():
                self._cancel(message)
            case _:
                raise InternalError(f"the engine process got a {type(message).__name__}")

    def alive(self) -> Alive:
        models = tuple(
            ModelStatus(model_id, steps.spread, num_running=self._num_running(model_id))
            for model_id, steps in self._steps.items()
        )
        return Alive(self._num_steps, len(self._requests), self._loads.weights_bytes, models)

    async def close(self) -> None:
        self._loads.close()

    def _num_running(self, model_id: str) -> int:
        return sum(r.arrival.model_id == model_id for r in self._requests.values())

    def _began(self, model_id: str) -> None:
        """A model is loaded, afresh."""
        self._matchers.pop(model_id, None)
        self._steps.setdefault(model_id, Histogram())

    def _unload(self, unload: Unload) -> None:
        self._loads.unload(unload.model_id)
        self._matchers.pop(unload.model_id, None)
        error = to_info(EngineFailed(f"model {unload.model_id} was unloaded"))
        for request_id, request in list(self._requests.items()):
            if request.arrival.model_id == unload.model_id:
                del self._requests[request_id]
                self._send(GenerateFailed(*request.arrival.key, error))
        self._send(Unloaded(unload.job_id, unload.model_id))

    def _start(self, arrival: Arrival) -> None:
        model_id, wanted = arrival.model_id, arrival.wanted
        try:
            tokenizer = self._loads.tokenizers.get(model_id)
            if tokenizer is None:
                raise ModelNotFound(f"the model {model_id} is not loaded", "load it first")
            prompt = arrival.prompt()
            capacity_tokens = self._loads.capacity_tokens(model_id)
            if capacity_tokens is not None:
                check_capacity(prompt, len(wanted.resume_token_ids), capacity_tokens)
            made = self._begin(tokenizer, prompt, arrival)
        except CortexError as error:
            self._send(GenerateFailed(*arrival.key, to_info(error)))
            return
        num_tokens = len(prompt.token_ids)
        self._send(Waiting(*arrival.key, Stage("prefill", num_tokens, num_tokens, "tokens")))
        is_harmful = self._is_harmful(wanted.epoch, tokenizer, prompt)
        self._requests[wanted.request_id] = _Request(arrival, made, is_harmful)
        self._has_work.set()

    def _begin(self, tokenizer: Tokenizer, prompt: Prompt, arrival: Arrival) -> Answer | Pooled:
        if prompt.pooling is not None:
            vector = hashed_vector(prompt, prompt.pooling)
            return Pooled(*arrival.key, vector, len(prompt.token_ids))
        source = self._source(tokenizer, prompt, arrival.wanted.choice)
        guide = self._guide(arrival.model_id, tokenizer, prompt)
        return Answer(tokenizer, prompt, source, arrival.wanted.resume_token_ids, guide)

    def _guide(self, model_id: str, tokenizer: Tokenizer, prompt: Prompt) -> Guide | None:
        """None where anything may come, and where a script says what does."""
        if self._config.replies or not needs_guide(prompt):
            return None
        if not prompt.grammar:
            return Guide(tokenizer, prompt, None)
        if model_id not in self._matchers:
            self._matchers[model_id] = Matchers(grammar_tokenizer(tokenizer))
        return Guide(tokenizer, prompt, self._matchers[model_id].open(prompt.grammar))

    def _is_harmful(self, epoch: int, tokenizer: Tokenizer, prompt: Prompt) -> bool:
        harm = self._config.harm
        if harm is None or epoch > harm.epochs:
            return False
        return harm.word in tokenizer.decode(prompt.token_ids)

    def _source(self, tokenizer: Tokenizer, prompt: Prompt, choice: int) -> TokenSource:
        if self._config.replies:
            return ScriptSource(tokenizer, prompt, self._config.replies)
        return HashSource(tokenizer, prompt, choice)

    def _cancel(self, cancel: Cancel) -> None:
        request = self._requests.get(cancel.request_id)
        if request is not None and request.arrival.wanted.epoch == cancel.epoch:
            del self._requests[cancel.request_id]
            if isinstance(request.made, Answer):
                part = _part(request.arrival, request.made, Made(finish="cancelled"))
                self._send(Step((part,)))

    async def run(self) -> None:
        while True:
            await self._has_work.wait()
            began_s = asyncio.get_running_loop().time()
            await asyncio.sleep(self._config.token_interval_ms / 1000)
            await self._suffer()
            self._step(began_s)
            if not self._requests:
                self._has_work.clear()

    async def _suffer(self) -> None:
        harm = self._config.harm
        for request in self._requests.values():
            if harm is not None and request.is_harmful and request.num_tokens == harm.at:
                await harm.strike()

    def _step(self, began_s: float) -> None:
        duration_s = asyncio.get_running_loop().time() - began_s
        for model_id in {request.arrival.model_id for request in self._requests.values()}:
            self._steps[model_id].add(duration_s)
        parts = tuple(self._parts())
        self._num_steps += 1
        if parts:
            self._send(Step(parts))

    def _parts(self) -> Iterator[StepPart]:
        for request_id, request in list(self._requests.items()):
            if isinstance(request.made, Pooled):
                del self._requests[request_id]
                self._send(request.made)
                continue
            try:
                made = request.made.step()
            except CortexError as error:
                del self._requests[request_id]
                self._send(GenerateFailed(*request.arrival.key, to_info(error)))
                continue
            if made.finish is not None:
                del self._requests[request_id]
            yield _part(request.arrival, request.made, made)


def _part(arrival: Arrival, answer: Answer, made: Made) -> StepPart:
    usage = answer.usage() if made.finish else None
    return StepPart(
        *arrival.key, made.token_ids, made.deltas, made.finish, usage, made.logprobs, made.stop_text
    )


def read_script(path: Path) -> FakeConfig:
    """A script file: {"replies": ["text", ...], "token_interval_ms": 5, "harm": {...}}, or less.

    Raises InvalidRequest, saying what is wrong with the file.
    """
    shape = 'expected {"replies": ["text", ...], "token_interval_ms": number, "harm": {...}}'
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"the script {path} cannot be read: {error}", shape) from error
    if not isinstance(value, dict) or not value:
        raise InvalidRequest(f"the script {path} is no JSON object, or an empty one", shape)
    fields = cast(dict[str, Any], value)
    if unknown := sorted(fields.keys() - {"replies", "token_interval_ms", "harm"}):
        raise InvalidRequest(f"the script {path} has an unknown key {unknown[0]!r}", shape)
    interval_ms = fields.get("token_interval_ms", 0)
    if not isinstance(interval_ms, int | float) or not 0 <= interval_ms <= 60_000:
        raise InvalidRequest(f"the script {path}: token_interval_ms = {interval_ms!r}", shape)
    try:
        harm = read_harm(fields["harm"]) if "harm" in fields else None
    except InvalidRequest as error:
        raise InvalidRequest(f"the script {path}: {error.message}", error.hint) from None
    if "replies" not in fields:
        return FakeConfig((), interval_ms, harm)
    replies = fields["replies"]
    if not isinstance(replies, list) or not replies:
        raise InvalidRequest(f"the script {path}: replies is not a list, or empty", shape)
    texts = tuple(reply for reply in cast(list[Any], replies) if isinstance(reply, str))
    if len(texts) < len(cast(list[Any], replies)):
        raise InvalidRequest(f"the script {path}: a reply is not a string", shape)
    return FakeConfig(texts, interval_ms, harm)


def main() -> None:
    parser = argparse.ArgumentParser(prog="cortex-fake-engine")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--log-level", default="WARNING", help="what is logged, and worse")
    parser.add_argument("--script", type=Path, help="a JSON file with the replies to give")
    parser.add_argument("--token-interval-ms", type=float, help="wait this long before each token")
    parser.add_argument("--memory-bytes", type=int, help="what models may reserve in all")
    options = parser.parse_args()
    try:
        config = read_script(options.script) if options.script else FakeConfig()
    except InvalidRequest as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        raise SystemExit(2) from None
    config = replace(config, memory_bytes=options.memory_bytes)
    if options.token_interval_ms is not None:
        config = replace(config, token_interval_ms=options.token_interval_ms)
    run_child(options.fd, lambda send: FakeService(config, send), options.log_level)


if __name__ == "__main__":
    main()
