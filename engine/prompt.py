"""A chat request turned into the prompt that an engine takes.

Pure over what is loaded: the same request on the same model folder gives the same prompt on every
machine, and `prompt_hash` says so. What can be refused cheaply is refused first: pictures are
decoded only when the whole prompt is known to fit.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from .bounds import MAX_STOP_CHARS, MAX_STOP_TOKEN_IDS, MAX_STOPS
from .chat.rendering import render_request
from .errors import InvalidRequest, ModelNotSupported, TooManyImages, VisionUnsupported
from .generation import resolve_sampling
from .grammars.answers import bind_answer
from .grammars.calls import Refusal
from .images import each_picture, image_tokens, measure_image, prepare_image
from .long_text import encode_text, too_long
from .parsers.family import reply_format
from .parsers.reply import CALL, MARKS
from .preprocessor import PixelBudget, Preprocessor, pixel_budget
from .text_model import ChatForm, TextModel, Vision
from .turns import answer_start, turn_boundaries
from .types import (
    MAX_LOGIT_BIASES,
    MAX_TOP_LOGPROBS,
    ChatRequest,
    ImagePart,
    ImageTokens,
    PreparedImage,
    Prompt,
    RawText,
    RawTokens,
    ReplyFormat,
    Sampling,
)
from .wishes import USUAL_PIXELS, PixelWishes

# What one message between processes may carry with room to spare: 109,000 picture tokens, a hundred
# pictures of the usual size.
_MAX_PIXEL_BYTES = 320 * 1024 * 1024
_MAX_BIAS = 100.0

# `prepare_image`, or what does the same.
PreparePicture = Callable[[bytes, Preprocessor, PixelBudget, int], PreparedImage]


@dataclass(frozen=True, slots=True)
class BuiltPrompt:
    prompt: Prompt
    images: tuple[ImageTokens, ...]
    prompt_hash: bytes


@dataclass(frozen=True, slots=True)
class _Encoded:
    """`pictures` are unopened, their places in `token_ids` as many as each needs."""

    token_ids: list[int]
    pictures: tuple[bytes, ...]
    reply: ReplyFormat


def build_prompt(
    model: TextModel,
    request: ChatRequest,
    context_tokens: int,
    check_wanted: Callable[[], None] = lambda: None,
    why_not: Refusal = lambda grammar, budget: None,
    pixels: PixelWishes = USUAL_PIXELS,
    prepare: PreparePicture = prepare_image,
) -> BuiltPrompt:
    """Render, encode, and open the pictures.

    `check_wanted` is called between pieces of work; what it raises ends the work. `why_not` says
    whether a grammar can be used, `pixels` how large pictures are made, and `prepare` makes them.
    Raises InvalidRequest, ModelNotSupported, VisionUnsupported, InvalidImage, TooManyImages or
    ContextLengthExceeded.
    """
    sampling = _resolved_sampling(model, request)
    stop = _checked_stop(request.stop)
    top_logprobs = _checked_top_logprobs(request.top_logprobs)
    stop_token_ids = _stop_token_ids(model, request)
    encoded = _encode(model, request, context_tokens, check_wanted, pixels)
    token_ids = encoded.token_ids
    max_tokens, limited_by = _room(len(token_ids), request, context_tokens)
    bound = bind_answer(request, encoded.reply, why_not)
    if bound.grammar:
        _check_stops_within_form(model, request.stop_token_ids)
    check_wanted()
    images, sizes = _open_pictures(encoded, model.vision, check_wanted, pixels, prepare)
    prompt = Prompt(
        token_ids=tuple(token_ids),
        boundaries=turn_boundaries(token_ids, model.tokenizer),
        answer_start=answer_start(token_ids, model.tokenizer),
        images=images,
        sampling=sampling,
        max_tokens=max_tokens,
        limited_by=limited_by,
        stop=stop,
        stop_token_ids=stop_token_ids,
        includes_stop=request.includes_stop,
        min_tokens=request.min_tokens,
        top_logprobs=top_logprobs,
        reply=bound.reply,
        echo=_echo(model, request),
        tells_end=request.raw is not None,
        grammar=bound.grammar,
        reasoning_budget_tokens=request.reasoning.budget_tokens,
    )
    return BuiltPrompt(prompt, sizes, prompt_hash(prompt))


def count_tokens(
    model: TextModel,
    request: ChatRequest,
    check_wanted: Callable[[], None] = lambda: None,
    pixels: PixelWishes = USUAL_PIXELS,
) -> int:
    """How long the request's prompt is, whether or not there is room for it.

    Pictures are measured by their headers. Raises as `build_prompt` does.
    """
    return len(_encode(model, request, None, check_wanted, pixels).token_ids)


def _encode(
    model: TextModel,
    request: ChatRequest,
    context_tokens: int | None,
    check_wanted: Callable[[], None],
    pixels: PixelWishes,
) -> _Encoded:
    """With `context_tokens` what is far longer is refused early; None is for counting alone."""
    if request.raw is not None:
        raw_ids = _raw_ids(model, request.raw, context_tokens, check_wanted)
        return _Encoded(raw_ids, (), ReplyFormat())
    chat = _chat_form(model, request.model)
    has_pictures = any(isinstance(p, ImagePart) for m in request.messages for p in m.content)
    if has_pictures and model.vision is None:
        raise VisionUnsupported(
            f"the model {request.model} takes no pictures",
            "ask a model whose capabilities include vision, or leave the pictures out",
            param="messages",
        )
    rendered = render_request(chat.template, chat.habits, request, model.tokenizer.escape)
    check_wanted()
    token_ids = encode_text(
        model.tokenizer.encode, rendered.text, "messages", context_tokens, check_wanted
    )
    _check_token_id(model, max(token_ids, default=0), "messages")
    reply = reply_format(
        chat.family,
        rendered.text,
        request.tools,
        takes_one_call=not request.parallel_tool_calls,
        begun=rendered.begun,
    )
    if model.vision is not None:
        token_ids = _multiply_pads(token_ids, model.vision, rendered.pictures, pixels)
    return _Encoded(token_ids, rendered.pictures, reply)


def _chat_form(model: TextModel, model_id: str) -> ChatForm:
    if model.chat is None:
        raise ModelNotSupported(
            f"the model {model_id} has no chat template, and takes plain text alone",
            "send that to /v1/completions, ask another model to chat, or put a chat_template.jinja"
            " into this one's folder",
        )
    return model.chat


def _resolved_sampling(model: TextModel, request: ChatRequest) -> Sampling:
    sampling = resolve_sampling(request.sampling, model.defaults.wish, request.seed)
    if len(request.logit_bias) > MAX_LOGIT_BIASES:
        raise InvalidRequest(
            f"logit_bias holds {len(request.logit_bias)} tokens,"
            f" at most {MAX_LOGIT_BIASES} are taken",
            param="logit_bias",
        )
    for token_id, bias in request.logit_bias:
        _check_token_id(model, token_id, "logit_bias")
        if not -_MAX_BIAS <= bias <= _MAX_BIAS:
            raise InvalidRequest(
                f"logit_bias of token {token_id} is {bias!r}, not from -100 to 100",
                param="logit_bias",
            )
    biases = {**dict(request.logit_bias), **_kept_from_calling(model, request)}
    return replace(sampling, logit_bias=tuple(biases.items()))


def _kept_from_calling(model: TextModel, request: ChatRequest) -> dict[int, float]:
    """The mark that opens a call, where no call may come and the mark is one token.

    Only where earlier calls show how it is done: a bias costs the whole batch its fastest way.
    """
    has_calls = any(message.tool_calls for message in request.messages)
    may_call = model.chat is not None and model.chat.family.calls != "none"
    if request.tool_choice.mode != "none" or not may_call or not has_calls:
        return {}
    mark = model.tokenizer.encode(CALL)
    return {mark[0]: -_MAX_BIAS} if len(mark) == 1 else {}


def _checked_top_logprobs(wanted: int | None) -> int | None:
    if wanted is not None and not 0 <= wanted <= MAX_TOP_LOGPROBS:
        raise InvalidRequest(
            f"top_logprobs must be from 0 to {MAX_TOP_LOGPROBS}, not {wanted}",
            param="top_logprobs",
        )
    return wanted


def _raw_ids(
    model: TextModel,
    raw: RawText | RawTokens,
    context_tokens: int | None,
    check_wanted: Callable[[], None],
) -> list[int]:
    if isinstance(raw, RawText):
        encode = model.tokenizer.encode_raw
        token_ids = encode_text(encode, raw.text, "prompt", context_tokens, check_wanted)
    else:
        token_ids = list(raw.token_ids)
    check_raw_ids(model, token_ids, "prompt")
    return token_ids


def _echo(model: TextModel, request: ChatRequest) -> str:
    if not request.echo or request.raw is None:
        return ""
    if isinstance(request.raw, RawText):
        return request.raw.text
    return model.tokenizer.decode(request.raw.token_ids, skip_special=False)


def check_raw_ids(model: TextModel, token_ids: Sequence[int], param: str) -> None:
    """Whether these can be a prompt without pictures.

    Raises InvalidRequest, which calls them `param`.
    """
    if not token_ids:
        raise InvalidRequest(f"{param}: holds no token", "write at least a word", param=param)
    for extreme in (min(token_ids), max(token_ids)):  # there may be a million of them
        _check_token_id(model, extreme, param)
    for place_id in model.vision.place_ids if model.vision is not None else ():
        if place_id in token_ids:
            raise InvalidRequest(
                f"{param}: token {place_id} is the place of a picture or a video",
                "send pictures in chat messages",
                param=param,
            )


def _check_token_id(model: TextModel, token_id: int, param: str) -> None:
    if not 0 <= token_id < model.vocab_size:
        is_added = 0 <= token_id < model.tokenizer.vocab_size
        raise InvalidRequest(
            f"{param}: {token_id} is no token id of this model"
            + (", though its tokenizer has one" if is_added else ""),
            f"its token ids are 0 to {model.vocab_size - 1}",
            param=param,
        )


def _multiply_pads(
    token_ids: list[int], vision: Vision, pictures: Sequence[bytes], pixels: PixelWishes
) -> list[int]:
    """Each picture's pad as many times as the picture has cells, by its header alone."""
    pads = token_ids.count(vision.pad_id)
    if pads != len(pictures):
        raise InvalidRequest(
            f"the model's chat template placed {pads} of {len(pictures)} pictures",
            "send pictures in user messages",
            param="messages",
        )
    budget, most = pixel_budget(vision.preprocessor, pixels), pixels.max_image_pixels
    costs = iter(
        each_picture(pictures, lambda data: measure_image(data, vision.preprocessor, budget, most))
    )
    multiplied: list[int] = []
    pixel_tokens = 0
    for token_id in token_ids:
        if token_id == vision.pad_id:
            cost = next(costs)
            pixel_tokens += cost
            multiplied += [token_id] * cost
        else:
            multiplied.append(token_id)
    if pixel_tokens * vision.preprocessor.factor**2 * 3 > _MAX_PIXEL_BYTES:
        raise TooManyImages(
            f"the pictures are too many: {pixel_tokens} tokens of pictures in one request",
            "leave older pictures out or begin a new conversation",
            param="messages",
        )
    return multiplied


def _room(
    prompt_tokens: int, request: ChatRequest, context_tokens: int
) -> tuple[int, Literal["length", "context"]]:
    """How long the answer may become, and by whose limit."""
    wanted = request.max_tokens
    if prompt_tokens > context_tokens:
        param = "messages" if request.raw is None else "prompt"
        raise too_long(prompt_tokens, context_tokens, param)
    if wanted is not None and wanted < 0:
        raise InvalidRequest(f"max_tokens may not be negative: {wanted}", param="max_tokens")
    # The last token of an answer is never fed back: a full context still has room for one.
    left = max(1, context_tokens - prompt_tokens)
    return (left, "context") if wanted is None or wanted > left else (wanted, "length")


def _open_pictures(
    encoded: _Encoded,
    vision: Vision | None,
    check_wanted: Callable[[], None],
    pixels: PixelWishes,
    prepare: PreparePicture,
) -> tuple[tuple[PreparedImage, ...], tuple[ImageTokens, ...]]:
    if vision is None or not encoded.pictures:
        return (), ()
    budget, most = pixel_budget(vision.preprocessor, pixels), pixels.max_image_pixels

    def opened(data: bytes) -> PreparedImage:
        check_wanted()
        return prepare(data, vision.preprocessor, budget, most)

    images = each_picture(encoded.pictures, opened)
    # A template puts them around each alike, and a client cannot write them.
    num_marks = sum(map(encoded.token_ids.count, vision.mark_ids)) // len(images)
    sizes = tuple(image_tokens(image, vision.preprocessor, num_marks) for image in images)
    return tuple(images), sizes


def _checked_stop(stop: Sequence[str]) -> tuple[str, ...]:
    if len(stop) > MAX_STOPS or any(len(s) > MAX_STOP_CHARS for s in stop):
        raise InvalidRequest(
            f"stop takes at most {MAX_STOPS} strings of {MAX_STOP_CHARS} characters", param="stop"
        )
    return tuple(s for s in stop if s)


def _stop_token_ids(model: TextModel, request: ChatRequest) -> tuple[int, ...]:
    wanted, own = request.stop_token_ids, model.defaults.stop_token_ids
    if len(wanted) > MAX_STOP_TOKEN_IDS:
        raise InvalidRequest(
            f"stop_token_ids holds {len(wanted)} tokens, at most {MAX_STOP_TOKEN_IDS} are taken",
            param="stop_token_ids",
        )
    for token_id in wanted:
        _check_token_id(model, token_id, "stop_token_ids")
    return tuple(dict.fromkeys((*(() if request.ignore_eos else own), *wanted)))


def _check_stops_within_form(model: TextModel, wanted: Sequence[int]) -> None:
    """Control tokens may come only where a form may end, but for the marks that forms are spelt
    with.
    """
    tokenizer = model.tokenizer
    mark_ids = {tokenizer.special_id(mark) for mark in MARKS}
    harmless = {i for i in wanted if tokenizer.is_special(i) and i not in mark_ids}
    if others := set(wanted).difference(model.defaults.stop_token_ids, harmless):
        raise InvalidRequest(
            f"stop_token_ids: token {min(others)} might end the answer inside the form that it has"
            " to have (response_format and its kin, or tools that are strict or have to be called)",
            "leave it out, or send control tokens alone",
            param="stop_token_ids",
        )


def prompt_hash(prompt: Prompt) -> bytes:
    """What tells two prompts apart: their tokens, and what their pictures show."""
    num_tokens = len(prompt.token_ids)
    digest = hashlib.sha256(struct.pack(f">{1 + num_tokens}I", num_tokens, *prompt.token_ids))
    for image in prompt.images:
        digest.update(image.hash)
    return digest.digest()
