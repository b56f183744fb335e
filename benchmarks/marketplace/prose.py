"""What the page of the marketplace benchmark says beside its figures."""

from __future__ import annotations

from benchmarks.marketplace.crowd import AT_A_TIME
from benchmarks.marketplace.negotiate import KNOWN
from benchmarks.marketplace.whole_trade import BOUGHT

REASONS = {
    KNOWN: (
        "four commits, two doorbells, two messages over TLS and two batches of an inbox are on "
        "the way, each on a node whose one database thread also tells the browsers, dispatches "
        "and refreshes the offering at every change; the stages below say where the time goes."
    ),
    BOUGHT: (
        "the bought task goes to another node: beside the work itself, a request, its admission, "
        "the assignment, the report, the verdict and a payment signed by both are committed and "
        "sent, and the buyer fetches the commit before its gate looks at it."
    ),
}

SETTINGS = f"""- **Request to accept**: two real nodes on this machine, a process and a worker \
each, linked over TLS. From the moment that the buyer writes the request (`created_at`) until its \
acceptance is committed in the buyer's database, which is watched read-only, without questions to \
the nodes. *Remote never tried*: the seller tries a push without sending it \
(`git push --dry-run`) as a job of its worker. *Remote tried before*: it has done so within the \
last minutes, for the same branch. Every execution is given back before the next round.
- **Whole tribute**: a goal of one subtask (`echo`, no tests) at the node that has the agent, in \
turn with the same goal at a node that has none and buys it there: POST of the goal, planning, \
request, acceptance, work, push, report, the buyer's gate, its integration branch, payment. The \
bought run is in the sandbox of sold work where there is one. The first round does not count.
- **Offerings**: 10,000 live ones of as many nodes, each with two of 40 capabilities; a page of 50 \
by `GET /api/swarm/offerings?capability=…` through the whole API in this process, without a \
socket. Memory is what the process grew by while it stored them and until they were stored.
- **Crowd**: 1,000 tributes between two real nodes, {AT_A_TIME} under way at a time (a seller lets \
one buyer wait for 20 decisions); each is requested, accepted and given back. Afterwards both \
nodes must see every tribute alike, nothing may be held or missing, and `manage.py ledger verify` \
must accept both homes.
"""

CAVEATS = """- Everything is on one machine: two nodes and two workers share its processors.
- The remote is a folder on the same disk: a real one takes a round trip or more for a dry run.
- The stages of a negotiation are told apart by the times that the nodes keep; their medians need \
not add up to the median of the whole.
- Figures of a busy machine mean little: the spread between the rounds tells.
"""
