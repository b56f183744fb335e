"""The mesh over REST: nodes that were met, and peers that are connected now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from p2p.models import KnownNode
from p2p.paging import PageQuery, paginate

router = Router(tags=["mesh"])


@router.get("/nodes", summary="List known nodes")
def list_nodes(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Every node that proved its identity here once, ordered by id."""
    return paginate(KnownNode.objects.all(), page, order="node_id", describe=describe_node)


@router.get("/peers", summary="List connected peers")
def list_peers(request: HttpRequest, page: Query[PageQuery]) -> dict[str, Any]:
    """Nodes with a live connection to this one, with their latency."""
    connected = KnownNode.objects.filter(connected=True)
    return paginate(connected, page, order="node_id", describe=describe_node)


def describe_node(node: KnownNode) -> dict[str, Any]:
    """Return a known node as JSON-ready data; latency in milliseconds."""
    return {
        "node_id": node.node_id,
        "swarm": node.swarm,
        "member": node.member,
        "role": node.role,
        "addresses": node.addresses,
        "http_port": node.http_port,
        "connected": node.connected,
        "latency_ms": node.latency_ms,
        "first_seen_at": _time(node.first_seen_at),
        "last_seen_at": _time(node.last_seen_at),
    }


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
