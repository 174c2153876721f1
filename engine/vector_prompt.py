"""A request for a vector turned into the prompt that an engine takes.

The text is the client's alone, without a chat template, in the frame that the model's tokenizer
puts around a text of its own (an end mark for some, whose state is then the last token's). Token
ids are taken as they are.
"""

from __future__ import annotations

from msgspec.structs import replace

from .errors import ContextLengthExceeded, InvalidRequest, ModelNotSupported
from .long_text import excessive_tokens
from .pooling_files import NoPooling
from .prompt import BuiltPrompt, check_raw_ids, prompt_hash
from .text_model import TextModel
from .types import ChatRequest, Pooling, Prompt, RawText, Sampling, VectorWish


def build_vector_prompt(
    model: TextModel, request: ChatRequest, wish: VectorWish, context_tokens: int
) -> BuiltPrompt:
    """Encode, and say how the vector is made.

    Raises InvalidRequest, ModelNotSupported or ContextLengthExceeded.
    """
    pooling = _resolved_pooling(model, request.model, wish)
    assert request.raw is not None, "a vector is made of plain text or of token ids"
    if isinstance(request.raw, RawText):
        text, encode = request.raw.text, model.tokenizer.encode_framed
        about = excessive_tokens(encode, text, context_tokens)
        if about is not None:
            raise _too_long(about, context_tokens, wish.param)
        token_ids = encode(text)
    else:
        token_ids = list(request.raw.token_ids)
    check_raw_ids(model, token_ids, wish.param)
    if len(token_ids) > context_tokens:
        raise _too_long(len(token_ids), context_tokens, wish.param)
    prompt = Prompt(
        token_ids=tuple(token_ids),
        boundaries=(),
        images=(),
        sampling=Sampling(request.seed),
        max_tokens=0,
        stop=(),
        stop_token_ids=(),
        pooling=pooling,
    )
    return BuiltPrompt(prompt, (), prompt_hash(prompt))


def _too_long(num_tokens: int, context_tokens: int, param: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"{param} is too long: {num_tokens} tokens > {context_tokens} maximum",
        "shorten it, or cut it into several",
        param=param,
    )


def _resolved_pooling(model: TextModel, model_id: str, wish: VectorWish) -> Pooling:
    pooling = model.pooling
    if isinstance(pooling, NoPooling):
        raise ModelNotSupported(
            f"the model {model_id} does not embed: {pooling.reason}", "ask another model"
        )
    if wish.dimensions is None:
        return pooling
    if not 1 <= wish.dimensions <= pooling.dimensions:
        raise InvalidRequest(
            f"dimensions must be from 1 to {pooling.dimensions}, which the model {model_id} has,"
            f" not {wish.dimensions}",
            param="dimensions",
        )
    return replace(pooling, dimensions=wish.dimensions)
