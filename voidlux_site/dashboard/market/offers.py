"""What is on offer, what was, and what this node sells and buys by itself."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from marketplace.models import Offering, OfferingKey
from marketplace.queries import ended_at, keys_of, state_of
from marketplace.services.buying import budget_left, buying_policy
from marketplace.services.explaining import explain_stock
from marketplace.services.hours import zone_name
from marketplace.services.offerings import own_live_offering
from marketplace.services.selling import selling_policy
from p2p.local import local_node
from voidlux_site.dashboard.asking import Asked, page_of
from voidlux_site.dashboard.context import Context

OFFERINGS_SHOWN = 12
ENDED_SHOWN = 8
CHANGES_SHOWN = 30
CAPABILITIES_SHOWN = 100
ORDERS = {"cheapest": "price_per_task", "dearest": "-price_per_task"}
ENDED_KINDS = ["own", "all"]


def offerings(asked: Asked) -> Context:
    """Return a page of what is live, by capability and price; `capabilities` to choose from."""
    capability = asked.text("capability").lower()
    order = ORDERS[asked.choice("order", list(ORDERS))]
    keys = keys_of(capability, node_id="", now=asked.now).select_related("offering")
    tie = "-id" if order.startswith("-") else "id"  # one index then serves both directions
    page = page_of(keys.order_by(order, tie), asked, OFFERINGS_SHOWN)
    return {
        "page": page,
        "offerings": [key.offering for key in page["rows"]],
        "capability": capability,
    }


def known_capabilities() -> list[str]:
    """Return what open offerings can do, by name."""
    named = OfferingKey.objects.filter(is_open=True).exclude(capability="")
    names = named.order_by("capability").values_list("capability", flat=True).distinct()
    return list(names[:CAPABILITIES_SHOWN])


def ended(asked: Asked) -> Context:
    """Return a page of offerings that ended, newest first; own ones with their changes."""
    rows = _ended(asked)
    if asked.choice("of", ENDED_KINDS) == "own":
        rows = rows.filter(node_id=local_node().node_id)
    page = page_of(rows, asked, ENDED_SHOWN)
    own_id = local_node().node_id
    return {
        "page": page,
        "ended": [
            {
                "row": row,
                "state": state_of(row, asked.now),
                "at": ended_at(row, asked.now),
                "own": row.node_id == own_id,
                "changes": _changes(row) if row.node_id == own_id else [],
            }
            for row in page["rows"]
        ],
    }


def selling(asked: Asked) -> Context:
    """Return the selling policy, what it comes to now, and the offering with its changes."""
    policy = selling_policy()
    own = own_live_offering(asked.now)
    return {
        "policy": policy,
        "explanation": explain_stock(policy, asked.now),
        "own": own,
        "changes": _changes(own) if own else [],
        "zone": zone_name(),
    }


def buying(asked: Asked) -> Context:
    """Return the buying policy and how much of its budget the last 24 hours used."""
    policy = buying_policy()
    left = budget_left(policy, asked.now)
    return {"policy": policy, "left": left, "used": policy.budget_per_day - left}


def _ended(asked: Asked) -> QuerySet[Offering]:
    over = Q(withdrawn_at__isnull=False) | Q(expires_at__lte=asked.now)
    return Offering.objects.filter(over).order_by("-created_at", "id")


def _changes(offering: Offering) -> list[object]:
    return list(offering.events.order_by("-id")[:CHANGES_SHOWN])
