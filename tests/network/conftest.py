"""Eight whole nodes, each on a host of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import Host, Switch, switched_hosts
from tests.support.nodes import RealNode, start_all

NODES = 8
P2P_PORT, HTTP_PORT = 7101, 9091


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that one word picks or skips all of them."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.processes)


class HostedNode(RealNode):
    """A real node on a host of the test's network; without a worker where jobs do not matter."""

    def __init__(
        self, home: Path, switch: Switch, place: Host, worker: bool = False, **variables: str
    ) -> None:
        super().__init__(home, worker=worker, **{"host": place.address, **variables})
        self.place = place
        self.host = place.address
        self.p2p_port, self.http_port = P2P_PORT, HTTP_PORT
        self._switch = switch

    def command(self) -> list[str]:
        """Return the command line of its process."""
        return self._switch.command_in(self.place, *super().command())


@dataclass(frozen=True)
class Network:
    """The nodes and what joins them."""

    switch: Switch
    nodes: list[HostedNode]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Eight nodes that were told of the first one only; all that was made is removed again."""
    homes = tmp_path_factory.mktemp("hosts")
    with switched_hosts(NODES) as switch:
        seed = f"{switch.hosts[0].address}:{P2P_PORT}"
        nodes = [HostedNode(homes / host.port, switch, host, seeds=seed) for host in switch.hosts]
        try:
            start_all(*nodes)
            yield Network(switch, nodes)
        finally:
            for node in nodes:
                node.end()
