"""Defects of the reference implementation around merging, each shown not to be here."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.local import local_node
from p2p.protocol.errors import DomainError, ExternalError
from swarm.gate.batch import trials
from swarm.gate.gate import run_gate
from swarm.git.command import run_git
from swarm.git.names import integration_branch
from swarm.git.repository import Repository
from swarm.models import MergeRun, Task, TestRun
from swarm.services.attempts import Assignment
from swarm.services.dispatch import dispatch_ready
from tests.support.gate_goals import a_goal, after_gate, pushed, report
from tests.support.git_remote import GitRemote

pytestmark = pytest.mark.django_db(transaction=True)


def files_of(remote: GitRemote, commit: str) -> list[str]:
    return run_git(["ls-tree", "--name-only", commit], cwd=remote.path).stdout.split()


@pytest.mark.parametrize(("name", "text"), [("1", "BUG {}\n"), ("README", "mine {}\n")])
def test_defect_01_stale_rows_give_a_culprit_no_further_attempts(
    remote: GitRemote, name: str, text: str
) -> None:
    """The gate is always given the rows as they were before the first attempt."""
    goal = a_goal(remote, "One,Two")
    report(goal, 2, remote, {"README": "settled\n"})
    stale = Task.objects.get(id=goal.id)
    run_gate(stale)

    statuses = []
    for number in range(3):
        report(goal, 1, remote, {name: text.format(number)})
        run_gate(stale)
        statuses.append(goal.subtasks.get(number=1).status)

    assert statuses == ["pending", "pending", "failed"]
    assert goal.subtasks.get(number=1).attempt == 3
    goal.refresh_from_db()
    assert goal.status == "failed"


def test_defect_08_what_somebody_pushed_past_the_gate_completes_nothing(
    remote: GitRemote,
) -> None:
    goal = a_goal(remote, "One")
    branch = integration_branch(goal.id)
    foreign = remote.push(branch, {"1": "1\n"}, start=goal.base_commit)

    assert after_gate(goal) == ["pending"]
    assert goal.status == "in_progress"

    report(goal, 1, remote, {"2": "2\n"})
    assert after_gate(goal) == ["completed"]
    assert files_of(remote, goal.merged_commit) == ["1", "2", "README"]
    adopted = MergeRun.objects.get(outcome="adopted")
    assert (adopted.base_commit, adopted.head_commit) == (goal.base_commit, foreign)
    assert adopted.test_run is not None and adopted.test_run.passed


def test_defect_08_what_somebody_pushed_red_past_the_gate_is_no_base(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"1": "BUG\n"})
    branch = integration_branch(goal.id)
    run_git(["update-ref", f"refs/heads/{branch}", task.commit], cwd=remote.path)

    with pytest.raises(DomainError) as refused:
        run_gate(goal)

    assert refused.value.code == "integration_red"
    goal.refresh_from_db()
    assert (goal.base_red, goal.integration_commit) == (False, "")
    assert goal.subtasks.get().status == "merging"


def test_defect_12_work_that_is_sent_back_stays_on_its_branch(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    first = report(goal, 1, remote, {"1": "BUG\n"})
    after_gate(goal)

    second = report(goal, 1, remote, {"1": "1\n"})

    assert after_gate(goal) == ["completed"]
    refs = remote.refs()
    assert refs[f"refs/heads/{first.git_branch}"] == first.commit
    assert refs[f"refs/heads/{second.git_branch}"] == second.commit
    assert second.git_branch == f"{first.git_branch}-2"


def test_defect_13_a_commit_that_was_never_pushed_counts_for_nothing(
    remote: GitRemote, tmp_path: Path
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"1": "1\n"})
    clone = Repository(str(remote.path), local_node().home)
    tree = clone.git("rev-parse", f"{goal.base_commit}^{{tree}}").stdout.strip()
    local = run_git(
        ["commit-tree", "-p", goal.base_commit, "-m", "local only", tree],
        cwd=clone.path,
        env_extra={
            f"GIT_{who}_{what}": "x"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    ).stdout.strip()
    Task.objects.filter(id=task.id).update(commit=local)

    assert after_gate(goal) == ["pending"]

    assert goal.subtasks.get().error.startswith(f"reported {local[:8]} on task/")
    assert pushed(goal, remote) is None


def test_defect_13_a_push_that_the_remote_does_not_keep_completes_nothing(
    remote: GitRemote,
) -> None:
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"1": "1\n"})
    hook = remote.path / "hooks" / "post-update"
    hook.write_text('#!/bin/sh\ncase $1 in refs/heads/integrate/*) git update-ref -d "$1";; esac\n')
    hook.chmod(0o755)

    with pytest.raises(DomainError) as lost:
        run_gate(goal)

    assert lost.value.code == "remote_moved"
    assert goal.subtasks.get().status == "merging"
    hook.unlink()
    assert after_gate(goal) == ["completed"]


def test_defect_14_goals_and_repositories_do_not_share_what_they_merge(
    remote: GitRemote, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = GitRemote(tmp_path / "other")
    other.push("main", {"README": "another project\n"})
    goals = [a_goal(remote, "One"), a_goal(remote, "One"), a_goal(other, "One")]
    for goal, where, name in zip(goals, (remote, remote, other), "abc", strict=True):
        report(goal, 1, where, {name: "x\n"})

    assert [after_gate(goal) for goal in goals] == [["completed"]] * 3

    assert files_of(remote, goals[0].merged_commit) == ["README", "a"]
    assert files_of(remote, goals[1].merged_commit) == ["README", "b"]
    assert files_of(other, goals[2].merged_commit) == ["README", "c"]


def test_defect_15_a_dependant_starts_from_its_prerequisites_code(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One,Two (after: 1)")
    assert goal.subtasks.get(number=2).status == "blocked"
    report(goal, 1, remote, {"needed": "1\n"})
    assert goal.subtasks.get(number=2).status == "blocked", "a report is no proof"

    assert after_gate(goal) == ["completed", "pending"]

    assert "needed" in files_of(remote, base_given_to(goal.subtasks.get(number=2), monkeypatch))


def base_given_to(task: Task, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the commit that the dispatcher tells an agent to start from."""
    from swarm.services import dispatch
    from tests.support.factories import make_agent
    from tests.support.gate_goals import NOW

    make_agent("one")
    given: list[Assignment] = []
    monkeypatch.setattr(dispatch, "start_attempt", lambda made, *_, **__: given.append(made))
    dispatch_ready(NOW)
    [assignment] = given
    assert assignment.task_id == task.id
    return assignment.base_commit


def test_defect_16_what_cannot_be_tested_is_not_accepted(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an agent says of its work: without a test run there is no verdict."""
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"1": "1\n"})
    Task.objects.filter(id=task.id).update(result="all tests pass", progress="done, reviewed")

    def cannot_start(*_: object) -> None:
        raise ExternalError("test command cannot start", retryable=False)

    monkeypatch.setattr(trials, "carry_out", cannot_start)

    with pytest.raises(ExternalError):
        run_gate(goal)

    assert goal.subtasks.get().status == "merging"
    assert pushed(goal, remote) is None
    assert [run.state for run in TestRun.objects.all()] == ["interrupted"]
