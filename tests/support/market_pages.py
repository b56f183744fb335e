"""What tests of the market's page ask of it."""

from __future__ import annotations

from typing import Any

from django.test import Client

from marketplace.models import Tribute
from p2p.clock import now_utc
from p2p.local import local_node
from tests.support.factories import BUYER, make_tribute
from tests.support.web_pages import text_of


def part_text(client: Client, name: str, **query: str) -> str:
    """Return the text of a part of the market's page."""
    response = client.get(f"/parts/market-{name}", query)
    assert response.status_code == 200
    return text_of(response)


def make_request(**columns: Any) -> Tribute:
    """Create a request of BUYER for two tasks that waits for this node."""
    defaults = {"now": now_utc(), "from_node_id": BUYER, "to_node_id": local_node().node_id}
    return make_tribute(**{**defaults, "task_count": 2, **columns})
