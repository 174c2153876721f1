"""Every metric that a peer tells: its name, its kind, its labels and what it means.

`metrics.py` fills them, and the table of `docs/metrics.md` is made from them. What is told in a
fleet has the label `peer` besides. A label's values are words of ours, names of devices and ids of
the catalogue's models: as many as there are of those, whatever clients send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    kind: Kind
    labels: tuple[str, ...]
    words: str


_DEVICE_AND_MODEL = ("device", "model")
_MODEL = ("model",)

FAMILIES = (
    Family(
        "cortex_process_up",
        "gauge",
        ("process", "device"),
        "1 where a child process runs. One that is not needed is not started.",
    ),
    Family(
        "cortex_process_failing",
        "gauge",
        ("process", "device"),
        "1 where a child process could not be started the last time, or rests because it keeps"
        " ending. It is tried again when it is needed.",
    ),
    Family(
        "cortex_restarts_total",
        "counter",
        ("process", "device"),
        "Child processes that ran and ended without having been told to.",
    ),
    Family(
        "cortex_live_requests",
        "gauge",
        (),
        "Requests that have come and not ended, in whatever stage; those answered elsewhere too.",
    ),
    Family(
        "cortex_device_memory_budget_bytes",
        "gauge",
        ("device",),
        "What the models on a device may use together.",
    ),
    Family(
        "cortex_device_memory_bytes",
        "gauge",
        ("device", "model", "kind"),
        "How that is shared out: the parts of each model's share, and without a model what is free"
        " and what other programs have.",
    ),
    Family(
        "cortex_device_memory_used_bytes",
        "gauge",
        ("device", "model", "kind"),
        "What of a share holds something now, for shares whose use changes.",
    ),
    Family(
        "cortex_running_requests",
        "gauge",
        _DEVICE_AND_MODEL,
        "Answers that the engine is computing.",
    ),
    Family(
        "cortex_queue_depth",
        "gauge",
        _DEVICE_AND_MODEL,
        "Answers that wait in the engine for memory or a place; without a device, requests that"
        " wait for their model.",
    ),
    Family("cortex_kv_pages", "gauge", ("device", "model", "state"), "Pages of keys and values."),
    Family(
        "cortex_preemptions_total",
        "counter",
        _DEVICE_AND_MODEL,
        "Times that an answer gave its place up for want of memory, to go on later.",
    ),
    Family(
        "cortex_drafted_tokens_total",
        "counter",
        ("device", "model", "drafter"),
        "Tokens that were computed ahead of their answers, on a guess.",
    ),
    Family(
        "cortex_accepted_tokens_total",
        "counter",
        ("device", "model", "drafter"),
        "Those of them that were the answer's, and needed no step of their own.",
    ),
    Family(
        "cortex_replayed_steps_total",
        "counter",
        _DEVICE_AND_MODEL,
        "Steps that a GPU was given as one graph, and not launch by launch.",
    ),
    Family(
        "cortex_step_seconds",
        "histogram",
        _DEVICE_AND_MODEL,
        "How long the engine took for a step of all that it computes.",
    ),
    Family(
        "cortex_requests_total",
        "counter",
        ("dialect", "status"),
        "Replies to requests for answers, and of the dialect `count` to those that only count a"
        " prompt's tokens; status 499 is for clients that left before the end.",
    ),
    Family(
        "cortex_request_errors_total",
        "counter",
        ("dialect", "code", "status"),
        "Those of them that ended with an error, at the peer that was asked and once, in a stream"
        " that had begun too; the status is what the error has in a reply of its own, where"
        " `messages` has 529 for 503.",
    ),
    Family(
        "cortex_client_time_to_first_token_seconds",
        "histogram",
        _MODEL,
        "From a request's coming to the peer that was asked to the first token of its answer,"
        " whatever waits and lost peers were in between.",
    ),
    Family(
        "cortex_client_request_seconds",
        "histogram",
        _MODEL,
        "From a request's coming to the peer that was asked to the end of its answer, of those"
        " that came to their end.",
    ),
    Family(
        "cortex_requests_finished_total",
        "counter",
        ("model", "reason"),
        "Answers by how they ended at the peer that worked for them; each choice counts.",
    ),
    Family(
        "cortex_prompt_tokens_total", "counter", _MODEL, "Tokens of the prompts that were answered."
    ),
    Family(
        "cortex_cached_tokens_total",
        "counter",
        _MODEL,
        "Those of them that were remembered, and not computed again.",
    ),
    Family(
        "cortex_completion_tokens_total",
        "counter",
        _MODEL,
        "Tokens of answers, reasoning included.",
    ),
    Family(
        "cortex_load_failures_total", "counter", _MODEL, "Loads of a model that came to nothing."
    ),
    Family(
        "cortex_evictions_total",
        "counter",
        ("model", "reason"),
        "Models that went from a device, by why.",
    ),
    Family(
        "cortex_failovers_total",
        "counter",
        ("model", "kind", "cause"),
        "Answers that were taken up again after what computed them was gone: by a new engine, or"
        " by another peer, before the first token or after it; and requests taken elsewhere from a"
        " peer that was full.",
    ),
    Family(
        "cortex_queue_seconds",
        "histogram",
        _MODEL,
        "From a prompt's being ready to its engine's reading it: what loads and other requests"
        " cost it.",
    ),
    Family(
        "cortex_time_to_first_token_seconds",
        "histogram",
        _MODEL,
        "From a request's coming to the peer that answers to the first token that it makes. An"
        " answer that goes on there has none.",
    ),
    Family(
        "cortex_inter_token_seconds",
        "histogram",
        _MODEL,
        "From one token of an answer to the next.",
    ),
    Family(
        "cortex_tokens_per_second",
        "histogram",
        _MODEL,
        "How fast an answer came that has ended, from its first token to its last. One whose"
        " tokens came all at once has no speed.",
    ),
    Family(
        "cortex_request_seconds",
        "histogram",
        _MODEL,
        "From a request's coming to the peer that answers to the end of its answer.",
    ),
    Family(
        "cortex_load_seconds",
        "histogram",
        _MODEL,
        "From the beginning of a model's load until it was ready.",
    ),
    Family(
        "cortex_peers",
        "gauge",
        ("state",),
        "Peers that this one knows of, itself included. Who is dead counts for a day, or for ten"
        " minutes where another peer goes by its name or went by it later; who has left, for ten"
        " minutes.",
    ),
    Family(
        "cortex_gossip_bytes_total",
        "counter",
        ("direction",),
        "Bytes of the datagrams between peers, sealed as they travel.",
    ),
    Family(
        "cortex_gossip_dropped_total",
        "counter",
        ("cause",),
        "Datagrams that came to the fleet's port and were not taken, by why.",
    ),
)
