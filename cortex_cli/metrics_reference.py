"""docs/metrics.md: every metric, what its labels may be, and what people ask first. Made."""

from __future__ import annotations

from typing import get_args

from cortex.peer.fleet.view import PeerState
from cortex.peer.observing.metric_families import FAMILIES, Family
from cortex.peer.observing.tally import Failover

_HEAD = """\
# What a peer tells Prometheus

`GET /metrics` on the address of the API, in Prometheus' text format; with a key, where the API
wants one. A gateway tells the same on a port of its own, without a key.

```
curl http://127.0.0.1:13131/metrics
curl http://gateway.internal:31314/metrics
```

[contrib/prometheus/prometheus.yml](../contrib/prometheus/prometheus.yml) scrapes both, and
[contrib/grafana/cortex.json](../contrib/grafana/cortex.json) is a dashboard of it. This page is
made by `make generated`.

A label is a word of ours, the id of a model that is here, or the name of a device or a peer;
nothing in it comes from a client. In a fleet every number has the label `peer` besides: who tells
it. What is counted by models is counted by the peer whose engine made the answer;
`cortex_requests_total` and the failovers to other peers by the one that was asked. What the engine
process tells (memory in use, running, waiting, pages, preemptions, tokens computed ahead, steps) is
a second old at most, begins at zero with each new engine process, and never waits for the device.

| name | kind | labels | meaning |
| --- | --- | --- | --- |
"""
_TAIL = """
What people ask first:

```
# within how many seconds 95 of 100 answers begin
histogram_quantile(0.95, sum by (le) (rate(cortex_time_to_first_token_seconds_bucket[5m])))
# tokens a second, over all peers
sum(rate(cortex_completion_tokens_total[1m]))
# how much of the prompts was remembered
sum(rate(cortex_cached_tokens_total[5m])) / sum(rate(cortex_prompt_tokens_total[5m]))
# how full the memory for conversations is
cortex_kv_pages{state="used"} / ignoring (state) sum without (state) (cortex_kv_pages)
# whether two models push each other out
sum by (model) (increase(cortex_evictions_total{reason="lru"}[10m]))
```
"""
_LABELS = {
    "peer": "the name of the peer that tells it",
    "model": "an id that `GET /v1/models` lists",
    "device": "what an engine computes on: `cpu`, `cuda:0`; empty for the text process, and for"
    " requests whose model is on no device",
    "process": "`engine` or `text`",
    "kind` of memory": "without a model `free` or `foreign` (other programs have it); of a model"
    " the parts that `/healthz` lists under `memory`, with `_` between words: `weights`,"
    " `keys_and_values`, `recurrent_states`, `encoded_pictures`, `remembered_prefixes`, …;"
    " `loading` is all that a model will have, and `all` what one has whose engine tells no parts."
    " Remembered prefixes lie in host memory, beside the budget",
    "kind` of a failover": "`engine_restart`, or before the first token that of another peer and"
    " after it: {failovers}",
    "cause` of a failover": "the code of the error",
    "cause` of a dropped datagram": "`length`, `magic`: not one of ours. `version`: another major"
    " version of the protocol. `key`: a fleet key that is not held here; `retired`: one that was"
    " dropped. `seal`: forged or damaged. `own`: our own, come back. `flood`: more than 200 a"
    " second from one address, or 2,000 in all. `replay`: heard before. `malformed`, `type`: a"
    " member's, and not understood; `type` is a newer peer's, most likely",
    "state` of pages": "`used` or `free`",
    "state` of peers": "{states}",
    "direction": "`sent` or `received`",
    "dialect": "whose words a request was in: `openai`, `messages` or `responses`",
    "status": "of HTTP. An answer that breaks off in the middle of its stream has status 200, and"
    " the reason `failed`",
    "reason` of an eviction": "another model got the place (`lru`, `priority`, `home`: by whose"
    " right), nobody used it (`idle`), other programs have the memory (`foreign`), somebody said so"
    " (`asked`), its files changed (`changed`)",
    "drafter": "who guessed: `lookup` (it was said before) or `head` (the model's own draft head)",
    "reason` of an answer's end": "`stop` (vectors too), `length`, `context` (the model had no room"
    " for more), `cancelled` (its client left), `refused` (before its prompt was accepted),"
    " `failed`",
}


def metrics_reference() -> str:
    """The page."""
    words = {
        "failovers": _listed(get_args(Failover)),
        "states": _listed(get_args(PeerState)),
    }
    labels = "".join(
        f"| `{label}{'' if '`' in label else '`'} | {says.format(**words)} |\n"
        for label, says in _LABELS.items()
    )
    rows = "".join(map(_row, FAMILIES))
    return f"{_HEAD}{rows}\nThe values of labels:\n\n| label | |\n| --- | --- |\n{labels}{_TAIL}"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.words} |\n"


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)
