from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity, verify


def test_the_node_id_is_the_hash_of_the_public_key() -> None:
    identity = Identity.generate()

    assert identity.node_id == hashlib.sha256(identity.public_key).hexdigest()[:32]


def test_the_vector_of_rfc_8032() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    identity = Identity.from_seed(seed)

    assert identity.public_key.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert identity.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert verify(identity.public_key, b"", identity.sign(b""))
    assert not verify(identity.public_key, b"x", identity.sign(b""))
    assert not verify(b"short", b"", identity.sign(b""))
    assert not verify(bytes(32), b"", bytes(64))


def test_an_identity_survives_a_restart_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "home" / "identity.pem"

    first = Identity.load_or_create(path)

    assert Identity.load_or_create(path).node_id == first.node_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert [each.name for each in path.parent.iterdir()] == ["identity.pem"]


def test_two_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"

    with ThreadPoolExecutor(8) as pool:
        ids = {each.node_id for each in pool.map(Identity.load_or_create, [path] * 8)}

    assert len(ids) == 1


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    Identity.load_or_create(path)
    path.chmod(0o640)

    with pytest.raises(DomainError, match=r"identity\.pem has mode 0640") as refusal:
        Identity.load_or_create(path)
    assert refusal.value.code == "identity_exposed"


def test_a_damaged_or_foreign_key_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for content in (b"", b"not a key", other):
        path.write_bytes(content)
        path.chmod(0o600)

        with pytest.raises(DomainError, match=r"identity\.pem holds") as refusal:
            Identity.load_or_create(path)

        assert refusal.value.code == "identity_damaged"
        assert path.read_bytes() == content
