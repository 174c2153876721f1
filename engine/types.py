"""The values every room speaks: a chat request, its sampling, its prompt.

Free to import: msgspec and the standard library. These are values: nothing here does anything. They
are Structs because they travel between processes for every token (docs/decisions/0006).
"""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
# "length": as many tokens as were asked for. "context": as many as the model has room for.
FinishReason = Literal["stop", "length", "context", "cancelled"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
WITHOUT_REASONING: tuple[Effort, ...] = ("none", "minimal")
# A model says one of the first three: that it chats, or what it does that does not. "completion"
# is plain text alone, "embedding" vectors alone.
Capability = Literal["text", "completion", "embedding", "vision"]

# How many of the best tokens' log probabilities a request may ask for.
MAX_TOP_LOGPROBS = 20
# Of how many tokens a request may bias the scores: more would make a step of one request slower
# than that of a whole batch.
MAX_LOGIT_BIASES = 1024
# The one direction of priorities, everywhere: of requests that wait, the lower number goes first.
MIN_PRIORITY, MAX_PRIORITY = -100, 100


class _OfRequest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a request is made of. A field that the reader does not know is refused, as a value is:
    an answer that does not obey it is not what was asked for. One that is not used is not written,
    so that an older reader takes all other requests. Hence no field may ever go or be renamed, and
    no default change; that of a new field is None, a bool, a small number or empty: msgspec knows
    a default by its identity.
    """


class TextPart(_OfRequest, frozen=True, tag=True, tag_field="kind"):
    text: str


class ImagePart(_OfRequest, frozen=True, tag=True, tag_field="kind"):
    """A picture as the client sent it: an encoded file (PNG, JPEG, GIF, WebP), unopened."""

    data: bytes
    name: str = ""


class ToolCall(_OfRequest, frozen=True):
    """`arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str


class Message(_OfRequest, frozen=True):
    """One turn. `reasoning` and `tool_calls` belong to assistants, `tool_call_id` to tools."""

    role: Role
    content: tuple[TextPart | ImagePart, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


class Tool(_OfRequest, frozen=True):
    """`parameters` is the JSON text of a schema, with its keys in the order sent.

    The arguments of calls of an `is_strict` one obey that schema whatever the model would write.
    """

    name: str
    description: str = ""
    parameters: str = "{}"
    is_strict: bool = False


class ToolChoice(_OfRequest, frozen=True):
    """Whether the model may, or must, call a tool, and which: `names` empty means any offered.

    What may not be called is offered all the same, so that the prompt of a conversation does not
    change with the choice. In the mode "none" nothing is on offer, and the model is kept from
    calling what earlier turns have called. Where there are no tools at all the mode is "auto".
    """

    mode: Literal["auto", "required", "none"] = "auto"
    names: tuple[str, ...] = ()


class Grammar(_OfRequest, frozen=True):
    """What the words of an answer have to be, after its reasoning. It binds no tool calls.

    `source` is the JSON text of a schema, nothing for any JSON object, a regular expression, the
    JSON text of a list of strings one of which is the answer, or a Lark grammar. `param` is what
    the client calls it, for errors.
    """

    kind: Literal["json_schema", "json_object", "regex", "choice", "lark"]
    source: str = ""
    param: str = "response_format"


class ReasoningWish(_OfRequest, frozen=True):
    """What a client asked of the model's reasoning; None leaves it to the model.

    A model that cannot follow a wish ignores it. `thinks` False is the same as effort "none". At
    `budget_tokens` of reasoning it is closed and the answer begins.
    """

    effort: Effort | None = None
    thinks: bool | None = None
    budget_tokens: int | None = None


class SamplingWish(_OfRequest, frozen=True):
    """What a client asked of the sampler; None leaves it to the model's generation_config."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None


class Sampling(msgspec.Struct, frozen=True):
    """A wish resolved against the model's defaults. Temperature 0 is greedy, top_k 0 is off.

    `logit_bias` is added to the scores of these token ids.
    """

    seed: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()


class TokenScores(msgspec.Struct, frozen=True):
    """The model's log probabilities at one token: its own, and those of the best as (id, it)."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class ScoredToken(msgspec.Struct, frozen=True):
    """A token by its bytes, which may be half a character, and its log probability.

    Only that of the first token of all, an echoed prompt's, is None: nothing comes before it.
    """

    data: bytes
    logprob: float | None


class TokenLogprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """One token of an answer, and the best that might have stood there, falling.

    One that `is_skipped`, a control token, is no part of the answer's text.
    """

    token: ScoredToken
    top: tuple[ScoredToken, ...] = ()
    is_skipped: bool = False


class RawText(_OfRequest, frozen=True, tag=True, tag_field="kind"):
    """A prompt as its text: no template is applied.

    One to be gone on with has control tokens where it spells them, one for a vector has none.
    """

    text: str


class RawTokens(_OfRequest, frozen=True, tag=True, tag_field="kind"):
    """A prompt as the token ids themselves."""

    token_ids: tuple[int, ...]


class VectorWish(_OfRequest, frozen=True):
    """A vector is wanted in place of an answer, of so many dimensions; None means the model's.

    `param` is what the client calls the text, for errors.
    """

    dimensions: int | None = None
    param: str = "input"


class ChatRequest(_OfRequest, frozen=True):
    """One question to one model, the same whichever dialect it came in.

    The ingress fixes everything an answer depends on before the request leaves it: `seed` and
    `now_s` (for templates that print the date) are always set, so that another peer given the same
    request and the tokens so far makes the same next token. `now_s` counts seconds since 1970 as
    the clock on the ingress's wall does: the date is that of the people there, and no host need
    know their zone.
    `template_kwargs` is the JSON text of an object handed to the chat template.
    `max_tokens` None means what the context leaves. `raw` is a prompt in place of `messages`.
    `num_choices` answers are made, each from a seed of its own. `top_logprobs` None asks for no
    log probabilities, a number for those of the answer's tokens and of so many beside each.
    With `ignore_eos` the model cannot end the answer itself; before `min_tokens` neither. Where
    `parallel_tool_calls` is false an answer ends with its first call. `priority` says who goes
    first where requests wait (MIN_PRIORITY has the direction); it changes no answer. With a
    `vector` wish there is one vector and no answer: then `raw` is set, and nothing about sampling
    counts. At one of `stop_token_ids` an answer ends as at the model's own end, also where that is
    ignored; with `includes_stop` it ends behind the string of `stop` that ended it. With `echo`
    each answer begins with the text of its raw prompt, and the log probabilities with those of the
    prompt's tokens.

    System messages stand where the client put them, and pictures in the tool results they came in:
    what the model's template does not take there is moved when it is rendered. If the last message
    is the assistant's and calls no tool, the answer continues it.
    """

    model: str
    messages: tuple[Message, ...]
    seed: int
    now_s: int
    sampling: SamplingWish = SamplingWish()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    grammar: Grammar | None = None
    reasoning: ReasoningWish = ReasoningWish()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    template_kwargs: str = "{}"
    routing_key: str = ""
    raw: RawText | RawTokens | None = None
    num_choices: int = 1
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    parallel_tool_calls: bool = True
    echo: bool = False
    vector: VectorWish | None = None
    priority: int = 0
    stop_token_ids: tuple[int, ...] = ()
    includes_stop: bool = False


class ImageTokens(msgspec.Struct, frozen=True):
    """A picture as the model will see it: pixels after resizing, and what it adds to the prompt."""

    width: int
    height: int
    tokens: int


class PreparedImage(msgspec.Struct, frozen=True):
    """A decoded and resized picture.

    `rgb` is uint8 [height, width, 3], row by row: a view, so that whoever unpacks a prompt copies
    no pixels. `grid_thw` counts patches (time, rows, columns). `hash` is the SHA-256 of the resized
    pixels with their size.
    """

    hash: bytes
    grid_thw: tuple[int, int, int]
    rgb: memoryview


class ReplyFormat(msgspec.Struct, frozen=True):
    """How the answer to one prompt is marked up, for whoever takes it apart.

    `reasoning` says where the answer begins: inside a think block that the prompt has opened
    ("open"), before one that it may open itself ("may_open"), or past all thinking ("none").
    `calls` is how this model spells the tool calls it was offered: one JSON object, or a tag for
    each parameter; "none" makes their marks plain text. `tools` are what was offered. An answer
    that `is_words_or_calls` is one of the two: behind its first word no mark begins a call.
    """

    reasoning: Literal["none", "may_open", "open"] = "none"
    calls: Literal["none", "json", "xml"] = "none"
    tools: tuple[Tool, ...] = ()
    takes_one_call: bool = False
    is_words_or_calls: bool = False


class Pooling(msgspec.Struct, frozen=True):
    """How the final hidden states of a prompt become one vector.

    That of the last token, or the mean of all; of it the first `dimensions` values; these brought
    to length one where `is_normalised`.
    """

    mode: Literal["last", "mean"]
    is_normalised: bool
    dimensions: int


class Prompt(msgspec.Struct, frozen=True):
    """A request turned into what the device needs: token ids, pictures, resolved limits.

    `token_ids` holds each picture's pad token as many times as the picture has merged cells.
    `boundaries` are where conversations will leave it: a prompt is cut there (`turns.py`); at
    `answer_start`, one of them, when the next question comes; 0 where nobody has asked one.
    `stop_token_ids` end the answer and are not part of it; there are none where the answer is to
    go on to its limit, and they may not come before `min_tokens`. `max_tokens` is already lowered
    to what the context leaves, and `limited_by` is how an answer ends that becomes so long; 0 is a
    prompt that is read and not answered. With `pooling` it is read for its vector. `echo` is what
    is told of it before the answer, with the log probabilities of its tokens where those are asked;
    with `tells_end` those of an answer go as far as the token that ends it. With `includes_stop`
    the stop string that ends the answer is a part of it.
    `grammar` is what the answer has to be from the end of its reasoning on
    (`grammars/answers.py`); empty leaves it free. At `reasoning_budget_tokens` of reasoning the
    answer begins.
    """

    token_ids: tuple[int, ...]
    boundaries: tuple[int, ...]
    images: tuple[PreparedImage, ...]
    sampling: Sampling
    max_tokens: int
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    limited_by: Literal["length", "context"] = "length"
    min_tokens: int = 0
    top_logprobs: int | None = None
    reply: ReplyFormat = ReplyFormat()
    echo: str = ""
    pooling: Pooling | None = None
    grammar: str = ""
    reasoning_budget_tokens: int | None = None
    answer_start: int = 0
    tells_end: bool = False
    includes_stop: bool = False
