"""What the page of the mesh benchmark says beside its figures."""

from __future__ import annotations

from benchmarks.mesh.load import IN_FLIGHT, OPEN_RATE_PER_S, PAYLOAD_BYTES

REASONS = {
    "signed flood of 8 nodes, times pyipv8": (
        "all nodes of a run share one thread, and each receiver verifies each record once; "
        "pyipv8 verifies with the same library, about seven copies for each delivery of its "
        "flood. On one thread the ratio can therefore hardly pass seven times what it spends "
        "beside that: more needs verification on a second core, which is not done yet."
    ),
    "signed flood of 8 nodes, times what Ed25519 allows one thread": (
        "signing, TLS, decoding and the tree share the one thread with the verification, and "
        "take about as long as it does. Verification on a second core is not done yet."
    ),
}

SETTINGS = f"""Every subject carries the same {PAYLOAD_BYTES} bytes of payload and runs in a \
process of its own, all nodes of it on one event loop; one round runs all of them in the same \
minutes. A closed loop keeps {IN_FLIGHT} records under way, an open loop publishes \
{OPEN_RATE_PER_S} a second and counts from when a record was due. Publishing includes signing. A \
delivery is one record at one node, once.

| subject | signed | encrypted | transport | setting |
| --- | --- | --- | --- | --- |
| voidlux signed | Ed25519, verified by each node | TLS 1.3 (`tls`), none (`plain`) | TCP | \
full links; as in production, but without rate limits and without a database behind it |
| voidlux unsigned | no | as named | TCP | one hop: a `NeighbourMessage` |
| raw bytes, raw msgspec | no | no | TCP | asyncio and uvloop: a length, the bytes; or a \
msgspec message in JSON, encoded and decoded |
| ed25519 | | | none | PyNaCl verifies the bytes of such a frame, on one and on two processes |
| pyipv8 flood | Ed25519, verified at each copy | no | UDP | each node hands on what is new to \
all but the giver |
| pyipv8 broadcast | Ed25519, verified | no | UDP | the publisher sends to each node itself: no \
relaying at all |
| libp2p | Ed25519, verified by each node | Noise | TCP | GossipSub, degree 6, heartbeat 1 s, \
spam protection off |
| nats | no | no | TCP | one server in Go in a process of its own: the second core is its own |

pyipv8 and py-libp2p are what a Python program would take for the same job, and both do the same \
signing. NATS is what one would take when a server in the middle is no harm; it signs nothing.
"""

CAVEATS = """- Loopback and one process: no latency, no loss, and one thread for all nodes. \
Ratios between subjects of one run mean more than the figures themselves.
- A node in production takes at most 2,000 frames a second and link; that limit is lifted here, \
as is the spam protection of py-libp2p.
- In the first seconds after linking (`first`) the tree is still being made: a record may reach a \
node only when it asks for it, half a second later. Latency is therefore told apart for the first \
two seconds and for afterwards.
- pyipv8 has no relaying of its own: the flood is ours, and is what the goal names.
- `wire bytes` is what the kernel counted on all TCP connections, TLS, ids and signs of life \
included, for each delivery in the measured time.
- Sync bytes are those of both directions with frame lengths, without TLS's 22 bytes per write; \
the marks of 20 origins are most of the first request of a store that differs.
- Figures of a busy machine mean little: the spread between the rounds tells.
"""
