"""The nodes that this one traded with or decided about, with what each owes."""

from __future__ import annotations

from django.conf import settings

from marketplace.models import Partner, Tribute
from marketplace.services.credit import credit_limit, exposure
from marketplace.services.partners import standing_of
from p2p.local import local_node
from p2p.models import KnownNode
from voidlux_site.dashboard.asking import Asked
from voidlux_site.dashboard.context import Context

PARTNERS_SHOWN = 20


def partners(asked: Asked) -> Context:
    """Return decided and listed nodes, then the latest others of tributes, PARTNERS_SHOWN each."""
    decided = {row.node_id: row for row in Partner.objects.order_by("-decided_at")}
    ids = list(dict.fromkeys([*decided, *sorted(settings.ENVIRONMENT.allow_nodes), *_traded()]))
    shown = ids[:PARTNERS_SHOWN]
    known = {node.node_id: node for node in KnownNode.objects.filter(node_id__in=shown)}
    return {
        "hidden": len(ids) - len(shown),
        "partners": [
            {
                "node_id": node_id,
                "node": known.get(node_id),
                "row": decided.get(node_id),
                "standing": standing_of(node_id),
                "listed": node_id in settings.ENVIRONMENT.allow_nodes,
                "limit": credit_limit(node_id),
                "owes": exposure(node_id, asked.now),
            }
            for node_id in shown
        ],
    }


def _traded() -> list[str]:
    """Return the other nodes of the latest tributes, newest first."""
    own_id = local_node().node_id
    pairs = Tribute.objects.order_by("-created_at").values_list("from_node_id", "to_node_id")
    others = [seller if buyer == own_id else buyer for buyer, seller in pairs[:200]]
    return [node_id for node_id in dict.fromkeys(others) if node_id != own_id]
