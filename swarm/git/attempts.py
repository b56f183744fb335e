"""Where a further attempt starts: from the last one's work, brought up to its base."""

from __future__ import annotations

from swarm.git.merging import GATE_AUTHOR, commit_merge, forecast_merge, latest_date
from swarm.git.repository import Repository


def start_point(repo: Repository, base_commit: str, previous_branch: str | None) -> str:
    """Return the start commit: the previous head, it with the base merged in, or the base.

    The same arguments give the same commit again, so that a repeated set-up finds its branch.
    """
    repo.require_commit(base_commit)
    head = repo.remote_head(previous_branch) if previous_branch else None
    if not previous_branch or head is None:
        return base_commit
    repo.fetch_commit(previous_branch, head)
    if repo.is_ancestor(base_commit, head):
        return head
    if repo.is_ancestor(head, base_commit):
        return base_commit
    forecast = forecast_merge(repo.path, head, base_commit)
    if not forecast.clean:
        return base_commit
    message = f"Merge {base_commit[:12]} into {previous_branch}"
    parents = (head, base_commit)
    date = latest_date(repo.path, parents)
    return commit_merge(repo.path, forecast.tree, parents, message, author=GATE_AUTHOR, date=date)
