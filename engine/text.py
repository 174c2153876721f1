"""The text process: `python -m cortex.engine.text --fd N`.

Answers each Prepare with the prompt, and each Count with its length, or the reason why there is
none. Hostile bytes are opened here
and nowhere else, so that a decoder's crash costs one request. The work runs on two threads: the
main one goes on saying Alive and can call work off.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .child import Send, log_unexpected, run_child
from .errors import CortexError, InternalError, to_info
from .frames import pack_value
from .grammars.checking import GrammarTrial
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
from .prompt import MAX_PIXEL_BYTES, BuiltPrompt, build_prompt, count_tokens
from .text_model import TextModel, TextModels
from .vector_prompt import build_vector_prompt

_THREADS = 2

_log = logging.getLogger(__name__)


class _NotWantedError(Exception):
    """The request was called off: stop working, say nothing."""


class TextService:
    """Prepares prompts. Knows the requests in work by their ids, and nothing of who asked."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._models = TextModels()
        self._trial = GrammarTrial()
        # All that one request may show: those of a long conversation do not push each other out.
        self._pictures = KeptPictures(MAX_PIXEL_BYTES)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="text")
        self._called_off: dict[str, threading.Event] = {}
        self._num_done = 0

    async def handle(self, message: Message) -> None:
        match message:
            case Prepare() | Count():
                called_off = threading.Event()
                self._called_off[message.request_id] = called_off
                self._pool.submit(self._work, message, called_off)
            case CancelPrepare():
                if (called_off := self._called_off.get(message.request_id)) is not None:
                    called_off.set()
            case _:
                raise InternalError(f"the text process got a {type(message).__name__}")

    def alive(self) -> Alive:
        return Alive(step_count=self._num_done, queued=len(self._called_off), memory_bytes=0)

    async def run(self) -> None:
        await asyncio.Event().wait()  # all work is asked for

    async def close(self) -> None:
        for called_off in list(self._called_off.values()):
            called_off.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._trial.close()

    def _work(self, message: Prepare | Count, called_off: threading.Event) -> None:
        def check_wanted() -> None:
            if called_off.is_set():
                raise _NotWantedError

        try:
            check_wanted()
            model = self._models.get(Path(message.model_dir))
            if isinstance(message, Count):
                num_tokens = count_tokens(model, message.request, check_wanted, message.pixels)
                self._send(Counted(message.request_id, num_tokens))
            else:
                self._send(_prepared(message, self._built(model, message, check_wanted)))
        except _NotWantedError:
            _log.debug("prepare called off request=%s", message.request_id)
        except Exception as error:
            if not isinstance(error, CortexError):
                log_unexpected(_log, f"prepare failed request={message.request_id}", error)
            self._send(PrepareFailed(message.request_id, to_info(error)))
        finally:
            self._num_done += 1
            if self._called_off.get(message.request_id) is called_off:
                del self._called_off[message.request_id]

    def _built(
        self, model: TextModel, message: Prepare, check_wanted: Callable[[], None]
    ) -> BuiltPrompt:
        request, context_tokens = message.request, message.context_tokens
        if request.vector is not None:
            return build_vector_prompt(model, request, request.vector, context_tokens)
        return build_prompt(
            model, request, context_tokens, check_wanted,
            self._trial.why_not, message.pixels, self._pictures.prepare,
        )  # fmt: skip


def _prepared(message: Prepare, built: BuiltPrompt) -> Prepared:
    return Prepared(
        request_id=message.request_id,
        prompt=pack_value(built.prompt),
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
