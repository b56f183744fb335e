"""The certificate that a listener shows: the node's own Ed25519 key, signed by itself.

Nobody trusts what it says. It only lets TLS prove that the listener holds the node's key, and its
hash ties the handshake to one channel.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from p2p.protocol.errors import ProtocolError
from p2p.protocol.identity import Identity

_BEGINS_AT = datetime(2020, 1, 1, tzinfo=UTC)
# RFC 5280, 4.1.2.5: the date of a certificate that never expires.
_NEVER_ENDS_AT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def certificate_of(identity: Identity) -> bytes:
    """Return the node's certificate in DER; the same bytes for the same key, every time."""
    key = serialization.load_pem_private_key(identity.private_key_pem(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.node_id)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(_BEGINS_AT)
        .not_valid_after(_NEVER_ENDS_AT)
        .sign(key, algorithm=None)
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def key_in(certificate: bytes) -> bytes:
    """Return the 32 bytes of the Ed25519 key in a DER certificate.

    Raises ProtocolError `certificate_mismatch` when it holds no such key.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProtocolError("certificate_mismatch", f"unreadable: {str(error)[:200]}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ProtocolError("certificate_mismatch", "the key is of another kind than Ed25519")
    return key.public_bytes_raw()
