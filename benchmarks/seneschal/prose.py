"""What the page of the Seneschal's benchmark says beside its figures."""

from __future__ import annotations

from benchmarks.seneschal.through import ADDED_P50, CONNECTIONS, THROUGH

REASONS = {
    THROUGH: (
        "each request is parsed and written twice more, in Python, on a machine whose processors "
        "client and server need as well. Against a node, whose own work on a request is what "
        "takes the time, the Seneschal is not what is waited for."
    ),
    ADDED_P50: (
        "the way through a third process costs two more passes of the event loop and the parsing "
        "of a request and an answer."
    ),
}

SETTINGS = f"""- **Requests**: `manage.py runseneschal` in a process of its own, which follows an \
emperor of the benchmark over a real mesh with TLS. {CONNECTIONS} connections ask again as soon as \
they are answered, direct and through the Seneschal in turn, in the same minute; what is told is \
wall time through requests, so that 2.5 times is 0.4 of the requests in a second. Then one \
connection asks, for the median of a single request; "added" is the difference of the medians. \
The first round of each does not count.
- **small**: an application on aiohttp and uvloop that answers 16 bytes at once, the hardest case \
for a proxy. \
**node**: `/api/swarm/health` of a real node, which is what the Seneschal is for.
- **Memory**: resident memory of the Seneschal's process with idle WebSockets that are relayed to \
the small server, less that before they were opened.
"""

CAVEATS = """- Client, Seneschal and server share the machine: with two processors not all of them \
can have one, which makes the Seneschal look slower than it is on a larger machine.
- Memory is that of one process as the system counts it; Python gives little of it back.
"""
