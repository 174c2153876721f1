"""What bodies ask in the names of other servers: refused, with what to send here, where that is not
done, and taken where nothing is asked for.

Who brings such a name would otherwise take an answer that does not obey it for one that does.
"""

from __future__ import annotations

from typing import Any, cast

from .sampling import DecoderFields, read_penalty, unsupported

_LARK = "grammar, written in Lark"
# Names of structured outputs, with ours: refused where they ask anything.
_FORMS = {
    "guided_json": "json", "guided_regex": "regex", "guided_choice": "choice",
    "guided_grammar": _LARK, "json_schema": "json", "regex": "regex", "ebnf": _LARK,
    "grammar": _LARK,
}  # fmt: skip

# Fields of which nothing is obeyed: the value that asks nothing, beside null, and what does the
# same or nearly so.
_FIELDS: dict[str, tuple[Any, str]] = {
    "allowed_token_ids": ([], "send structured_outputs.choice, or logit_bias"),
    "bad_words": ([], "send logit_bias with -100 for their tokens"),
    "skip_special_tokens": (True, "leave it out; return_token_ids tells of control tokens"),
    "prompt_logprobs": (None, "send echo and logprobs to /v1/completions"),
    "use_beam_search": (False, "leave it out, and send n for several answers"),
}

# Fields that are here under another name: ours, and the value that asks nothing. Some clients send
# every name that they know, all with one value. What a penalty asks that does nothing is obeyed.
_TWINS: dict[str, tuple[str, Any]] = {
    "n_predict": ("max_tokens", -1),
    "num_predict": ("max_tokens", -1),
    "repeat_penalty": ("repetition_penalty", None),
}

# What Ollama's own API takes within `options`. What changes no answer, as `num_ctx`, is overlooked.
_OPTIONS = (
    _TWINS
    | {"seed": ("seed", -1)}
    | {
        name: (name, None)
        for name in (
            *("temperature", "top_p", "top_k", "min_p", "stop"),
            *("presence_penalty", "frequency_penalty"),
        )
    }
)


def refuse_wishes_of_others(body: DecoderFields) -> None:
    """Raises UnsupportedParameter."""
    for name, ours in _FORMS.items():
        if getattr(body, name) is not None:
            unsupported(name, "is another server's name", f"send structured_outputs.{ours}")
    for name, (asks_nothing, instead) in _FIELDS.items():
        if getattr(body, name) not in (None, asks_nothing):
            unsupported(name, "is not obeyed here", instead)
    for name, (ours, asks_nothing) in _TWINS.items():
        _refuse_twin(body, name, getattr(body, name), ours, asks_nothing)
    for name, (ours, asks_nothing) in _OPTIONS.items():
        value = body.ollama_options.get(name)
        _refuse_twin(body, f"options.{name}", value, ours, asks_nothing)
    refuse_truncation(body.truncate_prompt_tokens)
    if body.include_stop_str_in_output and body.stop_token_ids:
        unsupported(
            "include_stop_str_in_output",
            "includes no stop token",
            "leave out stop_token_ids, and send their text in stop",
        )


def refuse_truncation(most_tokens: Any) -> None:
    """Elsewhere -1 means the model's context: a prompt over that is refused with an error of its
    own.

    Raises UnsupportedParameter.
    """
    if most_tokens not in (None, -1):
        unsupported(
            "truncate_prompt_tokens",
            "no prompt is cut here",
            "leave it out, and cut the text before it is sent",
        )


def _refuse_twin(body: DecoderFields, path: str, value: Any, ours: str, asks_nothing: Any) -> None:
    if ours == "max_tokens" and getattr(body, "max_completion_tokens", None) is not None:
        ours = "max_completion_tokens"  # It goes before the other one.
    if _alike(ours, value) not in (None, asks_nothing, _asked(body, ours)):
        unsupported(path, "is another server's name", f"send {ours}")


def _asked(body: DecoderFields, ours: str) -> Any:
    if ours in ("presence_penalty", "frequency_penalty", "repetition_penalty"):
        return read_penalty(body, ours)
    return _alike(ours, getattr(body, ours))


def _alike(ours: str, value: Any) -> Any:
    """One spelling for the values that ask the same; None where nothing is asked."""
    if ours == "stop":
        stops = cast(list[Any], value) if isinstance(value, list) else [value]
        return [stop for stop in stops if stop] or None
    if ours == "top_k" and isinstance(value, int | float):
        return max(value, 0)
    return value
