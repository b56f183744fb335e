"""What every template of the dashboard may need."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from p2p.local import local_node

Context = dict[str, Any]


def node_context(now: datetime) -> Context:
    """Return who this node is, and the moment that durations are counted from."""
    return {"node": local_node(), "now": now}
