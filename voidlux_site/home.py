"""The directory that holds all state of one node: who creates it, and what lies where."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from voidlux_site.swarm_keys import API_TOKEN, SESSIONS, SWARM_PREFIX, key_of

if TYPE_CHECKING:
    from voidlux_site.environment import Environment

API_TOKEN_FILE = "api-token"
TOKEN_BYTES = 32
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


def secret_key(environment: Environment) -> str:
    """Return the secret that signs sessions and login links.

    With the swarm's secret at hand it is made from that. Otherwise the home's file says it, which
    is drawn at the first call (mode 0600): commands need not be told the secret of their node.
    """
    return key_of(environment, SESSIONS) or _read_or_create(
        environment.home / SECRET_KEY_FILE, SECRET_KEY_BYTES
    )


def own_api_token(home: Path, environment: Environment) -> str:
    """Return the API's bearer token for a node that lives in `home`; as `secret_key`."""
    return key_of(environment, API_TOKEN) or _read_or_create(home / API_TOKEN_FILE, TOKEN_BYTES)


def keep_secrets(home: Path, environment: Environment) -> None:
    """Bring both secret files in line with the swarm's secret, which may have changed.

    For a node that starts. Without a secret what an earlier one left is drawn anew: members of
    the swarm that this node has left know it.
    """
    create_home(home)
    files = (
        (SECRET_KEY_FILE, SESSIONS, SECRET_KEY_BYTES),
        (API_TOKEN_FILE, API_TOKEN, TOKEN_BYTES),
    )
    for name, purpose, size in files:
        path, wanted = home / name, key_of(environment, purpose)
        held = path.read_text("ascii").strip() if path.exists() else ""
        if not wanted and (not held or held.startswith(SWARM_PREFIX)):
            wanted = secrets.token_urlsafe(size)
        if wanted and held != wanted:
            write_over(path, wanted)


def _read_or_create(path: Path, size: int) -> str:
    if not path.exists():
        create_home(path.parent)
        write_once(path, secrets.token_urlsafe(size))
    return path.read_text("ascii").strip()


def write_over(path: Path, text: str) -> None:
    """Replace a private file, which holds the old text or the new one at any moment."""
    draft = _draft_of(path, text)
    draft.replace(path)


def write_once(path: Path, text: str) -> None:
    """Write a private file that appears complete or not at all; the first writer wins."""
    draft = _draft_of(path, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft_of(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft
