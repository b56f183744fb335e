"""The directory that holds all state of one node: who creates it, and what lies where."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path

SECRET_KEY_FILE = "secret-key"
SECRET_KEY_BYTES = 48


def broker_queue_dir(home: Path) -> Path:
    """Return the folder in which Celery messages wait, one file each."""
    return home / "broker" / "queue"


def broker_control_dir(home: Path) -> Path:
    """Return the folder of the broker's exchange tables."""
    return home / "broker" / "control"


def logs_dir(home: Path) -> Path:
    """Return the folder of log files."""
    return home / "logs"


def create_home(home: Path) -> None:
    """Create the home, private to its user, with its folders; raises OSError when refused."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in (broker_queue_dir(home), broker_control_dir(home), logs_dir(home)):
        folder.mkdir(parents=True, exist_ok=True)


def default_queue(home: Path) -> str:
    """Return the Celery queue of the node that lives in this home on this machine."""
    place = f"{socket.gethostname()}:{home}".encode()
    return f"node-{hashlib.sha256(place).hexdigest()[:32]}"


def read_or_create_secret_key(home: Path) -> str:
    """Return the secret that signs sessions, made at the first call (mode 0600)."""
    path = home / SECRET_KEY_FILE
    if not path.exists():
        create_home(home)
        write_once(path, secrets.token_urlsafe(SECRET_KEY_BYTES))
    return path.read_text("ascii").strip()


def write_once(path: Path, text: str) -> None:
    """Write a private file that appears complete or not at all; the first writer wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
