"""The slow steps of an attempt on real git: where it works and what it may report."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from p2p.local import LocalNode, acting_as, local_node
from p2p.protocol.errors import DomainError
from swarm.agents import steps
from swarm.agents.places import worktree_of
from swarm.agents.prompts import prompt_of
from swarm.agents.tmux import TmuxServer
from swarm.git.command import run_git
from swarm.git.committing import commit_all
from swarm.git.names import attempt_branch
from swarm.git.repository import Repository
from swarm.models import Agent, Attempt
from tests.support.git_remote import GitRemote
from tests.swarm.agents.waiting import wait_for

TASK_ID = uuid.UUID("5" * 32)
BRANCH = "task/55555555"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    node = local_node()
    with acting_as(LocalNode(tmp_path / "home", node.identity, node.network, node.swarm)):
        yield tmp_path / "home"


def an_attempt(
    remote: GitRemote,
    base: str,
    assigner_node_id: str = "a" * 32,
    task_id: uuid.UUID = TASK_ID,
    **fields: Any,
) -> Attempt:
    """Return an attempt whose worktree is set up; nothing is stored."""
    attempt = Attempt(
        task_id=task_id,
        assigner_node_id=assigner_node_id,
        title="Part",
        number=1,
        generation=1,
        shell="true",
        repository=str(remote.path),
        base_commit=base,
        branch=attempt_branch(task_id, 1),
        created_at=datetime.now(UTC),
        **fields,
    )
    steps.set_up(attempt)
    return attempt


def a_remote(folder: Path) -> tuple[GitRemote, str]:
    folder.mkdir()
    remote = GitRemote(folder)
    return remote, remote.push("main", {"README": "hello\n"})


def test_a_first_attempt_in_a_known_clone_takes_one_command_of_git(
    home: Path, tmp_path: Path, git_commands: list[str]
) -> None:
    remote, base = a_remote(tmp_path / "git")
    an_attempt(remote, base)
    an_attempt(remote, base, task_id=uuid.UUID("6" * 32))
    git_commands.clear()

    another = an_attempt(remote, base, task_id=uuid.UUID("7" * 32))

    assert git_commands == ["worktree add"]
    assert (worktree_of(another) / "README").read_text() == "hello\n"


def test_a_session_that_is_gone_or_over_is_started_for_the_delivery(
    home: Path, tmp_path: Path, tmux: TmuxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, base = a_remote(tmp_path / "git")
    monkeypatch.setattr(steps, "tmux_server", lambda: tmux)
    attempt = an_attempt(remote, base)
    attempt.agent = Agent(name="one", tool="shell", session="vl-one")

    steps.deliver(attempt)
    wait_for(lambda: steps.observe(attempt).code == 0)
    tmux.paste("vl-one", "exit 3", enter=True)
    wait_for(lambda: tmux.pane_dead("vl-one") == 3)
    other = an_attempt(remote, base, task_id=uuid.UUID("6" * 32))
    other.agent = attempt.agent
    steps.deliver(other)

    wait_for(lambda: steps.observe(other).code == 0)


def test_another_assigner_with_the_same_task_id_gets_a_worktree_of_its_own(
    home: Path, tmp_path: Path
) -> None:
    mine = an_attempt(*a_remote(tmp_path / "mine"))
    (worktree_of(mine) / "half.txt").write_text("half")

    theirs = an_attempt(*a_remote(tmp_path / "theirs"), assigner_node_id="b" * 32)

    assert worktree_of(theirs) != worktree_of(mine)
    assert (worktree_of(mine) / "half.txt").read_text() == "half"


@pytest.mark.parametrize("whose", [{"tribute_id": uuid.UUID("8" * 32)}, {"term": 2}])
def test_a_buyer_or_a_later_term_cannot_share_the_worktree_of_the_same_repository(
    home: Path, tmp_path: Path, whose: dict[str, Any]
) -> None:
    remote, base = a_remote(tmp_path / "git")
    mine = an_attempt(remote, base)

    with pytest.raises(DomainError, match=f"branch {BRANCH} is at work in worktree") as refused:
        an_attempt(remote, base, assigner_node_id="b" * 32, **whose)

    assert refused.value.code == "branch_in_use"
    assert worktree_of(mine).exists()


def test_a_run_keeps_its_worktree_when_another_emperor_becomes_its_assigner(
    home: Path, tmp_path: Path
) -> None:
    attempt = an_attempt(*a_remote(tmp_path / "git"))
    (worktree_of(attempt) / "half.txt").write_text("half")

    attempt.assigner_node_id = "b" * 32

    assert steps.publish(attempt) == a_remote_head(attempt)


def a_remote_head(attempt: Attempt) -> str:
    shown = run_git(["ls-remote", attempt.repository, f"refs/heads/{attempt.branch}"])
    return shown.stdout.split()[0]


def test_an_attempt_goes_on_from_what_another_node_pushed(home: Path, tmp_path: Path) -> None:
    remote, base = a_remote(tmp_path / "git")
    first = an_attempt(remote, base)
    (worktree_of(first) / "half.txt").write_text("half")
    assert steps.salvage(first) is True
    moved = remote.push("main", {"more.txt": "more"}, start=base)

    node = local_node()
    with acting_as(LocalNode(tmp_path / "other", node.identity, node.network, node.swarm)):
        second = the_next_attempt(remote, moved)
        steps.set_up(second)
        names = {path.name for path in worktree_of(second).iterdir()}

    assert names == {".git", "README", "half.txt", "more.txt"}


def test_a_worktree_deleted_by_hand_is_named_and_its_commits_are_pushed(
    home: Path, tmp_path: Path
) -> None:
    remote, base = a_remote(tmp_path / "git")
    attempt = an_attempt(remote, base)
    worktree = worktree_of(attempt)
    (worktree / "half.txt").write_text("half")
    commit = commit_all(worktree, "half", "a <a@a.invalid>")
    shutil.rmtree(worktree)

    with pytest.raises(DomainError, match="was deleted") as gone:
        steps.publish(attempt)

    assert gone.value.code == "worktree_gone"
    assert steps.salvage(attempt) is True
    assert remote.refs()[f"refs/heads/{BRANCH}"] == commit
    assert steps.clean_up(attempt) == []


@pytest.mark.parametrize("switch", [["switch", "-qc", "mine"], ["switch", "-q", "--detach"]])
def test_work_beside_the_branch_is_not_reported_but_rescued(
    home: Path, tmp_path: Path, switch: list[str]
) -> None:
    remote, base = a_remote(tmp_path / "git")
    attempt = an_attempt(remote, base)
    worktree = worktree_of(attempt)
    run_git(switch, cwd=worktree)
    (worktree / "work.txt").write_text("work")

    with pytest.raises(DomainError, match=f"the run left {BRANCH} for ") as refused:
        steps.publish(attempt)
    [ref] = steps.clean_up(attempt)

    assert refused.value.code == "wrong_branch"
    assert set(remote.refs()) == {"refs/heads/main", ref}
    assert run_git(["show", f"{ref}:work.txt"], cwd=remote.path).stdout == "work"
    assert not worktree.exists()


def a_second_attempt(folder: Path) -> tuple[GitRemote, Attempt]:
    """Return an attempt whose earlier work meets its base in README; no worktree yet."""
    remote, base = a_remote(folder)
    first = an_attempt(remote, base)
    (worktree_of(first) / "README").write_text("ours\n")
    steps.publish(first)
    moved = remote.push("main", {"README": "theirs\n"}, start=base)
    return remote, the_next_attempt(remote, moved)


def the_next_attempt(remote: GitRemote, base: str) -> Attempt:
    """Return the attempt that goes on from the first one's branch, on another base."""
    return Attempt(
        task_id=TASK_ID,
        assigner_node_id="a" * 32,
        title="Part",
        number=2,
        generation=2,
        shell="true",
        repository=str(remote.path),
        base_commit=base,
        previous_branch=BRANCH,
        branch=f"{BRANCH}-2",
        created_at=datetime.now(UTC),
    )


def test_an_agent_meets_the_conflict_of_its_earlier_work_and_reports_what_it_made_of_it(
    home: Path, tmp_path: Path
) -> None:
    remote, second = a_second_attempt(tmp_path / "git")
    steps.make_worktree(second, with_conflict=True)
    readme = worktree_of(second) / "README"

    prompt = prompt_of(second)
    told = prompt.split("## The conflict to resolve")[1].split("## How to work")[0]
    assert "- README\n" in told
    assert "What the other side wanted:\n\n- change main\n" in told
    assert "-hello\n+theirs\n```" in told

    with pytest.raises(DomainError, match="unresolved conflicts in README"):
        steps.publish(second)
    readme.write_text("both\n")
    commit = steps.publish(second)

    assert remote.text(commit, "README") == "both\n"
    repository = Repository(str(remote.path), local_node().home)
    assert repository.is_ancestor(second.base_commit, commit)


def test_conflict_markers_that_an_agent_committed_are_not_reported(
    home: Path, tmp_path: Path
) -> None:
    remote, second = a_second_attempt(tmp_path / "git")
    steps.make_worktree(second, with_conflict=True)
    run_git(["add", "--all"], cwd=worktree_of(second))

    with pytest.raises(DomainError, match="conflict markers are left in README") as refused:
        steps.publish(second)

    assert refused.value.code == "conflict_markers"
    assert f"refs/heads/{BRANCH}-2" not in remote.refs()


def test_a_block_begins_at_the_base_that_its_earlier_work_conflicts_with(
    home: Path, tmp_path: Path
) -> None:
    _, second = a_second_attempt(tmp_path / "git")

    steps.set_up(second)

    assert (worktree_of(second) / "README").read_text() == "theirs\n"
    assert "The conflict to resolve" not in prompt_of(second)
