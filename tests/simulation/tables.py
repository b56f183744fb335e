"""Checks that what a node keeps in memory stays within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2p.protocol.limits import PARKED_MAX, PROVEN_NODES_MAX, SCORES_MAX, SPANS_MAX
from tests.simulation.node import INBOX_MAX, SimNode


def check_tables(node: SimNode, report: Callable[..., None]) -> None:
    """Report each table of a running node that is larger than it may be."""
    for name, size, size_max in _sizes(node):
        if size > size_max:
            report(f"{name} holds {size}, at most {size_max}", node)


def _sizes(node: SimNode) -> list[tuple[str, int, int]]:
    mesh: Any = node.mesh
    machine: Any = mesh._gossip._machine
    limits = node.settings.limits
    links = [each for each in mesh._connections if each.peer is not None]
    peers = len({each.node_id for each in links})
    waiting = max((_waiting_bytes(each) for each in mesh._connections), default=0)
    tables = node.home.database.tables.values()
    spans = [len(each.above) for table in tables for each in table.progress.values()]
    return [
        ("links", peers, limits.connections_max),
        ("strangers", len(mesh._connections) - len(links), 3 * limits.handshakes_max),
        ("write queue", waiting, limits.write_queue_bytes_max + 1_048_576),
        ("seen", len(machine._seen), limits.gossip.seen_max),
        ("pushed", len(machine._pushed), limits.gossip.origins_max),
        ("missing", max(machine._missing._counts.values(), default=0), limits.gossip.missing_max),
        ("frame cache", len(machine._cache), limits.gossip.cached_ids_max),
        ("cached bytes", machine._cache.bytes_held, limits.gossip.cached_bytes_max),
        ("answers", len(machine._answers._buckets), peers),
        ("scores", len(mesh._conduct._nodes), SCORES_MAX),
        ("sync peers", len(node.driver._peers), peers),
        ("sync insists", len(node.driver._insist), 2 * peers),
        ("sync buckets", len(node.driver._buckets), peers),
        ("candidates", len(node.discovery._candidates), 200),
        ("proven", len(node.discovery._proven), PROVEN_NODES_MAX),
        ("parked", max(len(table.parked) for table in tables), PARKED_MAX),
        ("spans", max(spans, default=0), SPANS_MAX),
        ("inbox", len(node._inbox), INBOX_MAX),
    ]


def _waiting_bytes(connection: Any) -> int:
    transport = connection._transport
    return connection._unsent_bytes + (transport.get_write_buffer_size() if transport else 0)
