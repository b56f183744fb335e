"""Names of what this node keeps in tmux."""

from __future__ import annotations

from p2p.local import local_node

SESSION_PREFIX = "vl-"


def socket_name() -> str:
    """Return the node's private tmux socket; two nodes on one machine have two servers."""
    return f"voidlux-{local_node().node_id[:12]}"


def session_name(agent_id_hex: str) -> str:
    """Return the tmux session of an agent."""
    return f"{SESSION_PREFIX}{agent_id_hex[:12]}"
