"""The error tree of cortex, from the engine up.

Every error that a person or a client may see derives from CortexError. Its class name in snake
case is the machine-readable code of the API; its message names the thing, the value and, as the
hint, the next step. The errors here cross process borders as `ErrorInfo`.

    CortexError
     ├─ InvalidRequest            a field is wrong
     ├─ UnsupportedContent        audio, files, anything no model here takes
     ├─ VisionUnsupported         a picture for a model without eyes
     ├─ ImageUrlUnsupported       a picture by address: only bytes are taken
     ├─ InvalidImage              not a picture, too large, broken
     ├─ TooManyImages             each may be taken, not all of them together
     ├─ ContextLengthExceeded     the prompt is longer than the model's context
     ├─ ModelNotFound             no such model
     ├─ ModelInvalid              a model folder that cannot be served exactly
     ├─ ModelNotSupported         a model that cannot do what it is asked for
     ├─ InsufficientVram          it does not fit
     ├─ Overloaded                full, or going away
     ├─ LoadCancelled             a load that nobody wanted any more
     ├─ EngineFailed              an engine or text process died or misbehaved
     ├─ DevicePoisoned            a device error after which this process can compute nothing more
     └─ InternalError             a bug
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar


class CortexError(Exception):
    """Base of all errors meant for people: one sentence, and a hint that can be acted on.

    One that `is_of_request` is told as the client's, by whoever passes it on.
    """

    is_of_request: ClassVar[bool]

    def __init_subclass__(cls, *, is_of_request: bool = False) -> None:
        super().__init_subclass__()
        cls.is_of_request = is_of_request

    def __init__(self, message: str, hint: str = "", *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param

    @classmethod
    def code(cls) -> str:
        """The class name in snake case, as the API shows it."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class InvalidRequest(CortexError, is_of_request=True): ...


class UnsupportedContent(CortexError, is_of_request=True): ...


class VisionUnsupported(CortexError, is_of_request=True): ...


class ImageUrlUnsupported(CortexError, is_of_request=True): ...


class InvalidImage(CortexError, is_of_request=True): ...


class TooManyImages(CortexError, is_of_request=True): ...


class ContextLengthExceeded(CortexError, is_of_request=True): ...


class ModelNotFound(CortexError, is_of_request=True): ...


class ModelInvalid(CortexError, is_of_request=True): ...


class ModelNotSupported(CortexError, is_of_request=True): ...


def writes_no_text(model: str) -> ModelNotSupported:
    """Of a model without a head that is asked for text; `model` as a sentence begins with it."""
    return ModelNotSupported(
        f"{model} writes no text: its files hold no lm_head.weight, and its"
        " config.json ties none to the embedding",
        "ask it for vectors at /v1/embeddings and another model for text, or fetch the file that"
        " holds it",
    )


@dataclass(frozen=True, slots=True)
class MemoryShortage:
    """`is_final` where waiting, or freeing what others use, would not help."""

    required_bytes: int
    available_bytes: int
    is_final: bool


class InsufficientVram(CortexError):
    """`shortage` holds the numbers that the message words, `retry_after_s` is when there may be
    room, where that is known.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        shortage: MemoryShortage | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, hint, param=param)
        self.shortage = shortage
        self.retry_after_s = retry_after_s


def machine_is_short(told: str) -> InsufficientVram:
    """Where a process was refused memory that is not a GPU's."""
    return InsufficientVram(
        f"the machine's memory does not reach: {told}.",
        "leave more of it free: a smaller --memory, or close other programs; or raise the limit"
        " that is set for it (ulimit -v, vm.overcommit_memory)",
    )


class Overloaded(CortexError):
    """`retry_after_s` is when there may be room again, where that is known."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, hint, param=param)
        self.retry_after_s = retry_after_s


class LoadCancelled(CortexError): ...


class EngineFailed(CortexError): ...


class DevicePoisoned(CortexError): ...


class InternalError(CortexError): ...


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """A CortexError as it travels between processes, and between peers."""

    code: str
    message: str
    hint: str = ""
    param: str | None = None
    shortage: MemoryShortage | None = None
    retry_after_s: int | None = None
    is_of_request: bool = False


_BY_CODE: dict[str, type[CortexError]] = {cls.code(): cls for cls in CortexError.__subclasses__()}


def to_info(error: BaseException) -> ErrorInfo:
    """Describe an error for another process; what is not ours becomes an InternalError.

    The text of a foreign exception stays behind: it may hold client data.
    """
    if isinstance(error, MemoryError):
        error = machine_is_short("Python was refused some")
    if isinstance(error, CortexError):
        shortage = error.shortage if isinstance(error, InsufficientVram) else None
        waits = isinstance(error, Overloaded | InsufficientVram)
        wait_s = error.retry_after_s if waits else None
        said = error.message, error.hint, error.param
        return ErrorInfo(error.code(), *said, shortage, wait_s, error.is_of_request)
    return ErrorInfo(InternalError.code(), f"unexpected {type(error).__name__} in the engine")


def from_info(info: ErrorInfo) -> CortexError:
    """The error again, by its code. One that only newer peers know is still the request's own, or
    else an InternalError.
    """
    cls = _BY_CODE.get(info.code) or (InvalidRequest if info.is_of_request else InternalError)
    error = cls(info.message, info.hint, param=info.param)
    if isinstance(error, InsufficientVram):
        error.shortage = info.shortage
    if isinstance(error, Overloaded | InsufficientVram):
        error.retry_after_s = info.retry_after_s
    return error
