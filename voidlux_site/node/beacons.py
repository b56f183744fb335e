"""Opens the beacon's sockets as the environment wants them; a node lives without them, too."""

from __future__ import annotations

import logging
from collections.abc import Callable

from p2p.discovery.beacon import beacon_of
from p2p.discovery.udp import BeaconSocket, reach_of
from p2p.local import local_node
from voidlux_site.environment import Environment

log = logging.getLogger(__name__)


async def open_beacon(
    environment: Environment, heard: Callable[[bytes, str], None]
) -> BeaconSocket | None:
    """Return open sockets, None (with the reason in the log) when there are none to be had."""
    if not environment.discovery_port:
        return None
    reach = reach_of(environment.host)
    if reach is None:
        log.info("no beacon: %s is IPv6, which has no broadcast", environment.host)
        return None
    node = local_node()
    beacon = BeaconSocket(
        beacon=beacon_of(network=node.network, node_id=node.node_id, p2p_port=environment.p2p_port),
        reach=reach,
        port=environment.discovery_port,
        heard=heard,
    )
    try:
        await beacon.open()
    except OSError as error:
        log.warning(
            "no beacon: VOIDLUX_DISCOVERY_PORT is %d: %s", environment.discovery_port, error
        )
        return None
    return beacon
