"""Who a node is: an Ed25519 key pair whose hash is the node id."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from p2p.protocol.errors import DomainError
from p2p.protocol.limits import NODE_ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES


def node_id_of(public_key: bytes) -> str:
    """Return the 32 hex digits that a 32-byte public key proves."""
    return hashlib.sha256(public_key).digest()[:NODE_ID_BYTES].hex()


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a 64-byte signature of a 32-byte public key covers the message."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except (CryptoError, ValueError):
        return False
    return True


class Identity:
    """The key pair of this node; its private half leaves the object only to its file and to TLS."""

    def __init__(self, signing_key: SigningKey) -> None:
        """Take a PyNaCl signing key."""
        self._signing_key = signing_key
        self.public_key = bytes(signing_key.verify_key)
        self.public_key_text = base64.b64encode(self.public_key).decode("ascii")
        self.node_id = node_id_of(self.public_key)

    @classmethod
    def generate(cls) -> Identity:
        """Return a new identity that is stored nowhere."""
        return cls(SigningKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """Return the identity of a 32-byte seed; ValueError for another length."""
        if len(seed) != PUBLIC_KEY_BYTES:
            raise ValueError(f"seed of {len(seed)} bytes, not {PUBLIC_KEY_BYTES}")
        return cls(SigningKey(seed))

    @classmethod
    def load_or_create(cls, path: Path) -> Identity:
        """Return the identity of a PKCS8 PEM file, made with mode 0600 if it is not there.

        Raises DomainError `identity_exposed` when others may read the file, and
        `identity_damaged` when it holds no unencrypted Ed25519 key.
        """
        if not path.exists():
            _create(path, cls.generate())
        return cls(_load(path))

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of the message."""
        return self._signing_key.sign(message).signature

    def private_key_pem(self) -> bytes:
        """Return the private key, unencrypted in PKCS8 PEM, for who must write or load it."""
        return Ed25519PrivateKey.from_private_bytes(bytes(self._signing_key)).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def __repr__(self) -> str:
        return f"Identity({self.node_id})"


def _create(path: Path, identity: Identity) -> None:
    """Write the key whole or not at all; whoever else was first keeps the name."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(identity.private_key_pem())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path) -> SigningKey:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise DomainError(
            "identity_exposed",
            f"{path} has mode {mode:04o}: only its owner may read a node key (chmod 600)",
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DomainError("identity_damaged", f"{path} holds no readable key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise DomainError(
            "identity_damaged", f"{path} holds a {type(key).__name__}, not an Ed25519 key"
        )
    return SigningKey(key.private_bytes_raw())
