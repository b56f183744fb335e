"""Members of one simulated swarm that elect: real machines and databases, virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from p2p.protocol.codec import Received
from p2p.protocol.messages import Signed
from p2p.protocol.signing import open_sealed, seal
from p2p.registration import registry
from swarm.election import participation, seconds
from swarm.election.state import read_state
from swarm.models import ElectionState, KnownTerm
from swarm.replication import terms
from swarm.replication.messages import Term
from tests.support.cluster import NETWORK, START, Cluster, SimNode
from tests.support.factories import make_node


@dataclass
class Elections:
    """The members of a swarm; those that are `down` neither tick nor hear anything."""

    cluster: Cluster
    members: list[SimNode] = field(default_factory=list)
    down: set[str] = field(default_factory=set)

    @classmethod
    def open(
        cls, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, roles: dict[str, str]
    ) -> Elections:
        """Make the members by name and role, and let the election's clock be the cluster's."""
        made = cls(cluster)
        monkeypatch.setattr(seconds, "monotonic_s", made.now_s)
        made.members = [cluster.add(name, swarm="home", role=role) for name, role in roles.items()]
        return made

    def now_s(self) -> float:
        """Return what the election's clock shows."""
        return 1000.0 + (self.cluster.now - START).total_seconds()

    def tick(self, node: SimNode) -> participation.Due:
        """Let one member look at its clock."""
        with self.cluster.acting(node):
            return participation.tick(self.cluster.now)

    def run(self, seconds_: float, *, step_s: float = 1.0) -> None:
        """Pass time in steps; in each every member that is up ticks, and all is delivered."""
        for _ in range(round(seconds_ / step_s)):
            self.cluster.now += timedelta(seconds=step_s)
            self.turn()

    def turn(self) -> None:
        """Let everybody tick and hear the others, without time passing."""
        arrived = 1
        while arrived:
            for node in self.members:
                if node.name not in self.down:
                    self.tick(node)
            self.cluster.collect()
            arrived = self.cluster.deliver()

    def fell(self, node: SimNode) -> None:
        """Let a member fall silent."""
        self.down.add(node.name)
        self.cut(node)

    def revive(self, node: SimNode) -> None:
        """Let a member come back from a pause: what it holds is as it left it."""
        self.down.discard(node.name)
        self.cluster.cut.clear()

    def restart(self, node: SimNode) -> participation.Due:
        """Let a member start anew from its database."""
        with self.cluster.acting(node):
            return participation.begin(self.cluster.now)

    def meet(self, node: SimNode, member: SimNode, role: str = "worker") -> None:
        """Let one member have been linked to another before."""
        with self.cluster.acting(node):
            make_node(member.node_id, now=self.cluster.now, swarm="home", member=True, role=role)

    def cut(self, node: SimNode) -> None:
        """Take a member from the network."""
        for other in self.members:
            if other is not node:
                self.cluster.cut.add(frozenset((node.name, other.name)))

    def emperors(self) -> list[str]:
        """Return the names of the members that move tasks now."""
        return [node.name for node in self.members if self.acts(node)]

    def acts(self, node: SimNode) -> bool:
        """Tell whether a member moves tasks now."""
        with self.cluster.acting(node):
            return terms.is_emperor()

    def term(self, node: SimNode) -> Term | None:
        """Return the highest term that a member knows."""
        with self.cluster.acting(node):
            row = terms.highest_ever()
            return terms.term_of(row) if row else None

    def state(self, node: SimNode) -> ElectionState:
        """Return how the election stands at a member."""
        with self.cluster.acting(node):
            row = read_state()
            assert row is not None
            return row

    def known(self, node: SimNode) -> dict[str, int]:
        """Return the counters that a member knows, by the name of their emperor."""
        names = {each.node_id: each.name for each in self.members}
        with self.cluster.acting(node):
            rows = KnownTerm.objects.values_list("node_id", "counter")
            return {names.get(node_id, node_id[:8]): counter for node_id, counter in rows}


def signed_by(node: SimNode, message: Signed) -> Received[Signed]:
    """Return a message as a member would receive it from `node`."""
    return open_sealed(seal(message, node.local.identity, NETWORK), NETWORK, registry)
