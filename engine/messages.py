"""The messages between a peer and its child processes.

Each is a frozen Struct; `frames.py` packs and unpacks them. A message knows what it says and
nothing about sockets. `epoch` numbers the attempts at one request: what an abandoned attempt still
sends is dropped by its epoch.
"""

from __future__ import annotations

import msgspec

from .costs import MemoryPart, ModelCosts
from .errors import ErrorInfo
from .histogram import Spread
from .stream import Delta, Stage, Usage
from .types import ChatRequest, FinishReason, ImageTokens, TokenLogprob
from .wishes import AS_ALL, USUAL_PIXELS, ModelWishes, PixelWishes

# peer -> text process


class Prepare(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    model_dir: str
    request: ChatRequest
    context_tokens: int
    pixels: PixelWishes = USUAL_PIXELS


class Count(msgspec.Struct, frozen=True, tag=True):
    """How many tokens is the prompt of this request? Whether a context has room is not asked."""

    request_id: str
    model_dir: str
    request: ChatRequest
    pixels: PixelWishes = USUAL_PIXELS


class CancelPrepare(msgspec.Struct, frozen=True, tag=True):
    """A Prepare or a Count is not wanted any more."""

    request_id: str


# text process -> peer


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """`prompt` is a packed `types.Prompt`: the peer passes it to the engine unopened."""

    request_id: str
    prompt_tokens: int
    images: tuple[ImageTokens, ...]
    max_tokens: int
    prompt_hash: bytes
    prompt: msgspec.Raw  # last: see `frames.pack_parts`


class Counted(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    prompt_tokens: int


class PrepareFailed(msgspec.Struct, frozen=True, tag=True):
    """The answer to a Prepare or a Count of what can be no prompt."""

    request_id: str
    error: ErrorInfo


# peer -> engine process


class Estimate(msgspec.Struct, frozen=True, tag=True):
    """What would this model cost? Answered beside whatever the device does."""

    job_id: str
    model_dir: str
    wishes: ModelWishes = AS_ALL


class Load(msgspec.Struct, frozen=True, tag=True):
    """`memory_bytes` is all that the model may use: its weights, its work, and what it keeps of
    requests; None is what the device has. `context_tokens` and `max_sequences` None are what the
    model and the engine can do; of sequences that are named, so many are to run. `learned` is what
    earlier loads were larger by, in bytes, and how many these were.
    """

    job_id: str
    model_id: str
    model_dir: str
    memory_bytes: int | None = None
    context_tokens: int | None = None
    max_sequences: int | None = None
    learned: tuple[int, int] = (0, 0)
    wishes: ModelWishes = AS_ALL


class CancelLoad(msgspec.Struct, frozen=True, tag=True):
    """A Load is not wanted any more. What is answered is the load: by JobFailed with LoadCancelled,
    once all it took has been given back, or by Loaded where this came too late.
    """

    job_id: str


class Unload(msgspec.Struct, frozen=True, tag=True):
    job_id: str
    model_id: str


class Wanted(msgspec.Struct, frozen=True):
    """One answer to a prompt, or its vector, under a request_id of its own.

    `resume_token_ids` are answer tokens the client already has: they are fed, not sent again.
    `choice` says which of several answers to one prompt this is. `priority` is the ChatRequest's.
    """

    request_id: str
    epoch: int
    resume_token_ids: tuple[int, ...] = ()
    choice: int = 0
    priority: int = 0


class Generate(msgspec.Struct, frozen=True, tag=True):
    """`prompt` is that of `Prepared`: it is sent, and held, once for all answers to it."""

    model_id: str
    wanted: tuple[Wanted, ...]
    prompt: msgspec.Raw  # last: see `frames.pack_parts`


class Cancel(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    epoch: int


# engine process -> peer


class Progress(msgspec.Struct, frozen=True, tag=True):
    job_id: str
    stage: Stage


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """`computes_in` says in words how it computes; `memory` how the bytes were shared out, empty
    where an engine has none to share. `num_slots` is how many sequences run at once, 0 where
    nothing bounds them. The load took `measured_bytes` where it was estimated, without what was
    learned, to take `estimated_bytes`; both 0 where nobody measures.
    """

    job_id: str
    model_id: str
    weight_bytes: int
    seconds: float
    computes_in: str = ""
    memory: tuple[MemoryPart, ...] = ()
    num_slots: int = 0
    measured_bytes: int = 0
    estimated_bytes: int = 0


class Estimated(msgspec.Struct, frozen=True, tag=True):
    """`costs` in the dtype and on the device of this engine, and for as many sequences at once as
    `max_sequences`.
    """

    job_id: str
    costs: ModelCosts
    max_sequences: int


class Unloaded(msgspec.Struct, frozen=True, tag=True):
    job_id: str
    model_id: str


class JobFailed(msgspec.Struct, frozen=True, tag=True):
    job_id: str
    error: ErrorInfo


class Waiting(msgspec.Struct, frozen=True, tag=True):
    """Where a request stands before its first token."""

    request_id: str
    epoch: int
    stage: Stage


class StepPart(msgspec.Struct, frozen=True):
    """What one step made for one request, and what it says. `usage` is set with `finish`.

    `logprobs` are those of the tokens that are the answer's words, where they were asked for, and
    of a plain completion those of the token that ended it, which has no place in `token_ids`;
    `stop_text` is the stop string of the client's that ended the answer, where one did.
    """

    request_id: str
    epoch: int
    token_ids: tuple[int, ...]
    deltas: tuple[Delta, ...]
    finish: FinishReason | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    stop_text: str | None = None


class Step(msgspec.Struct, frozen=True, tag=True):
    parts: tuple[StepPart, ...]


class Pooled(msgspec.Struct, frozen=True, tag=True):
    """The end of a request for a vector: its values, float32, lowest byte first."""

    request_id: str
    epoch: int
    vector: bytes
    prompt_tokens: int


class GenerateFailed(msgspec.Struct, frozen=True, tag=True):
    request_id: str
    epoch: int
    error: ErrorInfo


class ModelStatus(msgspec.Struct, frozen=True):
    """One model that the process has loaded, now or before: counts since the process began, and
    what the model has at this moment. `used` are bytes in use of parts of `Loaded.memory`. Of
    `num_drafted` tokens computed ahead, `num_accepted` were the answer's; the model's draft head
    said the `foreseen` of both. `num_replayed` steps were launched as one graph each.
    """

    model_id: str
    steps: Spread
    num_preemptions: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_pages: int = 0
    num_used_pages: int = 0
    used: tuple[MemoryPart, ...] = ()
    num_drafted: int = 0
    num_accepted: int = 0
    num_replayed: int = 0
    num_foreseen: int = 0
    num_foreseen_accepted: int = 0


# any child -> peer


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Sent once a second, and once as the first message of a started child.

    `step_count` counts the device thread's work: it stands still when the device is wedged.
    `models` are an engine process's, as they were at the end of its last step; `torn_bytes` is what
    it has of its device and cannot give back, though nothing lies there: gaps between what does.
    `weight_bytes` are what its models' weights take; 0 of the text process, which has none.
    `device_bytes` is all that a GPU has, and `free_at_start_bytes` what was free of it before
    anything was loaded; 0 of what is no GPU. Of what a CPU has, and of a GPU that has the
    machine's memory for its own, `remembered_bytes` are for what was read before; 0 of all others.
    """

    step_count: int
    queued: int
    weight_bytes: int
    models: tuple[ModelStatus, ...] = ()
    torn_bytes: int = 0
    device_bytes: int = 0
    free_at_start_bytes: int = 0
    remembered_bytes: int = 0


class Ending(msgspec.Struct, frozen=True, tag=True):
    """The last word of a child that cannot go on: whatever it was asked is handed back."""

    error: ErrorInfo


Message = (
    Prepare
    | Count
    | CancelPrepare
    | Prepared
    | Counted
    | PrepareFailed
    | Estimate
    | Load
    | CancelLoad
    | Unload
    | Generate
    | Cancel
    | Progress
    | Loaded
    | Estimated
    | Unloaded
    | JobFailed
    | Waiting
    | Step
    | Pooled
    | GenerateFailed
    | Alive
    | Ending
)
