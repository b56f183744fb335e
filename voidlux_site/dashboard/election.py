"""Who is emperor, as every page's head shows it, and the button that gives the office up."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from p2p.clock import now_utc
from p2p.local import local_node
from swarm.election.abdication import abdicate
from swarm.election.queries import acting_emperor, describe_standing
from swarm.replication import terms
from voidlux_site.dashboard.answers import refusals_shown, saved, staff_only
from voidlux_site.dashboard.asking import Asked


def election(asked: Asked) -> dict[str, Any]:
    """Return who is emperor, and what is known while nobody is."""
    emperor = acting_emperor()
    return {
        "emperor": emperor,
        "address": terms.address_of(emperor),
        "rules": terms.is_emperor(),
        "own": emperor is not None and emperor.node_id == local_node().node_id,
        "vacant_s": describe_standing(asked.now)["vacant_s"],
        "has_members": terms.has_members(),
    }


@require_POST
@staff_only
@refusals_shown
def give_up(request: HttpRequest) -> HttpResponse:
    """Give the office up to whoever is elected."""
    abdicate(now_utc())
    return saved("This node gives the office up: the others elect", "election")
