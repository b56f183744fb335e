"""What the page of the swarm benchmark says beside its figures."""

from __future__ import annotations

from benchmarks.swarm.begin import FILE_BYTES, POSTED, READY

REASONS = {
    READY: (
        "VoidLux runs the same two programs, one `git worktree add` and one `tmux`, and does more "
        "beside them: the choice, the claim and each step are committed rows with their events, "
        "an access to MCP is issued, and a small Python program is started that watches the "
        "process so that its end is on record whatever happens. That takes the same time however "
        "large the repository."
    ),
    POSTED: (
        "a goal is a job before its tasks are ready: the worker asks the remote for the branch "
        "and, at the same time, tries a push (`--dry-run`) before anybody begins, which a bare "
        "worktree does not."
    ),
}

SETTINGS = f"""- **A ready task to its process**: a real node with one idle agent of the tool \
`shell`; a goal of one subtask is posted over REST. From the moment its subtask is stored as ready \
(`created_at`), and from the POST, until the first command of the agent has said what time it is. \
Beside it, in turn and on the same machine: `git worktree add` in a bare clone and \
`tmux send-keys` of that command into a shell that waits. The repository has files of \
{FILE_BYTES:,} bytes, all of which both ways check out. Either way is watched by the file that the \
command writes, so that no question slows down who is asked. The first round of each does not count.
- **Monitor**: 20 agents in tmux redraw a spinner ten times a second and nobody watches; CPU time \
of the monitor's process, its threads included, through wall time.
- **Dispatch**: 1,000 subtasks of 125 goals wait, one agent is idle; a decision finds it the next \
one. It is judged by the CPU time of the process, of which the database is a part; the time on the \
clock stands beside it, and one task read by its id shows how fast the machine was. Committed, it \
also writes the claim, its history and the run.
- **List**: a page of 50 in the middle of 10,000 tasks, against the query that loads the same rows.
"""

CAVEATS = """- The stages are told apart by the times that the node itself keeps; their medians \
need not add up to the median of the whole.
- The remote is a folder on the same disk. A bare worktree asks no remote; a goal does, once.
- The worker that prepares goals is a process of its own: on a busy machine it waits for its turn.
- Figures of a busy machine mean little: the spread between the rounds tells.
"""
