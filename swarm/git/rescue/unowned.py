"""Commits that no ref and no worktree reaches any more: a ref for each, before they are missed."""

from __future__ import annotations

from swarm.git.command import run_git
from swarm.git.merging import AUTHOR_EMAIL
from swarm.git.repository import Repository
from swarm.git.rescue.commits import commits_of, ids_in, loose_objects, tips_beyond

UNOWNED = "refs/voidlux/rescue/unowned"
OLDER_THAN_S = 5.0  # a commit that is being made has its object before its ref


def keep_unowned(repo: Repository, *, older_than_s: float = OLDER_THAN_S) -> list[str]:
    """Put a ref on commits made in the clone that only their objects prove; returns new refs.

    An agent may expire reflogs, drop a stash or delete its branch: the objects stay, because
    the clone forbids to delete any.  What a worktree's own reflog reaches is rescued with it.
    """
    objects = loose_objects(repo.path / "objects", older_than_s=older_than_s)
    made = _without_gates(repo, commits_of(repo.path, objects))
    if not made:
        return []
    with repo.locked():
        heads = ids_in((repo.path / "worktrees").glob("*/logs/HEAD"))
        tips = tips_beyond(repo.path, made, ["--all", *commits_of(repo.path, heads)])
        for tip in tips:
            repo.git("update-ref", f"{UNOWNED}/{tip[:12]}", tip)
    return [f"{UNOWNED}/{tip[:12]}" for tip in tips]


def _without_gates(repo: Repository, commits: list[str]) -> list[str]:
    """Leave out what the gate made while it tried merges, which it can make again."""
    if not commits:
        return []
    args = ["log", "--no-walk=unsorted", "--format=%H %ce", "--stdin"]
    stdin = "".join(f"{each}\n" for each in commits)
    lines = run_git(args, cwd=repo.path, stdin=stdin).stdout.splitlines()
    pairs = (line.partition(" ") for line in lines)
    return [commit for commit, _, committer in pairs if committer != AUTHOR_EMAIL]
