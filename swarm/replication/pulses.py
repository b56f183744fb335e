"""Signs of life of other members: who believes them, what they renew, and who has fallen silent."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from p2p.protocol.errors import DomainError, ExternalError
from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.errors import StaleGeneration
from swarm.models import MemberPulse, Task, TaskCopy
from swarm.queries import MEMBER_SILENT_AFTER
from swarm.replication.messages import AgentBeat, AgentHeartbeat
from swarm.services import reports, withdrawals


def take_heartbeat(message: AgentHeartbeat, now: datetime) -> None:
    """Take a member's sign of life: it renews the leases of the runs that it names.

    DomainError for one that is too old, or not above the highest seen of its sender.
    """
    if message.node_id != message.origin:
        raise DomainError("not_allowed", f"heartbeat of {message.node_id[:8]} by another")
    age_ms = int(now.timestamp() * 1000) - message.lamport_ts
    if age_ms > FLOODED_AGE_MAX_MS:
        raise DomainError("too_old", f"heartbeat is {age_ms} ms old, {FLOODED_AGE_MAX_MS} at most")
    with transaction.atomic():
        _note_pulse(message, now)
        for each in message.agents:
            if each.task_id is not None:
                _renew(each, message.origin, now)


def living_members(now: datetime) -> set[str]:
    """Return the members that were heard of lately."""
    heard = MemberPulse.objects.filter(seen_at__gt=now - MEMBER_SILENT_AFTER)
    return set(heard.values_list("node_id", flat=True))


def silences_s(now: datetime) -> dict[str, float]:
    """Return for how long (seconds) each known member was not heard of."""
    rows = MemberPulse.objects.values_list("node_id", "seen_at")
    return {node_id: max(0.0, (now - seen_at).total_seconds()) for node_id, seen_at in rows}


def _note_pulse(message: AgentHeartbeat, now: datetime) -> None:
    newest = {"lamport_ts": message.lamport_ts, "seen_at": now}
    _, created = MemberPulse.objects.get_or_create(node_id=message.origin, defaults=newest)
    older = MemberPulse.objects.filter(node_id=message.origin, lamport_ts__lt=message.lamport_ts)
    if not created and not older.update(**newest):
        raise DomainError("too_old", f"a later heartbeat of {message.origin[:8]} is known")


def _renew(each: AgentBeat, node_id: str, now: datetime) -> None:
    task_id = UUID(each.task_id)
    if not Task.objects.filter(id=task_id).exists():
        TaskCopy.objects.filter(id=task_id).update(progress=each.progress)
        return
    try:
        with transaction.atomic():
            reports.apply_progress(
                task_id,
                generation=each.generation,
                from_node_id=node_id,
                progress=each.progress,
                now=now,
            )
    except StaleGeneration as stale:
        # It works for nothing, and has not heard so: the withdrawal may have expired.
        withdrawals.withdraw(
            task_id, generation=each.generation, from_node_id=node_id, reason=str(stale), now=now
        )
    except (DomainError, ExternalError):
        return  # not ours to renew any more; who has it is told by withdrawal
