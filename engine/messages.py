"""The messages between a peer and its child processes, as design tables list them.

Each is a frozen dataclass; `frames.py` packs and unpacks them. A message knows what it says and
nothing about sockets. `epoch` numbers the attempts at one request: what an abandoned attempt still
sends is dropped by its epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ErrorInfo
from .histogram import Spread
from .types import ChatRequest, Delta, FinishReason, ImageTokens, Stage, TokenLogprob, Usage

# peer -> text process


@dataclass(frozen=True, slots=True)
class Prepare:
    request_id: str
    model_dir: str
    request: ChatRequest
    context_tokens: int


@dataclass(frozen=True, slots=True)
class CancelPrepare:
    request_id: str


# text process -> peer


@dataclass(frozen=True, slots=True)
class Prepared:
    """`prompt` is a packed `types.Prompt`: the peer passes it to the engine unopened."""

    request_id: str
    prompt: bytes
    prompt_tokens: int
    images: tuple[ImageTokens, ...]
    max_tokens: int
    prompt_hash: bytes


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    request_id: str
    error: ErrorInfo


# peer -> engine process


@dataclass(frozen=True, slots=True)
class Load:
    job_id: str
    model_id: str
    model_dir: str


@dataclass(frozen=True, slots=True)
class Unload:
    job_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class Generate:
    """`resume_token_ids` are answer tokens the client already has: they are fed, not sent again.

    `choice` says which of several answers to one prompt this is, each under its own request_id.
    `priority` is the ChatRequest's.
    """

    request_id: str
    epoch: int
    model_id: str
    prompt: bytes
    resume_token_ids: tuple[int, ...] = ()
    choice: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    request_id: str
    epoch: int


# engine process -> peer


@dataclass(frozen=True, slots=True)
class Progress:
    job_id: str
    stage: Stage


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """What one use of the device's memory was given, in a person's words."""

    name: str
    num_bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """`computes_in` says in words how it computes; `memory` how the bytes were shared out, empty
    where an engine has none to share.
    """

    job_id: str
    model_id: str
    weight_bytes: int
    seconds: float
    computes_in: str = ""
    memory: tuple[MemoryPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Unloaded:
    job_id: str
    model_id: str


@dataclass(frozen=True, slots=True)
class JobFailed:
    job_id: str
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a request stands before its first token."""

    request_id: str
    epoch: int
    stage: Stage


@dataclass(frozen=True, slots=True)
class StepPart:
    """What one step made for one request, and what it says. `usage` is set with `finish`.

    `logprobs` are those of the tokens that are the answer's words, where they were asked for.
    """

    request_id: str
    epoch: int
    token_ids: tuple[int, ...]
    deltas: tuple[Delta, ...]
    finish: FinishReason | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    parts: tuple[StepPart, ...]


@dataclass(frozen=True, slots=True)
class Pooled:
    """The end of a request for a vector: its values, float32, lowest byte first."""

    request_id: str
    epoch: int
    vector: bytes
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class GenerateFailed:
    request_id: str
    epoch: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model that the process has loaded, now or before: counts since the process began, and
    what the model has at this moment. `used` are bytes in use of parts of `Loaded.memory`."""

    model_id: str
    steps: Spread
    num_preemptions: int = 0
    num_running: int = 0
    num_waiting: int = 0
    num_pages: int = 0
    num_used_pages: int = 0
    used: tuple[MemoryPart, ...] = ()


# any child -> peer


@dataclass(frozen=True, slots=True)
class Alive:
    """Sent once a second, and once as the first message of a started child.

    `step_count` counts the device thread's work: it stands still when the device is wedged.
    `models` are an engine process's, as they were at the end of its last step.
    """

    step_count: int
    queued: int
    memory_bytes: int
    models: tuple[ModelStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """The last word of a child that cannot go on: whatever it was asked is handed back."""

    error: ErrorInfo


Message = (
    Prepare
    | CancelPrepare
    | Prepared
    | PrepareFailed
    | Load
    | Unload
    | Generate
    | Cancel
    | Progress
    | Loaded
    | Unloaded
    | JobFailed
    | Waiting
    | Step
    | Pooled
    | GenerateFailed
    | Alive
    | Ending
)
