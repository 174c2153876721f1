"""Who is a member, over TCP: TLS 1.3, with a certificate from both sides.

Every peer is the authority of its fleet for itself: the fleet key gives the authority's private
key, and each peer signs its own certificate with it, which names its node. Who calls knows which
node it wants and checks that; who is called sees that some member calls. Keys may change while
connections stand: each new handshake takes the newest.
"""

from __future__ import annotations

import os
import ssl
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import CannotKeepIdentity
from ..gossip.ids import ID_BYTES, NodeId
from ..keys.fleet_key import FleetKey
from ..keys.keyring import Keyring

_DOMAIN = ".cortex.internal"
_AUTHORITY = "cortex fleet "
# The same for all and for long: a clock that is wrong by years must not break TLS.
_FROM, _TO = datetime(2000, 1, 1), datetime(2100, 1, 1)


def host_name(node: NodeId) -> str:
    """What the certificate of a node says, and what its caller checks."""
    return node.hex() + _DOMAIN


@dataclass(frozen=True, slots=True)
class _Credentials:
    node: NodeId
    keyring: Keyring
    authorities: frozenset[str]
    server: ssl.SSLContext
    client: ssl.SSLContext


class Trust:
    """The certificates of one peer. May be asked from any thread.

    Raises CannotKeepIdentity where they can be handed to nobody.
    """

    def __init__(self, keyring: Keyring, node: NodeId) -> None:
        # Keys change on the peer's loop and the node on the fleet's: neither may undo the other.
        self._changing = threading.Lock()
        try:
            self._newest = _issued(keyring, node)
            # A listening socket keeps the context that it was given: this one passes every
            # handshake on to the newest.
            self._front = _server_context(keyring, _leaf_pem(keyring.primary, node))
        except OSError as error:
            raise CannotKeepIdentity(
                f"cannot write the file that hands this peer's certificate to TLS: {error}",
                "mount a folder that can be written at /tmp, or name one in TMPDIR",
            ) from None

        def use_newest(
            connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
        ) -> None:
            connection.context = self._newest.server

        self._front.sni_callback = use_newest

    def rekey(self, keyring: Keyring) -> None:
        """Trust the keys of this ring from now on, and no others.

        Raises OSError, and has changed nothing then.
        """
        with self._changing:
            self._newest = _issued(keyring, self._newest.node)

    def rename(self, node: NodeId) -> None:
        """Be this node from now on. Raises OSError."""
        with self._changing:
            if node != self._newest.node:
                self._newest = _issued(self._newest.keyring, node)

    def server_context(self) -> ssl.SSLContext:
        """For a socket that listens; it may be kept."""
        return self._front

    def client_context(self) -> ssl.SSLContext:
        """For the next connection to a peer, whose `host_name` the caller gives; not to be kept."""
        return self._newest.client

    def node_of(self, certificate: Mapping[str, Any] | None) -> NodeId | None:
        """Which member showed this, as `getpeercert` gives it; None if it is no longer one."""
        if not certificate or _issuer(certificate) not in self._newest.authorities:
            return None
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
        return _node_in(names[0]) if len(names) == 1 else None


def _issuer(certificate: Mapping[str, Any]) -> str:
    fields = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    return str(fields.get("commonName", ""))


def _node_in(name: str) -> NodeId | None:
    digits = name.removesuffix(_DOMAIN)
    try:
        node = bytes.fromhex(digits)
    except ValueError:
        return None
    return NodeId(node) if len(node) == ID_BYTES and digits != name else None


def _issued(keyring: Keyring, node: NodeId) -> _Credentials:
    leaf = _leaf_pem(keyring.primary, node)
    return _Credentials(
        node,
        keyring,
        frozenset(_authority_name(key) for key in keyring.trusted),
        _server_context(keyring, leaf),
        _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), keyring, leaf),
    )


def _server_context(keyring: Keyring, leaf: bytes) -> ssl.SSLContext:
    context = _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), keyring, leaf)
    context.num_tickets = 0  # a resumed session would outlive the key that opened it
    return context


def _loaded(context: ssl.SSLContext, keyring: Keyring, leaf: bytes) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=_authorities_pem(keyring.trusted))
    _load_leaf(context, leaf)
    return context


def _load_leaf(context: ssl.SSLContext, leaf: bytes) -> None:
    """ssl takes a private key from a file alone: for its owner only, and gone at once."""
    # On Linux one that lies in memory: a container with a read-only root may have no folder for
    # another. A Python that was built for older systems cannot make it, and it is opened by its
    # name in /proc, which not every process has.
    if hasattr(os, "memfd_create"):
        with suppress(OSError), open(os.memfd_create("cortex-leaf"), "wb", buffering=0) as file:
            file.write(leaf)
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
            return
    with tempfile.NamedTemporaryFile(prefix="cortex-") as file:
        file.write(leaf)
        file.flush()
        context.load_cert_chain(file.name)


def _authority_name(key: FleetKey) -> str:
    return _AUTHORITY + key.key_id.hex()


class _Authority:
    """What signs for a fleet key. Made again from the key by every peer, and never sent."""

    def __init__(self, key: FleetKey) -> None:
        self._private = ec.derive_private_key(key.ca_number, ec.SECP256R1())
        self._public = self._private.public_key()
        self._name = _common_name(_authority_name(key))

    def certificate(self) -> x509.Certificate:
        return self._signed(
            x509.CertificateBuilder()
            .subject_name(self._name)
            .public_key(self._public)
            .serial_number(1)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signs_certificates(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._public), critical=False)
        )

    def leaf(self, node: NodeId, public: ec.EllipticCurvePublicKey) -> x509.Certificate:
        name = x509.SubjectAlternativeName([x509.DNSName(host_name(node))])
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._public)
        return self._signed(
            x509.CertificateBuilder()
            .subject_name(_common_name(node.hex()))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .add_extension(name, critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(issuer, critical=False)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        dated = builder.not_valid_before(_FROM).not_valid_after(_TO)
        return dated.issuer_name(self._name).sign(self._private, SHA256())


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authorities_pem(keys: Iterable[FleetKey]) -> str:
    certificates = (_Authority(key).certificate() for key in keys)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


def _leaf_pem(key: FleetKey, node: NodeId) -> bytes:
    """The certificate of a node with a private key of its own."""
    private = ec.generate_private_key(ec.SECP256R1())
    certificate = _Authority(key).leaf(node, private.public_key())
    plain = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + plain
