"""Names for people: nodes and agents as the story calls them, not by their ids."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ID_DIGITS = 8
AGENT_ID_DIGITS = 6


@dataclass(frozen=True)
class Names:
    """What the nodes are called; an unknown node goes by the first 8 digits of its id."""

    by_id: Mapping[str, str] = field(default_factory=dict)

    def node(self, node_id: str) -> str:
        """Return what a node is called."""
        return self.by_id.get(node_id, node_id[:ID_DIGITS])

    def agent(self, agent: str, node_id: str) -> str:
        """Return an agent at its node, such as `agent-1@helios`; empty where neither is known."""
        short = self.tidy(agent)
        if not node_id:
            return short
        return f"{short}@{self.node(node_id)}" if short else self.node(node_id)

    def tidy(self, text: str) -> str:
        """Return `text` with ids of known nodes, and agents named after them, made readable."""
        for node_id, name in self.by_id.items():
            agents = rf"[A-Za-z0-9._-]+-{node_id[:AGENT_ID_DIGITS]}-(\d+)\b"
            text = re.sub(agents, r"agent-\1", text)
            text = text.replace(node_id, name).replace(node_id[:ID_DIGITS], name)
        return text
