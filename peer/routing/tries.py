"""A request's tries: after which errors another peer is asked, and which one then is not. Pure.

Before the first token a failed host is followed by two others at most; after it by any number, so
long as each brings the answer on.
"""

from __future__ import annotations

from typing import Literal

from cortex.engine.errors import (
    ContextLengthExceeded,
    CortexError,
    DevicePoisoned,
    EngineFailed,
    InsufficientVram,
    InternalError,
    ModelInvalid,
    ModelNotFound,
    Overloaded,
)

from ..errors import (
    AttemptsExhausted,
    CannotContinue,
    EngineReplaced,
    HostLost,
    HostOutdated,
    HostRefused,
    RequestCancelled,
    RequestTooLarge,
    UnsupportedParameter,
)
from .candidates import Candidate, Life

# "busy": it would have, later. "unfit": it cannot, and another may. "broken": its copy of the model
# is, another's may be whole. "failed": it broke over it. "moved": it would go on, another sooner.
# "lost": nobody knows. "refused": nobody else would do better.
Fault = Literal["busy", "unfit", "broken", "failed", "moved", "lost", "refused"]

_MAX_RETRIES = 2
# So many may say that they have no room for it, or no copy that is whole enough.
_MAX_UNFIT = 8
# Hosts in a row that were asked to go on and brought not one token.
_MAX_FUTILE = 5
# Each has tried it again and again itself: it is the request that ends engines.
_MAX_EXHAUSTED = 2
_FAULTS: tuple[tuple[type[CortexError], Fault], ...] = (
    (Overloaded, "busy"),
    (EngineReplaced, "moved"),
    (HostLost, "lost"),
    (EngineFailed, "failed"),
    (DevicePoisoned, "failed"),
    (AttemptsExhausted, "failed"),
    (InternalError, "failed"),
    (ModelInvalid, "broken"),
    (ModelNotFound, "unfit"),
    (InsufficientVram, "unfit"),
    (CannotContinue, "unfit"),
    (UnsupportedParameter, "unfit"),
    (HostOutdated, "unfit"),
    # Another may serve the same weights with more context, and take more bytes.
    (ContextLengthExceeded, "unfit"),
    (RequestTooLarge, "unfit"),
    (RequestCancelled, "refused"),
)


# Another may do better, but nothing was lost with who refused it: it was asked for too much.
_OF_REQUEST = (ContextLengthExceeded, RequestTooLarge, UnsupportedParameter, HostOutdated)


def fault_of(error: CortexError, *, is_sound: bool = False) -> Fault:
    """Of a request that `is_sound`, as a host before this one has found, what one refuses it for is
    its own settings'.
    """
    for kind, fault in _FAULTS:
        if isinstance(error, kind):
            return fault
    return "unfit" if is_sound else "refused"


def is_failover(error: CortexError) -> bool:
    """Whether a request that goes on elsewhere after it is told of and counted as moved."""
    return not isinstance(error, _OF_REQUEST)


class Tries:
    """`excluded` are not asked again, and the `lost` where nobody else is left. Those who were lost
    twice are, once the answer has grown elsewhere: then it was not the request.
    """

    def __init__(self) -> None:
        self.lost: set[Life] = set()
        self._lost_again: set[Life] = set()
        self._unfit: set[Life] = set()
        self.last_error: CortexError | None = None
        # Who has less is not enough: so much those have that could not even make the prompt.
        self.context_tokens = 0
        # What those said who are not asked again, each by its name.
        self.said: list[tuple[str, CortexError]] = []
        self._num_retries = 0
        self._num_tokens = 0
        self._num_exhausted = 0

    @property
    def excluded(self) -> set[Life]:
        return self._unfit | self._lost_again

    def failed(
        self,
        host: Candidate,
        error: CortexError,
        fault: Fault,
        *,
        has_begun: bool,
        is_accepted: bool,
        num_tokens: int,
    ) -> bool:
        """Whether it is worth asking again, and who is not to be asked then. A prompt that
        `is_accepted` was made there, though the place of the model may be too small for it.
        """
        if fault == "refused":
            return False
        self.last_error = error
        if num_tokens > self._num_tokens:
            self._num_tokens, self._num_retries = num_tokens, 0
            self.lost.clear()
            self._lost_again.clear()
        if self.is_redial(host, error):
            return True
        if fault == "lost":
            (self._lost_again if host.life in self.lost else self.lost).add(host.life)
        elif fault not in ("busy", "moved"):
            self._unfit.add(host.life)
        if isinstance(error, ContextLengthExceeded) and not is_accepted:
            self.context_tokens = max(self.context_tokens, host.holder.context_tokens)
        if fault not in ("busy", "moved"):
            self.said.append((host.name, error))
        if fault in ("broken", "lost", "failed"):
            return self._may_retry(error, has_begun)
        return len(self.excluded) < _MAX_UNFIT

    def is_redial(self, host: Candidate, error: CortexError) -> bool:
        """A lost one has not come back yet: no new failure, and the hope has an end of its own."""
        return isinstance(error, HostRefused) and host.life in self.lost

    def _may_retry(self, error: CortexError, has_begun: bool) -> bool:
        self._num_retries += 1
        self._num_exhausted += isinstance(error, AttemptsExhausted)
        most = _MAX_FUTILE if has_begun else _MAX_RETRIES
        return self._num_retries <= most and self._num_exhausted < _MAX_EXHAUSTED
