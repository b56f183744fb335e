"""Where a further attempt starts: from the last one's work, brought up to its base."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm.git.merging import GATE_AUTHOR, commit_merge, forecast_merge, latest_date
from swarm.git.repository import Repository


@dataclass(frozen=True, slots=True)
class Start:
    """Where an attempt's branch begins; `conflicts` names the paths in which it meets its base.

    With conflicts `commit` is the previous head, and the base is still to be merged into it.
    """

    commit: str
    conflicts: list[str] = field(default_factory=list)


def start_point(repo: Repository, base_commit: str, previous_branch: str | None) -> Start:
    """Return the start: the previous head, it with the base merged in, or the base.

    The same arguments give the same commit again, so that a repeated set-up finds its branch.
    """
    repo.require_commit(base_commit)
    head = repo.remote_head(previous_branch) if previous_branch else None
    if not previous_branch or head is None:
        return Start(base_commit)
    repo.fetch_commit(previous_branch, head)
    if repo.is_ancestor(base_commit, head):
        return Start(head)
    if repo.is_ancestor(head, base_commit):
        return Start(base_commit)
    forecast = forecast_merge(repo.path, head, base_commit)
    if forecast.conflicts:
        return Start(head, forecast.conflicts)
    if not forecast.clean:  # no common history
        return Start(base_commit)
    message = f"Merge {base_commit[:12]} into {previous_branch}"
    parents = (head, base_commit)
    date = latest_date(repo.path, parents)
    tree = forecast.tree
    return Start(commit_merge(repo.path, tree, parents, message, author=GATE_AUTHOR, date=date))
