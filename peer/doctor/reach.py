"""Whether a peer's fleet port answers from here, by datagram and by TLS, and what that peer says of
us.

The doctor asks as somebody without a name: a stranger to the fleet who holds its key is answered,
and leaves no trace in any table.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias, cast

import aiohttp

from ..fleet.trust import Trust, host_name
from ..gossip.buckets import SourceBuckets
from ..gossip.codec import pack
from ..gossip.envelope import Sealer, new_boot
from ..gossip.ids import ID_BYTES, NodeId
from ..gossip.messages import Ack, Ping, Refuse
from ..gossip.receiving import Received, Receiver
from ..keys.keyring import Keyring

PING_PATH, FLEET_PATH = "/fleet/v1/ping", "/fleet"
LIMIT_S = 3.0
_AGAIN_S = (0.0, 0.15, 0.3, 0.8)
_DATAGRAM_S = 1.5
# OpenSSL's word for a certificate of another name: x509_vfy.h.
_HOSTNAME_MISMATCH = 62
_MAX_VIEW_BYTES = 16 * 1024 * 1024
# A Date header has whole seconds.
_HALF_S = 0.5

# Why TLS does not work: nobody listens, nothing comes, it trusts or has another key, it is another
# node than was thought, or something else.
TlsProblem: TypeAlias = Literal["refused", "silent", "key", "node", "broken"]


@dataclass(frozen=True, slots=True)
class Target:
    """A peer to try. `is_self` is the one on this machine, whose view was asked. Of one that is to
    be joined the `node` is not known yet.
    """

    node: NodeId | None
    name: str
    ip: str
    port: int
    is_self: bool = False
    state: str = "up"


@dataclass(frozen=True, slots=True)
class Reach:
    """`datagram_s` and `tls_s` are round trips, None where there was none. `clock_ahead_s` is by
    how much our clock is before its; `view` is what it tells of the fleet, where it tells that.
    """

    datagram_s: float | None = None
    refusal: str = ""
    tls_s: float | None = None
    tls_problem: TlsProblem | None = None
    clock_ahead_s: float | None = None
    view: Mapping[str, Any] | None = field(default=None, repr=False)


class Prober:
    """Asks as one nameless peer that holds these keys."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._node = NodeId(secrets.token_bytes(ID_BYTES))
        self._trust = Trust(keyring, self._node)

    async def probe(self, target: Target) -> Reach:
        datagram, tls = await asyncio.gather(
            self._probe_by_datagram(target), self._probe_by_tls(target)
        )
        return Reach(*datagram, *tls)

    async def _probe_by_datagram(self, target: Target) -> tuple[float | None, str]:
        """The round trip, and why it was refused."""
        loop = asyncio.get_running_loop()
        boot = new_boot(secrets.token_bytes)
        echo = _Echo(Receiver(self._keyring, boot, SourceBuckets(loop.time())))
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: echo, remote_addr=(target.ip, target.port)
            )
        except OSError as error:
            return None, error.strerror or str(error)
        sealer = Sealer(boot, secrets.token_bytes)
        ping = Ping(node=self._node, gen=0, seq=1, challenge=echo.challenge, to=target.node)
        began_s = loop.time()
        try:
            for wait_s in _AGAIN_S:
                await asyncio.wait({echo.answer}, timeout=began_s + wait_s - loop.time())
                if echo.answer.done():
                    break
                transport.sendto(sealer.seal(self._keyring.primary, pack(ping)))
                echo.sent_s = loop.time()
            await asyncio.wait({echo.answer}, timeout=began_s + _DATAGRAM_S - loop.time())
        finally:
            transport.close()
        return (echo.answer.result() if echo.answer.done() else None), echo.refusal

    async def _probe_by_tls(
        self, target: Target
    ) -> tuple[float | None, TlsProblem | None, float | None, Mapping[str, Any] | None]:
        """The round trip, what is wrong, our clock against its, and its view."""
        base = f"https://{_host(target.ip)}:{target.port}"
        asking: Any = {
            "ssl": self._trust.client_context(),
            "server_hostname": host_name(target.node or self._node),
            "allow_redirects": False,
        }
        limit = aiohttp.ClientTimeout(total=LIMIT_S)
        began_s, began_unix_s = time.monotonic(), time.time()
        try:
            async with aiohttp.ClientSession(timeout=limit) as session:
                async with session.get(base + PING_PATH, **asking) as reply:
                    tls_s = time.monotonic() - began_s
                    ahead_s = _ahead(began_unix_s + tls_s / 2, reply.headers.get("Date"))
                view = await _view(session, base + FLEET_PATH, asking)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            problem = _problem(error)
            if problem == "node" and target.node is None:
                # Its certificate is of this fleet; whose it is was not known.
                return time.monotonic() - began_s, None, None, None
            return None, problem, None, None
        return tls_s, None, ahead_s, view


class _Echo(asyncio.DatagramProtocol):
    """Waits for the one answer that has our challenge in it."""

    def __init__(self, receiver: Receiver) -> None:
        self.challenge = secrets.token_bytes(ID_BYTES)
        self.answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.refusal = ""
        self.sent_s = 0.0
        self._receiver = receiver

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        now_s = asyncio.get_running_loop().time()
        got = self._receiver.receive(now_s, addr[0], data)
        message = got.message if isinstance(got, Received) else None
        if isinstance(message, Refuse):
            self.refusal = message.reason
        is_ours = isinstance(message, Ack) and message.challenge == self.challenge
        if is_ours and not self.answer.done():
            self.answer.set_result(now_s - self.sent_s)

    def error_received(self, exc: Exception) -> None:
        self.refusal = getattr(exc, "strerror", None) or type(exc).__name__


async def _view(session: aiohttp.ClientSession, url: str, asking: Any) -> Mapping[str, Any] | None:
    """What it tells of its fleet; None where it tells nothing that could be one."""
    async with session.get(url, **asking) as reply:
        if reply.status != 200 or (reply.content_length or 0) > _MAX_VIEW_BYTES:
            return None
        told: Any = await reply.json(content_type=None)
    return cast(Mapping[str, Any], told) if isinstance(told, dict) else None


def _problem(error: Exception) -> TlsProblem:
    if isinstance(error, TimeoutError):
        return "silent"
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return "node" if inner.verify_code == _HOSTNAME_MISMATCH else "key"
    if isinstance(inner, ConnectionRefusedError):
        return "refused"
    return "key" if "ALERT" in str(inner).upper() else "broken"


def _ahead(now_unix_s: float, date: str | None) -> float | None:
    try:
        return now_unix_s - parsedate_to_datetime(date or "").timestamp() - _HALF_S
    except (ValueError, TypeError, OverflowError):
        return None


def _host(ip: str) -> str:
    # In an address of the web a scope's percent sign is written so (RFC 6874).
    return f"[{ip.replace('%', '%25')}]" if ":" in ip else ip
