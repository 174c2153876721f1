"""What can go wrong in a peer, beside what the engine's tree already names.

    CortexError
     ├─ UnsupportedParameter   a known field asks for something that is not built
     ├─ NotFound               no such route
     ├─ MethodNotAllowed       the route exists, the method does not
     ├─ RequestTooLarge        a body over the limit
     ├─ RequestTimeout         a body that does not come, or too slowly
     ├─ InvalidApiKey          no key, or one that is not known here
     ├─ PermissionDenied       a key that may not do this
     ├─ RateLimitExceeded      a key over its own limits
     ├─ RequestNotFound        no request of that id is under way
     ├─ RequestCancelled       ended by whoever runs the peer
     ├─ JobNotFound            no job of that id is known
     ├─ JobCancelled           a job that somebody waited for was ended by another
     ├─ PeerNotFound           no peer of that name is in the fleet
     ├─ NoPeer                 nobody is there to be asked
     ├─ AnswerBrokeOff         who was asked is gone before its answer was whole (an EngineFailed)
     ├─ ModelPinned            a model that is to stay
     ├─ ModelAway              who has the model is not here now, and may be soon
     ├─ HostOutdated           a peer that does not know what is asked of it, and will when updated
     ├─ HostLost               the peer that made an answer is gone, or silent
     │   ├─ HostRefused        no connection to it comes about
     │   ├─ HostSilent         it says nothing any more
     │   ├─ HostUnread         it says what only newer peers know
     │   └─ HostLeaving        it says itself that it ends
     ├─ PortInUse              an asked-for port is taken
     ├─ CannotListen           an address that is not ours to listen on
     ├─ CannotContinue         an answer that this peer would go on with differently
     ├─ EngineReplaced         an engine that ended under an answer which goes on elsewhere
     ├─ AttemptsExhausted      a child process ended again and again over one request
     ├─ CannotAnnounce         no place for the note that local commands look for
     ├─ CannotKeepIdentity     a state directory that cannot be written, or a certificate
     ├─ StateInUse             a state directory that another peer runs with
     ├─ NotMeasurable          an endpoint that a benchmark gets no answer from
     ├─ HubFailed              whom models are pulled from cannot be reached, or errs
     ├─ CannotStore            a disk that has no room for a model, or takes none
     ├─ PictureUnreadable      a name that leads to no bytes of a picture
     ├─ InvalidFleetKey        a text that is no fleet key, or a key that cannot be taken in or out
     └─ FleetKeyNotHeld        a key by a name that no key here has

It knows the codes of both trees, so that an error a remote peer sent becomes the same class here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cortex.engine import errors as engine_errors
from cortex.engine.errors import CortexError, ErrorInfo


class UnsupportedParameter(CortexError, is_of_request=True): ...


class NotFound(CortexError, is_of_request=True): ...


class MethodNotAllowed(CortexError, is_of_request=True): ...


class RequestTooLarge(CortexError, is_of_request=True): ...


class RequestTimeout(CortexError, is_of_request=True): ...


class InvalidApiKey(CortexError, is_of_request=True): ...


class PermissionDenied(CortexError, is_of_request=True): ...


class RateLimitExceeded(CortexError, is_of_request=True):
    """`retry_after_s` is when there will be room again, as far as that is known."""

    def __init__(
        self, message: str, hint: str = "", *, param: str | None = None, retry_after_s: int = 1
    ) -> None:
        super().__init__(message, hint, param=param)
        self.retry_after_s = retry_after_s


class RequestNotFound(CortexError, is_of_request=True): ...


class RequestCancelled(CortexError, is_of_request=True): ...


class JobNotFound(CortexError, is_of_request=True): ...


class JobCancelled(CortexError, is_of_request=True): ...


class PeerNotFound(CortexError, is_of_request=True): ...


class NoPeer(CortexError): ...


def nobody_here(looked_in: Sequence[Path] = ()) -> NoPeer:
    """`looked_in` is where peers leave notes; one with another --state-dir leaves its there."""
    folders = " and ".join(map(str, looked_in))
    there = f", as far as {folders} {'tells' if len(looked_in) == 1 else 'tell'}" if folders else ""
    return NoPeer(
        f"no peer is running on this machine{there}",
        "start one with: cortex peer; or name its --state-dir where it has one, or another's"
        " address with --peer HOST:PORT",
    )


class AnswerBrokeOff(engine_errors.EngineFailed): ...


class ModelPinned(CortexError, is_of_request=True): ...


class ModelAway(CortexError): ...


class HostOutdated(CortexError): ...


class HostLost(CortexError): ...


class HostRefused(HostLost): ...


class HostSilent(HostLost): ...


class HostUnread(HostLost): ...


class HostLeaving(HostLost): ...


class PortInUse(CortexError): ...


class CannotListen(CortexError): ...


class CannotContinue(CortexError): ...


class EngineReplaced(CortexError): ...


class AttemptsExhausted(CortexError): ...


class CannotAnnounce(CortexError): ...


class CannotKeepIdentity(CortexError): ...


class StateInUse(CortexError): ...


class NotMeasurable(CortexError): ...


class HubFailed(CortexError): ...


class CannotStore(CortexError, is_of_request=True): ...


class PictureUnreadable(CortexError): ...


class InvalidFleetKey(CortexError): ...


class FleetKeyNotHeld(CortexError): ...


_BY_CODE: dict[str, type[CortexError]] = {
    kind.code(): kind
    for kind in tuple(globals().values())
    if isinstance(kind, type) and issubclass(kind, CortexError) and kind.__module__ == __name__
}


def spoken(error: BaseException) -> str:
    """Why nobody could be reached, in the system's words; asyncio's name the address once more."""
    code = getattr(error, "errno", None)
    if isinstance(code, int) and code > 0:
        return os.strerror(code)
    return str(getattr(error, "strerror", None) or type(error).__name__)


def to_info(error: CortexError) -> ErrorInfo:
    """Describe an error for another peer."""
    info = engine_errors.to_info(error)
    if isinstance(error, RateLimitExceeded):
        return replace(info, retry_after_s=error.retry_after_s)
    return info


def from_info(info: ErrorInfo) -> CortexError:
    """The error again, whichever of the two trees its code belongs to."""
    kind = _BY_CODE.get(info.code)
    if kind is None:
        return engine_errors.from_info(info)
    error = kind(info.message, info.hint, param=info.param)
    if isinstance(error, RateLimitExceeded) and info.retry_after_s is not None:
        error.retry_after_s = info.retry_after_s
    return error
