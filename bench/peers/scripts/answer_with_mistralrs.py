"""Holds a model in mistral.rs and answers prompts, all at once, each a stream of its own.

Run by the Python that has mistralrs; `scripted.py` says what goes over its streams. The package has
no server: its Runner is what Python users call. It gives text and no token ids.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from mistralrs import Architecture, ChatCompletionRequest, ModelDType, Runner, Which

# The prompt and nothing around it.
_BARE_TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
_DTYPES = {"bfloat16": ModelDType.BF16, "float32": ModelDType.F32}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_dir")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "bare.jinja"
        template.write_text(_BARE_TEMPLATE, encoding="utf-8")
        runner = Runner(
            which=Which.Plain(
                model_id=args.model_dir, arch=Architecture.Qwen3, dtype=_DTYPES[args.dtype]
            ),
            max_seqs=args.concurrency,
            prefix_cache_n=0,
            jinja_explicit=str(template),
        )
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        say({"answers": answer(runner, asked["prompts"], asked["num_tokens"])})


def answer(runner: Runner, prompts: list[dict[str, Any]], num_tokens: int) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    readers: list[threading.Thread] = []
    for prompt in prompts:
        answers.append({"sent_s": time.perf_counter(), "at_s": [], "text": "", "prompt_tokens": 0})
        stream = runner.send_chat_completion_request(
            ChatCompletionRequest(
                messages=[{"role": "user", "content": prompt["text"]}],
                model="default",
                max_tokens=num_tokens,
                temperature=0.0,
                ignore_eos=True,
                stream=True,
            )
        )
        readers.append(threading.Thread(target=read, args=(stream, answers[-1])))
        readers[-1].start()
    for reader in readers:
        reader.join()
    return answers


def read(stream: Any, into: dict[str, Any]) -> None:
    for chunk in stream:
        if chunk.choices:
            into["at_s"].append(time.perf_counter())
            into["text"] += chunk.choices[0].delta.content or ""
        if chunk.usage is not None:
            into["prompt_tokens"] = chunk.usage.prompt_tokens


def say(value: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
