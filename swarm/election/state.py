"""The row that says how the election stands here; every change of it is told to browsers."""

from __future__ import annotations

from datetime import datetime

from p2p import nodes, outbox
from p2p.doorbell import ring_on_commit
from p2p.local import local_node
from swarm.election.machine import Election, Standing
from swarm.models import ElectionState

DOUBTFUL = "doubtful"


def read_state() -> ElectionState | None:
    """Return how the election stands, None before the node ever took part in one."""
    return ElectionState.objects.filter(id=1).first()


def note(machine: Election, now: datetime) -> None:
    """Store how a machine stands, and tell of it where that is new."""
    facts = {
        "standing": _standing_of(machine),
        "emperor_node_id": machine.emperor_node_id or "",
        "counter": machine.term.counter if machine.term else 0,
    }
    row = read_state()
    if row is not None and all(getattr(row, name) == value for name, value in facts.items()):
        return
    ElectionState.objects.update_or_create(id=1, defaults={**facts, "since": now})
    if row is None or row.emperor_node_id != facts["emperor_node_id"]:
        show_roles()
    outbox.publish_event(
        "election_update",
        str(facts["standing"]),
        {
            "standing": facts["standing"],
            "emperor": facts["emperor_node_id"] or None,
            "term": facts["counter"],
        },
        now=now,
    )


def note_heard(now: datetime) -> None:
    """Remember that the emperor was heard."""
    ElectionState.objects.filter(id=1).update(heard_at=now)


def note_redirected(emperor_node_id: str) -> None:
    """Remember to whom this node's runs report."""
    ElectionState.objects.filter(id=1).update(redirected_to=emperor_node_id)


def ask_for_abdication(now: datetime) -> None:
    """Let the node process give the office up at its next look, which is rung for."""
    ElectionState.objects.update_or_create(
        id=1,
        defaults={"abdication_asked_at": now},
        create_defaults={
            "abdication_asked_at": now,
            "standing": Standing.FOLLOWER.value,
            "since": now,
        },
    )
    ring_on_commit()


def close_abdication() -> None:
    """Note that what the operator asked for is done, or was asked of one that is not emperor."""
    ElectionState.objects.filter(id=1).update(abdication_asked_at=None)


def show_roles() -> None:
    """Let the known members show the part that the election gives them, not what they said."""
    row = read_state()
    if row is not None and row.emperor_node_id:
        nodes.note_roles(local_node().swarm, row.emperor_node_id)


def _standing_of(machine: Election) -> str:
    if machine.standing is Standing.EMPEROR and not machine.acts:
        return DOUBTFUL
    return machine.standing.value
