"""The text process: `python -m cortex.engine.text --fd N`.

Answers each Prepare with the prompt, and each Count with its length, or the reason why there is
none. Hostile bytes are opened here and nowhere else, so that a decoder's crash costs one request.
The work runs on two threads: the main one goes on saying Alive and can call work off. What comes to
no end it cannot end: it names the request then, and gives the process up.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from .child import Send, log_unexpected, run_child
from .errors import CortexError, EngineFailed, InternalError, InvalidRequest, to_info
from .frames import pack_value
from .grammars.checking import GrammarTrial, TrialBudget
from .heap import give_large_blocks_back
from .kept_pictures import KeptPictures
from .messages import (
    Alive,
    CancelPrepare,
    Count,
    Counted,
    Message,
    Prepare,
    Prepared,
    PrepareFailed,
)
from .prompt import BuiltPrompt, build_prompt, count_tokens
from .text_model import TextModel, TextModels
from .vector_prompt import build_vector_prompt

_THREADS = 2
# Of decoded pictures: fifty of the usual size.
_KEPT_PICTURES_BYTES = 160 * 1024 * 1024
# Of what is made in one go: a template rendered, a picture opened, a model's files read. Seconds at
# most, and many of them where a machine is busy. Counted in ticks that this process really ran.
_LONGEST_PIECE_S = 120
_TICK_S = 1.0

Sleep = Callable[[float], Awaitable[None]]

_log = logging.getLogger(__name__)


class _NotWantedError(Exception):
    """The request was called off: stop working, say nothing."""


class _Work:
    """One request's. `num_still_ticks` is None until a thread has begun with it, and then counts
    from the last piece that is done.
    """

    def __init__(self, request_id: str, model_dir: Path) -> None:
        self.request_id = request_id
        self.model_dir = model_dir
        self.is_called_off = False
        self.num_still_ticks: int | None = None

    def check_wanted(self) -> None:
        if self.is_called_off:
            raise _NotWantedError
        self.num_still_ticks = 0

    def tick(self) -> bool:
        """Whether it has taken too long over one piece."""
        if self.num_still_ticks is None:
            return False
        self.num_still_ticks += 1
        return self.num_still_ticks * _TICK_S >= _LONGEST_PIECE_S


class TextService:
    """Prepares prompts. Knows the requests in work by their ids, and nothing of who asked."""

    def __init__(
        self,
        send: Send,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._sleep = sleep
        self._models = TextModels(clock=clock)
        self._trial = GrammarTrial()
        self._pictures = KeptPictures(_KEPT_PICTURES_BYTES, clock)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="text")
        self._works: set[_Work] = set()
        self._num_done = 0

    async def handle(self, message: Message) -> None:
        match message:
            case Prepare() | Count():
                work = _Work(message.request_id, Path(message.model_dir))
                self._works.add(work)
                self._pool.submit(self._work, message, work)
            case CancelPrepare():
                for work in list(self._works):
                    work.is_called_off |= work.request_id == message.request_id
            case _:
                raise InternalError(f"the text process got a {type(message).__name__}")

    def alive(self) -> Alive:
        return Alive(step_count=self._num_done, queued=len(self._works), weight_bytes=0)

    async def run(self) -> None:
        """Raises EngineFailed when a thread is held for too long, whose request alone is blamed."""
        while True:
            await self._sleep(_TICK_S)
            self._pictures.forget()
            self._models.forget()
            stuck = [work for work in list(self._works) if work.tick()]
            for work in stuck:
                _log.warning("prompt stuck request=%s path=%s", work.request_id, work.model_dir)
                if not work.is_called_off:
                    self._send(PrepareFailed(work.request_id, to_info(_too_slow())))
            if stuck:
                models = " and ".join({work.model_dir.name for work in stuck})
                raise EngineFailed(f"{models}: a prompt was in work for over {_LONGEST_PIECE_S} s")

    async def close(self) -> None:
        for work in list(self._works):
            work.is_called_off = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._trial.close()

    def _work(self, message: Prepare | Count, work: _Work) -> None:
        try:
            work.check_wanted()
            model = self._models.get(work.model_dir)
            work.check_wanted()
            if isinstance(message, Count):
                num_tokens = count_tokens(model, message.request, work.check_wanted, message.pixels)
                self._send(Counted(message.request_id, num_tokens))
            else:
                self._send(_prepared(message, self._built(model, message, work.check_wanted)))
        except _NotWantedError:
            _log.debug("prepare called off request=%s", message.request_id)
        # Nothing may leave a client waiting, be it what Python does not call an Exception.
        except BaseException as error:
            if not isinstance(error, CortexError):
                log_unexpected(_log, f"prepare failed request={message.request_id}", error)
            self._send(PrepareFailed(message.request_id, to_info(error)))
        finally:
            self._num_done += 1
            self._works.discard(work)

    def _built(
        self, model: TextModel, message: Prepare, check_wanted: Callable[[], None]
    ) -> BuiltPrompt:
        def why_not(grammar: str, budget: TrialBudget | None) -> str | None:
            check_wanted()
            return self._trial.why_not(grammar, budget)

        request, context_tokens = message.request, message.context_tokens
        if request.vector is not None:
            return build_vector_prompt(model, request, request.vector, context_tokens)
        return build_prompt(
            model, request, context_tokens, check_wanted,
            why_not, message.pixels, self._pictures.prepare,
        )  # fmt: skip


def _too_slow() -> InvalidRequest:
    return InvalidRequest(
        f"the prompt cannot be made: one piece of it takes over {_LONGEST_PIECE_S} s",
        "send less at once, or ask another model",
    )


def _prepared(message: Prepare, built: BuiltPrompt) -> Prepared:
    return Prepared(
        request_id=message.request_id,
        prompt=msgspec.Raw(pack_value(built.prompt)),
        prompt_tokens=len(built.prompt.token_ids),
        images=built.images,
        max_tokens=built.prompt.max_tokens,
        prompt_hash=built.prompt_hash,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="cortex-text")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--log-level", default="WARNING", help="what is logged, and worse")
    args = parser.parse_args()
    give_large_blocks_back()
    run_child(args.fd, TextService, args.log_level)


if __name__ == "__main__":
    main()
