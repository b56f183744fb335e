"""What a mesh is told at its start and what it tells of its peers."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2p.gossip.settings import GossipLimits
from p2p.protocol import limits
from p2p.protocol.fields import Address, Role


@dataclass(frozen=True, slots=True)
class Profile:
    """What our HELLO says of this node beside its identity; `p2p_port` 0 means the bound one."""

    swarm: str
    secret: str = field(default="", repr=False)  # of the swarm; without one nobody is a member
    role: Role = "worker"
    p2p_port: int = 0
    http_port: int = 0
    addresses: tuple[Address, ...] = ()
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A linked node: who it proved to be, how it can be reached, how far it is."""

    node_id: str
    swarm: str
    member: bool  # of our own swarm, and proved it
    role: str
    host: str
    p2p_port: int
    http_port: int
    addresses: list[Address] = field(default_factory=list)
    latency_ms: float | None = None
    connected_at: float = 0.0  # unix seconds
    direction: str = "outbound"


@dataclass(frozen=True, slots=True)
class MeshLimits:
    """The limits of one mesh, seconds and bytes; tests shorten the waits."""

    connections_max: int = limits.CONNECTIONS_MAX
    handshakes_max: int = limits.HANDSHAKES_MAX
    dial_timeout_s: float = limits.DIAL_TIMEOUT_S
    handshake_timeout_s: float = limits.HANDSHAKE_TIMEOUT_S
    idle_timeout_s: float = limits.IDLE_TIMEOUT_S
    ping_interval_s: float = limits.PING_INTERVAL_S
    drain_s: float = limits.DRAIN_S
    close_timeout_s: float = limits.CLOSE_TIMEOUT_S
    write_queue_bytes_max: int = limits.WRITE_QUEUE_BYTES_MAX
    frames_per_s: float = limits.FRAMES_PER_S
    frames_burst: float = limits.FRAMES_BURST
    bytes_per_s: float = limits.BYTES_PER_S
    bytes_burst: float = limits.BYTES_BURST
    backoff_min_s: float = limits.BACKOFF_MIN_S
    backoff_max_s: float = limits.BACKOFF_MAX_S
    gossip: GossipLimits = field(default_factory=GossipLimits)
