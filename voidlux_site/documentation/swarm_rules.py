"""What `docs/protocol.md` says of the swarm's own topics and its signs of life."""

from __future__ import annotations

from p2p.protocol.limits import FLOODED_AGE_MAX_MS
from swarm.replication.heartbeats import CENSUS_EVERY, HEARTBEAT_EVERY_S
from swarm.replication.messages import HISTORY_MAX, TERM_JUMP_MAX


def swarm_rules() -> str:
    """Return the rules of the topics `tasks` and `agents`, of heartbeats and of assignments."""
    silent_s = FLOODED_AGE_MAX_MS / 1000
    return f"""## Inside a swarm

What follows travels between members only: nodes that proved the same swarm's secret in their
handshakes.

### Topic `tasks`

The key of a task's record is the task's id, that of an ELECTION_VICTORY is `victory-` and the
emperor's node id. Every record names a `term`, whose `node_id` must be the record's origin. A
victory counts unless its counter is more than {TERM_JUMP_MAX:,} above the highest known one. A
task's record counts once a victory of the same node with the same or a higher counter is known;
until then it is parked. Of two versions of a key the one with the higher term wins (higher
counter, then lower node id), before anything else.

TASK_CREATE, TASK_UPDATE, TASK_CANCEL and TASK_ARCHIVE all carry the whole task, with its last
{HISTORY_MAX} transitions; they differ in what happened. TASK_ARCHIVE is a tombstone. Who holds
another emperor's task shows it, and never acts on it.

### Topic `agents`

The key is the agent's node and its id, joined by `-`. Only that node writes it: AGENT_REGISTER
whenever anything about the agent changes, AGENT_DEREGISTER as the tombstone.

### Signs of life

A flooded message is handed on to everybody in its scope but its giver, and never stored. It is
refused when it is older than {silent_s:g} seconds by its `lamport_ts`, or not above
the highest that was seen of the same origin and type. Every member sends an AGENT_HEARTBEAT each
{HEARTBEAT_EVERY_S:g} seconds or more often, and at once when a run begins; a run that it names has
its lease renewed. A member that was silent for {silent_s:g} seconds gets no work. A
heartbeat makes no agent known. CENSUS_REQUEST asks for the records of all agents and a
heartbeat, and is answered at most every {CENSUS_EVERY.total_seconds():g} seconds.

### Giving work to a member

TASK_ASSIGN names the `agent_id` and the emperor's `term`, and no tribute. The receiver refuses by
TASK_FAIL with `stale_term` when it knows a higher one, `unknown_term` before the victory has come,
`stale_generation` when it has heard of a newer dispatch of that task or of the withdrawal of this
one, `agent_gone` or `agent_busy`; none of these costs an attempt. A newer generation ends the
runs of older ones. TASK_WITHDRAW takes all dispatches up to `generation` back, those that are
still on their way included; what their runs did is kept on their branches."""
