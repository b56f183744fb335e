"""The registry of nodes that proved their identity, and where they can be dialled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from p2p import outbox
from p2p.discovery.candidates import Contact
from p2p.models import KnownNode, OutboxKind, OutboxMessage
from p2p.protocol.limits import ADDRESS_KEPT_S, CANDIDATE_KNOWN_LIFE_S, CANDIDATES_KNOWN_MAX


def node_up(
    *,
    node_id: str,
    swarm: str,
    member: bool = False,
    role: str,
    addresses: list[dict[str, Any]],
    http_port: int,
    now: datetime,
) -> None:
    """Remember a peer whose handshake was completed; what waits for it becomes due at once."""
    with transaction.atomic():
        KnownNode.objects.update_or_create(
            node_id=node_id,
            defaults={
                "swarm": swarm,
                "member": member,
                "role": role,
                "addresses": addresses,
                "http_port": http_port,
                "connected": True,
                "last_seen_at": now,
            },
            create_defaults={
                "swarm": swarm,
                "member": member,
                "role": role,
                "addresses": addresses,
                "http_port": http_port,
                "connected": True,
                "first_seen_at": now,
                "last_seen_at": now,
            },
        )
        OutboxMessage.objects.filter(
            kind=OutboxKind.COMMAND, to_node_id=node_id, done_at__isnull=True
        ).update(due_at=now)
        outbox.publish_event("peer_update", "up", {"node_id": node_id, "swarm": swarm}, now=now)


def note_roles(swarm: str, emperor_node_id: str) -> None:
    """Let the known members of our swarm show who is emperor now, whatever they said at first."""
    members = KnownNode.objects.filter(swarm=swarm, member=True).exclude(role="")
    members.filter(node_id=emperor_node_id).exclude(role="emperor").update(role="emperor")
    members.filter(role="emperor").exclude(node_id=emperor_node_id).update(role="worker")


def node_down(*, node_id: str, now: datetime) -> None:
    """Note that the last link to a peer is gone."""
    with transaction.atomic():
        KnownNode.objects.filter(node_id=node_id).update(
            connected=False, last_seen_at=now, latency_ms=None
        )
        outbox.publish_event("peer_update", "down", {"node_id": node_id}, now=now)


def note_latencies(latencies_ms: dict[str, float], now: datetime) -> None:
    """Store the measured round-trip times (milliseconds) of connected peers."""
    for node_id, latency_ms in latencies_ms.items():
        KnownNode.objects.filter(node_id=node_id).update(latency_ms=latency_ms, last_seen_at=now)


def all_down() -> None:
    """Mark every node as not connected: nothing is connected when a node starts."""
    KnownNode.objects.filter(connected=True).update(connected=False, latency_ms=None)


@dataclass(frozen=True, slots=True)
class Heard:
    """What an unmet node says of itself: its swarm, and where it can be dialled."""

    swarm: str
    addresses: list[dict[str, Any]]


def remember_addresses(heard: Mapping[str, Heard], now: datetime) -> None:
    """Remember where unmet nodes, by id, say they can be dialled; the same queries for any number.

    An entry that was proved is left alone until its addresses have expired.
    """
    known = set(KnownNode.objects.filter(node_id__in=list(heard)).values_list("node_id", flat=True))
    unmet_or_expired = Q(role="") | Q(last_seen_at__lt=_dialled_since(now))
    outdated = list(KnownNode.objects.filter(unmet_or_expired, node_id__in=known, connected=False))
    for row in outdated:
        row.addresses, row.last_seen_at = heard[row.node_id].addresses, now
    KnownNode.objects.bulk_update(outdated, ["addresses", "last_seen_at"])
    KnownNode.objects.bulk_create(
        [
            KnownNode(
                node_id=node_id,
                swarm=each.swarm,
                role="",
                addresses=each.addresses,
                first_seen_at=now,
                last_seen_at=now,
            )
            for node_id, each in heard.items()
            if node_id not in known
        ],
        ignore_conflicts=True,
    )


def contacts_met(now: datetime) -> list[Contact]:
    """Return where nodes that proved their identity in the last 24 hours can be dialled."""
    since = now - timedelta(seconds=CANDIDATE_KNOWN_LIFE_S)
    # Who was only heard of in an offering has no role yet.
    met = KnownNode.objects.filter(last_seen_at__gte=since).exclude(role="")
    newest = met.order_by("-last_seen_at")[:CANDIDATES_KNOWN_MAX]
    return [
        Contact(row.node_id, each["host"], each["port"]) for row in newest for each in row.addresses
    ]


def addresses_of(node_id: str, now: datetime) -> list[dict[str, Any]]:
    """Return where a node can be dialled; empty when it is unknown or long unseen."""
    seen = KnownNode.objects.filter(last_seen_at__gte=_dialled_since(now))
    row = seen.filter(node_id=node_id).first()
    return list(row.addresses) if row else []


def last_addresses(member_id: str) -> list[dict[str, Any]]:
    """Return where a member of our swarm was linked last, however long ago that is."""
    row = KnownNode.objects.filter(node_id=member_id, member=True).first()
    return list(row.addresses) if row else []


def member_addresses(swarm: str, now: datetime) -> dict[str, list[dict[str, Any]]]:
    """Return where members of our swarm can be dialled, by node id, but for long unseen ones."""
    members = KnownNode.objects.filter(
        swarm=swarm, member=True, last_seen_at__gte=_dialled_since(now)
    )
    return {row.node_id: list(row.addresses) for row in members.order_by("node_id")}


def _dialled_since(now: datetime) -> datetime:
    return now - timedelta(seconds=ADDRESS_KEPT_S)


def list_nodes() -> list[KnownNode]:
    """Return every known node, connected ones first."""
    return list(KnownNode.objects.order_by("-connected", "swarm", "node_id"))
