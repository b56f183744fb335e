from __future__ import annotations

from pathlib import Path

from swarm.git.attempts import Start, start_point
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree
from tests.support.git_remote import GitRemote

PREVIOUS = "task/0a1b2c3d"


def test_first_attempt_starts_at_the_base(repo: Repository, base: str) -> None:
    assert start_point(repo, base, None) == Start(base)
    assert start_point(repo, base, "") == Start(base)


def test_previous_branch_that_was_never_pushed(repo: Repository, base: str) -> None:
    assert start_point(repo, base, PREVIOUS) == Start(base)


def test_previous_head_that_holds_the_base(repo: Repository, remote: GitRemote, base: str) -> None:
    head = remote.push(PREVIOUS, {"work.txt": "work"})

    assert start_point(repo, base, PREVIOUS) == Start(head)


def test_newer_base_that_holds_the_previous_head(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    head = remote.push(PREVIOUS, {"work.txt": "work"})
    newer = remote.push("main", {"more.txt": "more"}, start=head)
    repo.fetch()

    assert start_point(repo, newer, PREVIOUS) == Start(newer)


def test_clean_merge_of_both_is_the_same_commit_each_time(
    repo: Repository, remote: GitRemote, base: str, tmp_path: Path
) -> None:
    head = remote.push(PREVIOUS, {"work.txt": "work"})
    newer = remote.push("main", {"more.txt": "more"}, start=base)
    repo.fetch()

    start = start_point(repo, newer, PREVIOUS).commit

    assert Start(start) == start_point(repo, newer, PREVIOUS)
    assert repo.is_ancestor(head, start)
    assert repo.is_ancestor(newer, start)
    made = add_worktree(repo, tmp_path / "wt", f"{PREVIOUS}-2", start)
    again = add_worktree(repo, tmp_path / "wt", f"{PREVIOUS}-2", start)
    assert made == again
    assert (tmp_path / "wt" / "work.txt").read_text() == "work"
    assert (tmp_path / "wt" / "more.txt").read_text() == "more"


def test_a_conflict_with_the_new_base_starts_at_the_previous_head_and_names_the_paths(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    head = remote.push(PREVIOUS, {"shared.txt": "work\n"})
    newer = remote.push("main", {"shared.txt": "other\n"}, start=base)
    repo.fetch()

    assert start_point(repo, newer, PREVIOUS) == Start(head, ["shared.txt"])
