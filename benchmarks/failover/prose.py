"""What the page of the failover benchmark says beside its figures."""

from __future__ import annotations

from benchmarks.failover.kills import LONGEST
from benchmarks.seneschal import prose
from tests.support.trio import QUICK

REASONS = {
    LONGEST: (
        "the silence that must pass and the candidacy are 3.5 s; the rest is the machine's, on "
        "which all three nodes, their workers and whoever looks share the processors."
    ),
    **prose.REASONS,
}

SETTINGS = f"""- **kill -9**: three real nodes of one swarm on this machine, each with its worker \
and an agent; a heartbeat every {QUICK["emperor_heartbeat_s"]} s, an emperor is lost after \
{QUICK["emperor_stale_s"]} s of silence, a candidacy lasts {QUICK["candidacy_s"]} s (the defaults, \
for networks that lose messages, are 10, 30 and 5). Node and worker of the emperor are killed at a \
random moment between two heartbeats. The APIs of the other two are asked in turn, every 10 ms at \
most: until one says that it is in office, until that one has stored a goal, and until both name \
it. Whoever was killed is started again and follows before the next run, so that the office goes \
from node to node.
- The shortest time possible is the silence less one heartbeat, plus the candidacy; the longest is \
both in full.
{prose.SETTINGS}"""

CAVEATS = f"""- Nobody answers for the emperor in that time. Agents go on with what they have; \
what is submitted is refused with 503 and when to come again, or held by the Seneschal.
{prose.CAVEATS}"""
