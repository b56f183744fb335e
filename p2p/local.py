"""Who this node is: its home, key, names and incarnation, for every process of the node."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.db import transaction

from p2p.models import NodeState
from p2p.protocol.errors import DomainError
from p2p.protocol.identity import Identity
from p2p.protocol.limits import INTEGER_MAX
from p2p.sync.own_numbers import incarnation_after

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
    stored, counted_for = _stored_incarnation()
    if counted_for == database_id:
        return stored
    _store_incarnation(stored + 1, database_id)
    return stored + 1


def raise_incarnation_above(seen: int, now: datetime) -> int:
    """Make the incarnation higher than one that a peer showed, and return it.

    For a node whose home was restored from an old backup: peers hold records of its own that are
    numbered higher than it knows. Nothing changes when the incarnation is higher already;
    otherwise it is at least the time in unix seconds. DomainError `incarnation_exhausted` when
    none is higher.
    """
    current = incarnation()
    if current > seen:
        return current
    if seen >= INTEGER_MAX:
        raise DomainError("incarnation_exhausted", f"no incarnation is higher than {seen}")
    raised = incarnation_after(seen, int(now.timestamp()))
    _store_incarnation(raised, _database_id())
    return raised


def _stored_incarnation() -> tuple[int, str]:
    try:
        stored = json.loads((local_node().home / _INCARNATION_FILE).read_text())
    except FileNotFoundError:
        return 0, ""
    return int(stored["incarnation"]), str(stored["database_id"])


def _store_incarnation(number: int, database_id: str) -> None:
    text = json.dumps({"incarnation": number, "database_id": database_id})
    _write_atomically(local_node().home / _INCARNATION_FILE, text)


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
