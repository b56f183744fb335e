"""Conflicts in an agent's worktree: left for it, described, and taken only when resolved."""

from __future__ import annotations

import pytest

from p2p.protocol.errors import DomainError
from swarm.git.command import run_git
from swarm.git.committing import commit_all
from swarm.git.conflicts import (
    describe_conflict,
    leave_conflict,
    merge_under_way,
    require_no_markers,
)
from swarm.git.removal import remove_worktree
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree
from tests.support.git_remote import GitRemote

BRANCH = "task/0a1b2c3d-2"
AUTHOR = "Agent One <agent@example.invalid>"
MERGED = "one\nboth\nthree\n"


class Meeting:
    """A worktree at our side's commit, and the other side's commit that is to be merged."""

    def __init__(
        self,
        repo: Repository,
        remote: GitRemote,
        base: str,
        ours: dict[str, str | None],
        theirs: dict[str, str | None],
    ) -> None:
        self.repo = repo
        self.ours = remote.push("task/0a1b2c3d", ours, start=base)
        self.theirs = remote.push("integrate/00000000", theirs, start=base)
        repo.fetch()
        path = repo.home / "worktrees" / "two"
        self.tree = add_worktree(repo, path, BRANCH, self.ours).path
        leave_conflict(self.tree, self.theirs, AUTHOR)

    def parents(self) -> list[str]:
        shown = run_git(["rev-list", "--parents", "-1", "HEAD"], cwd=self.tree).stdout
        return shown.split()[1:]


@pytest.fixture
def meeting(repo: Repository, remote: GitRemote, base: str) -> Meeting:
    """Both sides changed the second line of the same file."""
    return Meeting(
        repo,
        remote,
        base,
        {"shared.txt": "one\nours\nthree\n", "ours.txt": "ours\n"},
        {"shared.txt": "one\ntheirs\nthree\n", "theirs.txt": "theirs\n"},
    )


def test_the_worktree_holds_both_sides_and_the_marked_conflict(meeting: Meeting) -> None:
    text = (meeting.tree / "shared.txt").read_text()

    assert text.splitlines()[1:8] == [
        "<<<<<<< HEAD",
        "ours",
        f"||||||| {text.split('||||||| ')[1].split()[0]}",
        "two",
        "=======",
        "theirs",
        f">>>>>>> {meeting.theirs}",
    ]
    assert (meeting.tree / "ours.txt").exists()
    assert (meeting.tree / "theirs.txt").exists()


def test_the_other_side_is_told_by_its_intents_and_its_diff(
    repo: Repository, remote: GitRemote, base: str, meeting: Meeting
) -> None:
    told = describe_conflict(repo, meeting.ours, meeting.theirs, ["shared.txt"])

    assert told.paths == ["shared.txt"]
    assert told.intents == ["change integrate/00000000"]
    assert "-two\n+theirs\n" in told.diff
    assert "theirs.txt" not in told.diff


def test_a_long_diff_is_cut_and_says_so(repo: Repository, remote: GitRemote, base: str) -> None:
    many = "".join(f"line {number}\n" for number in range(2000))
    meeting = Meeting(repo, remote, base, {"shared.txt": "ours\n"}, {"shared.txt": many})

    told = describe_conflict(repo, meeting.ours, meeting.theirs, ["shared.txt"])

    assert told.diff.endswith(" characters]")
    assert len(told.diff) < 6_100


def test_what_was_resolved_by_editing_alone_is_committed_as_the_merge(meeting: Meeting) -> None:
    (meeting.tree / "shared.txt").write_text(MERGED)

    commit_all(meeting.tree, "Part", AUTHOR)

    assert meeting.parents() == [meeting.ours, meeting.theirs]
    assert not merge_under_way(meeting.tree)
    shown = run_git(["show", "HEAD:shared.txt"], cwd=meeting.tree).stdout
    assert shown == MERGED


def test_a_merge_resolved_to_our_side_alone_is_concluded(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    meeting = Meeting(repo, remote, base, {"shared.txt": "ours\n"}, {"shared.txt": "theirs\n"})
    (meeting.tree / "shared.txt").write_text("ours\n")

    commit_all(meeting.tree, "Part", AUTHOR)

    assert meeting.parents() == [meeting.ours, meeting.theirs]


def test_markers_are_refused_and_nothing_is_committed(meeting: Meeting) -> None:
    with pytest.raises(DomainError, match=r"unresolved conflicts in shared\.txt: resolve") as seen:
        commit_all(meeting.tree, "Part", AUTHOR)

    assert seen.value.code == "unmerged_files"
    assert meeting.repo.local_head(BRANCH) == meeting.ours


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"shared.txt": None}, {"shared.txt": "one\ntheirs\nthree\n"}),
        ({"shared.txt": "one\nours\nthree\n"}, {"shared.txt": None}),
        ({"shared.txt": "\0ours"}, {"shared.txt": "\0theirs"}),
    ],
    ids=["deleted by us", "deleted by them", "binary"],
)
def test_what_no_text_tells_resolved_has_to_be_added_or_removed(
    repo: Repository,
    remote: GitRemote,
    base: str,
    ours: dict[str, str | None],
    theirs: dict[str, str | None],
) -> None:
    meeting = Meeting(repo, remote, base, {"a.txt": "a", **ours}, {"b.txt": "b", **theirs})

    with pytest.raises(DomainError, match=r"unresolved conflicts in shared\.txt"):
        commit_all(meeting.tree, "Part", AUTHOR)
    (meeting.tree / "shared.txt").write_text("decided\n")
    run_git(["add", "shared.txt"], cwd=meeting.tree)
    commit_all(meeting.tree, "Part", AUTHOR)

    assert meeting.parents() == [meeting.ours, meeting.theirs]


def test_markers_that_an_agent_committed_are_named(meeting: Meeting) -> None:
    run_git(["add", "--all"], cwd=meeting.tree)
    commit_all(meeting.tree, "Part", AUTHOR)

    with pytest.raises(DomainError, match=r"conflict markers are left in shared\.txt") as seen:
        require_no_markers(meeting.tree, ["shared.txt", "gone.txt"])
    assert seen.value.code == "conflict_markers"

    (meeting.tree / "shared.txt").write_text(MERGED)
    require_no_markers(meeting.tree, ["shared.txt", "gone.txt"])


def test_a_repeated_set_up_leaves_half_resolved_and_done_merges_alone(meeting: Meeting) -> None:
    (meeting.tree / "shared.txt").write_text(MERGED)
    leave_conflict(meeting.tree, meeting.theirs, AUTHOR)
    assert (meeting.tree / "shared.txt").read_text() == MERGED

    done = commit_all(meeting.tree, "Part", AUTHOR)
    leave_conflict(meeting.tree, meeting.theirs, AUTHOR)
    assert meeting.repo.local_head(BRANCH) == done


def test_an_unresolved_conflict_is_rescued_before_its_worktree_goes(
    meeting: Meeting, remote: GitRemote
) -> None:
    (meeting.tree / "half.txt").write_text("half\n")

    refs = remove_worktree(meeting.repo, meeting.tree, BRANCH)

    assert not meeting.tree.exists()
    kept = [(remote.text(ref, "half.txt"), remote.text(ref, "shared.txt")) for ref in refs]
    [marked] = [shared for half, shared in kept if half == "half\n"]
    assert "<<<<<<< HEAD\nours\n" in marked
