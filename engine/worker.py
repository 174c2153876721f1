"""The engine process: `python -m cortex.engine.worker --device cpu --fd N`.

Its main thread reads jobs from the peer, turns tokens into text and sends steps; the device thread
does everything else (`loop.py`). Text is made here and not on the device thread, so that a slow
character never delays a token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path

import torch

from .child import Send, run_child
from .loop import DeviceEvent, DeviceLoop, NewToken, Started
from .messages import Alive, Cancel, Generate, Load, Loaded, Message, Step, StepPart, Unload
from .stopping import StopScanner
from .tokenizer import Detokenizer, Tokenizer
from .types import FinishReason, Usage


@dataclass(slots=True)
class _Answer:
    """The text side of one request: bytes waiting for their character, text for its stop string."""

    detokenizer: Detokenizer
    scanner: StopScanner
    prompt_tokens: int
    num_tokens: int = 0

    def push(self, token_id: int) -> tuple[str, bool]:
        """Text that may be shown, and whether a stop string ended the answer."""
        self.num_tokens += 1
        scan = self.scanner.push(self.detokenizer.push(token_id))
        return scan.safe, scan.matched is not None

    def flush(self) -> str:
        scan = self.scanner.push(self.detokenizer.flush())
        return scan.safe if scan.matched is not None else scan.safe + self.scanner.flush()

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.num_tokens)


class Worker:
    """The service of an engine child (see `child.py`)."""

    def __init__(self, device: torch.device, send: Send) -> None:
        self._send = send
        self._tokenizers: dict[str, Tokenizer] = {}
        self._model_dirs: dict[str, Path] = {}
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._event_loop = asyncio.get_running_loop()
        self._device_loop = DeviceLoop(device, self._hand_over)
        name = f"{device.type}-dev-{device.index or 0}"
        # A daemon: it may be deep in a long step when the parent goes, and must not hold the end.
        threading.Thread(target=self._device_loop.run, name=name, daemon=True).start()

    async def handle(self, message: Message) -> None:
        match message:
            case Load():
                self._model_dirs[message.model_id] = Path(message.model_dir)
                self._device_loop.submit(message)
            case Cancel():
                self._answers.pop((message.request_id, message.epoch), None)
                self._device_loop.submit(message)
            case Generate() | Unload():
                self._device_loop.submit(message)
            case _:
                pass  # a newer peer's message: not for us

    def alive(self) -> Alive:
        loop = self._device_loop
        return Alive(loop.step_count, loop.num_queued, loop.weight_bytes)

    async def close(self) -> None:
        self._device_loop.close()

    def _hand_over(self, event: DeviceEvent) -> None:
        """Called on the device thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the parent is gone
            self._event_loop.call_soon_threadsafe(self._on_device_event, event)

    def _on_device_event(self, event: DeviceEvent) -> None:
        match event:
            case Started():
                self._begin(event)
            case NewToken():
                self._token(event)
            case Loaded():
                model_dir = self._model_dirs[event.model_id]
                self._tokenizers[event.model_id] = Tokenizer(model_dir / "tokenizer.json")
                self._send(event)
            case _:
                self._send(event)

    def _begin(self, event: Started) -> None:
        answer = _Answer(
            Detokenizer(self._tokenizers[event.model_id]),
            StopScanner(event.prompt.stop),
            len(event.prompt.token_ids),
        )
        for token_id in event.resume_token_ids:  # the client has this text already
            answer.push(token_id)
        self._answers[event.request_id, event.epoch] = answer

    def _token(self, event: NewToken) -> None:
        key = (event.request_id, event.epoch)
        answer = self._answers.get(key)
        if answer is None:
            return  # cancelled, or ended by a stop string, while the token was made
        text, finish = "", event.finish
        if event.token_id is not None:
            text, is_stopped = answer.push(event.token_id)
            if is_stopped:
                finish = "stop"
                self._device_loop.submit(Cancel(*key))
            elif finish is not None:
                text += answer.flush()
        elif finish is not None:
            text = answer.flush()
        token_ids = () if event.token_id is None else (event.token_id,)
        self._send_part(key, token_ids, text, finish)

    def _send_part(
        self,
        key: tuple[str, int],
        token_ids: tuple[int, ...],
        text: str,
        finish: FinishReason | None,
    ) -> None:
        usage = self._answers.pop(key).usage if finish is not None else None
        self._send(Step((StepPart(*key, token_ids, text, finish, usage),)))


def main() -> None:
    parser = argparse.ArgumentParser(description="cortex engine process, started by a peer")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:N")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--threads", type=int, help="CPU threads (default: one a core)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    run_child(args.fd, lambda send: Worker(device, send))


if __name__ == "__main__":
    main()
