"""Holds a model in transformers and answers prompts: `generate`, greedy, with a static cache.

Run by the Python that has transformers; `scripted.py` says what goes over its streams.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria


class StepClock(StoppingCriteria):
    """Is asked after every step whether to stop; says no, and notes the time."""

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        self.at_s.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model_dir")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model_dir)
    model = AutoModelForCausalLM.from_pretrained(
        args.model_dir, dtype=getattr(torch, args.dtype), attn_implementation="sdpa"
    )
    model = model.eval().to(args.device)
    # Answers have a fixed length: no token ends them.
    model.generation_config.eos_token_id = None
    say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        say({"answers": answer(model, tokenizer, asked["prompts"], asked["num_tokens"])})


@torch.inference_mode()
def answer(
    model: Any, tokenizer: Any, prompts: list[dict[str, Any]], num_tokens: int
) -> list[dict[str, Any]]:
    """All prompts as one batch: they are of one length."""
    clock = StepClock()
    sent_s = time.perf_counter()
    input_ids = torch.tensor(
        [prompt["token_ids"] for prompt in prompts], device=model.device
    )  # [prompts, tokens]
    whole = model.generate(
        input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=num_tokens,
        do_sample=False,
        temperature=None,
        top_k=None,
        top_p=None,
        cache_implementation="static",
        stopping_criteria=[clock],
    )
    made = whole[:, input_ids.shape[1] :].tolist()
    return [
        {
            "sent_s": sent_s,
            "at_s": clock.at_s,
            "token_ids": token_ids,
            "text": tokenizer.decode(token_ids),
            "prompt_tokens": input_ids.shape[1],
        }
        for token_ids in made
    ]


def say(value: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
