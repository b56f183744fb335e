"""Who this node is: its home, key, names and incarnation, for every process of the node."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from p2p.models import NodeState
from p2p.protocol.identity import Identity

_DATABASE_ID = "database_id"
_INCARNATION_FILE = "incarnation.json"


@dataclass(frozen=True)
class LocalNode:
    """This node as the services see it; the same in the node process and in its worker."""

    home: Path
    identity: Identity
    network: str
    swarm: str

    @property
    def node_id(self) -> str:
        """The node's id: 32 hex digits, the hash of its public key."""
        return self.identity.node_id


_override: LocalNode | None = None


@lru_cache(maxsize=1)
def _from_settings() -> LocalNode:
    home = Path(settings.ENVIRONMENT.home)
    home.mkdir(parents=True, exist_ok=True)
    return LocalNode(
        home=home,
        identity=Identity.load_or_create(home / "identity.pem"),
        network=settings.ENVIRONMENT.network,
        swarm=settings.ENVIRONMENT.swarm,
    )


def local_node() -> LocalNode:
    """Return this process's node; loads (at first start: makes) its key."""
    return _override or _from_settings()


@contextlib.contextmanager
def acting_as(node: LocalNode) -> Iterator[None]:
    """Let the services of this process speak for `node`: for simulations of several nodes."""
    global _override
    before, _override = _override, node
    try:
        yield
    finally:
        _override = before


def dial_addresses() -> list[tuple[str, int]]:
    """Return where others can dial this node; none where it listens on every interface."""
    host = settings.ENVIRONMENT.host
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            return []  # peers then take the address that they see
    return [(host, settings.ENVIRONMENT.p2p_port)]


def incarnation() -> int:
    """Return the writer incarnation, raising it when the database was lost (design section 5).

    It is kept beside the key and not in the database, together with the id of the database that
    it was counted for: a database with another id is a new one, whose `seq` starts anew.
    """
    database_id = _database_id()
    path = local_node().home / _INCARNATION_FILE
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        stored = {"incarnation": 0, "database_id": ""}
    if stored["database_id"] == database_id:
        return int(stored["incarnation"])
    raised = int(stored["incarnation"]) + 1
    _write_atomically(path, json.dumps({"incarnation": raised, "database_id": database_id}))
    return raised


def raise_incarnation_above(seen: int) -> int:
    """Make the writer incarnation exceed one that was seen elsewhere, and return it.

    For a database that was restored from a backup: its `seq` would name other records a second
    time, so the numbering begins anew.
    """
    current = incarnation()
    if current > seen:
        return current
    path = local_node().home / _INCARNATION_FILE
    _write_atomically(path, json.dumps({"incarnation": seen + 1, "database_id": _database_id()}))
    return seen + 1


def _database_id() -> str:
    with transaction.atomic():
        row, _ = NodeState.objects.get_or_create(
            key=_DATABASE_ID, defaults={"value": uuid.uuid4().hex}
        )
    return row.value


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
