from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from p2p.protocol.certificates import certificate_of, key_in
from p2p.protocol.errors import ProtocolError
from tests.support.wire import identity_number

ALICE, BOB = identity_number(1), identity_number(2)


def test_a_certificate_holds_the_key_of_its_node_and_never_changes() -> None:
    certificate = certificate_of(ALICE)

    assert key_in(certificate) == ALICE.public_key
    assert certificate == certificate_of(ALICE)
    assert certificate != certificate_of(BOB)


def test_a_certificate_is_signed_by_its_own_key_and_never_expires() -> None:
    certificate = x509.load_der_x509_certificate(certificate_of(ALICE))

    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == f"CN={ALICE.node_id}"
    assert certificate.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x01", certificate_of(ALICE)[:-1]])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(ProtocolError, match="certificate_mismatch: unreadable"):
        key_in(der)


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, at, at)
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    with pytest.raises(ProtocolError, match="another kind than Ed25519"):
        key_in(der)
