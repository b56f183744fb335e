"""TLS 1.3 around one connection: bytes of the wire in, bytes of frames out, without sockets.

asyncio's own TLS tells nobody of a handshake that failed; here the connection holds the socket
from its first byte on, so that its deadline, its reasons and its limits cover TLS as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from p2p.protocol.certificates import certificate_of
from p2p.protocol.errors import ProtocolError
from p2p.protocol.identity import Identity

_READ_BYTES = 65_536
_DETAIL_CHARS_MAX = 200
# RFC 8446, 5.1: change_cipher_spec, alert, handshake, application_data. A frame begins with the
# upper byte of a length of at most 1 MiB, hence with 0.
_RECORD_TYPES = range(0x14, 0x18)


def speaks_tls(first_bytes: bytes) -> bool:
    """Tell whether what a peer sent first is a record of TLS."""
    return first_bytes[0] in _RECORD_TYPES


def certificate_hash(certificate: bytes) -> bytes:
    """Return the SHA-256 of a DER certificate, as the handshake's transcript holds it."""
    return hashlib.sha256(certificate).digest()


@dataclass(frozen=True, slots=True)
class Tls:
    """What all connections of a node share: its certificate in DER and one context per side."""

    certificate: bytes
    listener: ssl.SSLContext
    dialler: ssl.SSLContext

    @classmethod
    def of(cls, identity: Identity) -> Tls:
        """Make the certificate of this identity and both contexts."""
        certificate = certificate_of(identity)
        listener = _context(ssl.PROTOCOL_TLS_SERVER)
        with _private_file(
            identity.private_key_pem() + ssl.DER_cert_to_PEM_cert(certificate).encode("ascii")
        ) as path:
            listener.load_cert_chain(path)
        # Nobody resumes a session: a resumed one would show no certificate.
        listener.num_tickets = 0
        dialler = _context(ssl.PROTOCOL_TLS_CLIENT)
        dialler.check_hostname = False
        # Any certificate will do here: the handshake of the nodes then proves whose it is.
        dialler.verify_mode = ssl.CERT_NONE
        return cls(certificate, listener, dialler)


def _context(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    return context


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """Give a file name to bytes that should touch no disk, because ssl reads keys from files."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory() as folder:  # mode 0700
            path = Path(folder) / "key.pem"
            path.write_bytes(content)
            yield str(path)
        return
    with os.fdopen(os.memfd_create("voidlux-key"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


class TlsChannel:
    """One side of TLS on one connection; `outgoing` must be sent after every other call."""

    def __init__(self, tls: Tls, *, outbound: bool) -> None:
        """Take the node's TLS and whether this side dials; the dialler begins by `receive(b"")`."""
        self.established = False
        self.ended = False
        self._own_certificate = b"" if outbound else tls.certificate
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (tls.dialler if outbound else tls.listener).wrap_bio(
            self._incoming, self._outgoing, server_side=not outbound
        )

    @property
    def certificate(self) -> bytes:
        """The listener's certificate in DER, known at both ends once established."""
        return self._own_certificate or self._tls.getpeercert(binary_form=True) or b""

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the wire and return what they hold; `ended` when the peer sends no more.

        Raises ProtocolError `tls_failed`; nothing but an alert can be sent after that.
        """
        self._incoming.write(data)
        opened: list[bytes] = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while part := self._tls.read(_READ_BYTES):
                opened.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.established = False
            detail = error.reason or str(error)
            raise ProtocolError("tls_failed", detail[:_DETAIL_CHARS_MAX].lower()) from error
        return b"".join(opened)

    def send(self, data: bytes) -> None:
        """Encrypt bytes into `outgoing`; only once established."""
        self._tls.write(data)

    def end(self) -> None:
        """Put TLS's own goodbye into `outgoing`; what the peer still sends is of no interest."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()

    def outgoing(self) -> bytes:
        """Return the bytes that must go on the wire now."""
        return self._outgoing.read()
