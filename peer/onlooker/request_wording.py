"""What tables say of a request: the same at a prompt and in the dashboard. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..units import age
from .request_pictures import RequestPicture, RequestsPicture
from .wording import NOTHING


def stage(one: RequestPicture) -> str:
    """waiting #2, loading 74%, prefill 41%, decode."""
    if one.stage == "queued":
        return f"waiting #{one.done}" if one.done else "waiting"
    percent = min(100, 100 * one.done // one.total) if one.total else None
    return one.stage if percent is None else f"{one.stage} {percent}%"


def is_waiting(one: RequestPicture) -> bool:
    """Whether no engine works on it yet."""
    return one.stage in ("queued", "starting", "loading", "preparing")


def peers(one: RequestPicture, *, between: str = " > ") -> str:
    """Where it came to and, where that is another one, who answers."""
    return one.peer if one.peer == one.host else f"{one.peer}{between}{one.host}"


def first_token(one: RequestPicture) -> str:
    return NOTHING if one.first_token_s is None else f"{one.first_token_s:.2f}s"


def tokens_per_s(one: RequestPicture) -> str:
    per_s = one.tokens_per_s
    return NOTHING if per_s is None else f"{per_s:,.0f}"


def counts(picture: RequestsPicture) -> list[str]:
    """12 running, 2 waiting."""
    num_waiting = sum(map(is_waiting, picture.requests))
    return [f"{len(picture.requests) - num_waiting:,} running", f"{num_waiting:,} waiting"]


def detail(one: RequestPicture) -> Iterator[str]:
    """Sentences on one of them; what nobody knows is left out."""
    yield f"{one.model or 'its model is not known yet'}, {stage(one)}, for {age(one.seconds)}"
    yield f"came to {one.peer}, answered by {one.host}" + (
        f", in the {one.dialect} dialect" if one.dialect else ""
    )
    reused = f" ({one.cached_tokens:,} reused)" if one.cached_tokens else ""
    yield f"prompt {one.prompt_tokens:,} tokens{reused}, answer {one.completion_tokens:,} so far"
    if one.first_token_s is not None:
        yield f"first token after {first_token(one)}, since then {tokens_per_s(one)} tok/s"
    if one.queue_s is not None:
        model = {"warm": "the model was there", "cold": "the model had to be loaded"}
        yield "; ".join(
            filter(None, (f"waited {age(one.queue_s)} to be read", model.get(one.start)))
        )
    if one.evicted:
        yield f"{', '.join(one.evicted)} had to go for it"
    if one.num_failovers:
        times = "once" if one.num_failovers == 1 else f"{one.num_failovers} times"
        yield f"asked again {times}: a host was lost, or could not take it"
