"""What `docs/protocol.md` says of the mesh's own topics, with numbers taken from the code."""

from __future__ import annotations

from p2p.discovery.beacon import Beacon
from p2p.protocol import limits
from p2p.protocol.documentation.tables import object_table
from voidlux_site.environment import Environment


def posts_rules() -> str:
    """Return the rules of the wall."""
    return f"""## The wall

### Topic `posts`

A POST is a text for the wall of every node, a POST_REMOVE takes it off again. Both are records of
one numbering. The key is the `origin`, a hyphen and the post's id: an id belongs to its node, and
nobody can occupy another's. Only a post's own node writes it: `node_id` must equal `origin`, and
`created_at` in unix milliseconds must not exceed `lamport_ts`. Anything else is ignored, without
blame for the peer that handed it on.

A post counts for {limits.POST_LIFE_DAYS} days from `created_at`. Its removal repeats `created_at`
and counts exactly as long, so that no copy which was kept somewhere can bring the post back.

A node writes at most {limits.POSTS_PER_MINUTE_MAX} posts a minute. What others believe of one
origin is bounded by rules that look at the records alone, so that the order in which they come
makes no difference:

- of all its records of the topic, removals included, the {limits.POSTS_PER_ORIGIN_MAX} with the
  highest (`incarnation`, `seq`) count;
- of its posts with `created_at` in the same minute (UTC) the {limits.POSTS_PER_MINUTE_MAX} with
  the lowest (`incarnation`, `seq`) count.

What does not count is received and forgotten."""


def discovery_rules() -> str:
    """Return how nodes find each other: peer exchange and the beacon."""
    return f"""## Discovery

A node keeps links to its seeds and dials others while fewer than {limits.LINKS_WANTED} nodes are
linked. Whatever it hears of others is hearsay: it adds a place to dial, and only the handshake
there says who answers.

### Peer exchange

PEX is sent to a neighbour at the beginning of a link and then every {limits.PEX_EVERY_S:g} seconds,
jittered by a quarter; an empty one need not be sent. It names at most {limits.PEX_ENTRIES_MAX}
nodes, chosen at random among those whose handshake with the sender was finished and that were
linked to it in the last {limits.PROVEN_LIFE_S / 3600:g} hours: never the sender or the receiver.
`host` is the IP address at which the sender saw the node, `port` the `p2p_port` of its HELLO;
addresses that a HELLO merely lists are not handed on.

These addresses are not sent, and are ignored when they come: names, unspecified, multicast,
reserved and link-local addresses, and loopback unless the neighbour itself is seen on loopback.
From one link a node takes {limits.PEX_BURST} at once and then one every
{1 / limits.PEX_PER_S:g} seconds; it ignores more. An unsigned message like this one is believed on
its link only and never handed on.

A node keeps at most {limits.CANDIDATES_PER_SOURCE_MAX} candidates of one source, for
{limits.CANDIDATE_LIFE_S / 60:g} minutes after it heard of them last. After each dial it waits for
{limits.CANDIDATE_BACKOFF_MIN_S:g} seconds, doubled up to {limits.CANDIDATE_BACKOFF_MAX_S:g}.

### Beacon

Where it is switched on, a node broadcasts one datagram over IPv4 every {limits.BEACON_EVERY_S:g}
seconds, to UDP port {Environment.model_fields["discovery_port"].default} unless set otherwise, from
the address that it listens at. It is one JSON object of at most {limits.BEACON_BYTES_MAX} bytes:

{object_table(Beacon)}

The place to dial is the datagram's source address with `p2p_port`. Beacons of another network or
version are ignored, as is everything beyond {limits.BEACONS_OF_SOURCE_BURST} at once and
{limits.BEACONS_OF_SOURCE_PER_S:g} a second from one host, or {limits.BEACONS_PER_S:g} a second from
all. Nothing is ever answered."""
