"""The merge gate on real git repositories: what is merged, tested, pushed, and what goes back."""

from __future__ import annotations

import pytest
from django.conf import settings

from p2p.protocol.errors import DomainError, ExternalError
from swarm.gate.gate import run_gate
from swarm.gate.preparation import prepare_goal
from swarm.git.command import run_git
from swarm.git.integration import Integration
from swarm.git.names import integration_branch
from swarm.git.repository import Repository
from swarm.models import MergeRun, Task, TestRun
from swarm.services import goals
from swarm.states import TaskStatus
from tests.support.gate_goals import NOW, a_goal, after_gate, pushed, report
from tests.support.git_remote import GitRemote

pytestmark = pytest.mark.django_db(transaction=True)

SHELL = "  ```sh\n  true\n  ```\n"


@pytest.mark.parametrize(
    ("base_branch", "why"),
    [("none", "has no branch 'none'"), ("main", "the remote takes no push")],
)
def test_a_goal_is_planned_only_on_a_branch_that_exists_of_a_remote_that_takes_pushes(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch, base_branch: str, why: str
) -> None:
    refusal = ExternalError("the remote takes no push", retryable=False)
    monkeypatch.setattr(Repository, "can_push", lambda _: refusal)
    outline = f"# Goal\n\n- [ ] One\n{SHELL}"
    request = goals.GoalRequest(
        description=outline, repository=str(remote.path), base_branch=base_branch
    )
    goal = goals.create_goal(request, now=NOW)

    with pytest.raises((DomainError, ExternalError), match=why):
        prepare_goal(goal)

    goal.refresh_from_db()
    assert (goal.status, goal.subtasks.count()) == ("planning", 0)


def test_a_green_batch_is_pushed_and_completes_the_goal(remote: GitRemote) -> None:
    goal = a_goal(remote)
    report(goal, 1, remote, {"one": "1\n"})
    report(goal, 2, remote, {"two": "2\n"})

    assert after_gate(goal) == ["completed", "completed"]

    assert goal.status == TaskStatus.COMPLETED
    assert goal.integration_commit == pushed(goal, remote) == goal.merged_commit
    assert goal.result == f"{integration_branch(goal.id)} at {goal.merged_commit}"
    assert TestRun.objects.count() == 1, "the integrated commit was tested once, not twice"


def test_a_report_that_the_remote_does_not_show_is_sent_back(remote: GitRemote) -> None:
    goal = a_goal(remote)
    task = report(goal, 1, remote, {"one": "1\n"})
    Task.objects.filter(id=task.id).update(commit="d" * 40)

    assert after_gate(goal) == ["pending", "pending"]

    task.refresh_from_db()
    assert task.error.startswith("reported dddddddd on task/")
    assert pushed(goal, remote) is None


def test_a_commit_that_adds_nothing_to_its_base_is_no_result(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    branch = f"refs/heads/{task.git_branch}"
    run_git(["update-ref", branch, goal.base_commit], cwd=remote.path)
    Task.objects.filter(id=task.id).update(commit=goal.base_commit, base_commit=goal.base_commit)

    assert after_gate(goal) == ["pending"]

    task.refresh_from_db()
    base = goal.base_commit[:8]
    assert task.error == f"reported {base} adds nothing to its base {base}"
    assert pushed(goal, remote) is None


def test_a_branch_that_moved_after_its_report_costs_its_own_subtask_only(
    remote: GitRemote,
) -> None:
    goal = a_goal(remote)
    lost = report(goal, 1, remote, {"one": "1\n"})
    Task.objects.filter(id=lost.id).update(status=TaskStatus.MERGING, commit="d" * 40)
    report(goal, 2, remote, {"two": "2\n"})

    assert after_gate(goal) == ["pending", "completed"]

    lost.refresh_from_db()
    assert lost.error.startswith(f"cannot be merged: commit {'d' * 40} is not in ")
    assert goal.status == TaskStatus.IN_PROGRESS


def test_a_subtask_cancelled_while_the_gate_is_at_work_takes_no_sibling_along(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote)
    cancelled = report(goal, 1, remote, {"one": "1\n"})
    report(goal, 2, remote, {"two": "2\n"})
    push = Integration.push

    def cancel_and_push(integration: Integration, expected: str | None) -> str:
        goals.cancel_task(cancelled.id, reason="not wanted", now=NOW)
        return push(integration, expected)

    monkeypatch.setattr(Integration, "push", cancel_and_push)

    assert after_gate(goal) == ["cancelled", "completed"]

    assert goal.integration_commit == pushed(goal, remote)


def test_the_culprit_of_a_red_batch_goes_back_and_the_others_are_merged(
    remote: GitRemote,
) -> None:
    goal = a_goal(remote, "One,Two,Three")
    report(goal, 1, remote, {"one": "1\n"})
    report(goal, 2, remote, {"two": "BUG\n"})
    report(goal, 3, remote, {"three": "3\n"})

    assert after_gate(goal) == ["completed", "pending", "completed"]

    culprit = goal.subtasks.get(number=2)
    assert "the tests turned red" in culprit.error
    assert [run.outcome for run in MergeRun.objects.filter(goal=goal)] == [
        "split",
        "suspect",
        "merged",
        "red",
    ]
    assert goal.status == TaskStatus.IN_PROGRESS
    report(goal, 2, remote, {"two": "2\n"})
    assert after_gate(goal) == ["completed"] * 3
    assert goal.status == TaskStatus.COMPLETED


def test_the_last_of_three_red_attempts_fails_with_its_evidence(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    for number in range(3):
        report(goal, 1, remote, {"one": f"BUG {number}\n"})
        after_gate(goal)

    task = goal.subtasks.get(number=1)
    assert (task.status, task.attempt, goal.status) == ("failed", 3, TaskStatus.FAILED)
    last = task.events.last()
    assert last is not None and "attempt 3 was the last" in last.reason
    assert TestRun.objects.get(id=last.evidence["test_run"]).exit_code == 1
    assert pushed(goal, remote) is None


def test_a_conflict_goes_back_with_the_paths(remote: GitRemote) -> None:
    goal = a_goal(remote)
    report(goal, 1, remote, {"README": "mine\n"})
    report(goal, 2, remote, {"README": "yours\n"})

    assert after_gate(goal) == ["completed", "pending"]

    assert goal.subtasks.get(number=2).error == "conflicts with the integration branch: README"
    assert MergeRun.objects.get(outcome="conflict").detail == {"paths": ["README"]}


def test_a_red_base_is_recorded_and_blamed_on_nobody_but_the_goal(remote: GitRemote) -> None:
    remote.push("main", {"broken": "BUG\n"})
    goal = a_goal(remote, "One,Two")
    report(goal, 1, remote, {"one": "1\n"})
    assert after_gate(goal) == ["completed", "pending"]
    assert goal.base_red

    report(goal, 2, remote, {"two": "2\n"})
    assert after_gate(goal) == ["completed", "completed"]

    assert goal.status == TaskStatus.FAILED
    assert goal.error.startswith("the tests are red at the integrated commit")


def test_a_red_base_may_be_mended_by_a_subtask(remote: GitRemote) -> None:
    remote.push("main", {"broken": "BUG\n"})
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"broken": "mended\n"})

    assert after_gate(goal) == ["completed"]
    assert goal.status == TaskStatus.COMPLETED


def test_a_test_of_its_own_decides_a_subtask(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    task = goal.subtasks.get(number=1)
    Task.objects.filter(id=task.id).update(test_command="test -f proof")
    report(goal, 1, remote, {"one": "1\n"})
    assert after_gate(goal) == ["pending"]

    report(goal, 1, remote, {"one": "1\n", "proof": "p\n"})
    assert after_gate(goal) == ["completed"]


def test_a_test_command_that_hangs_is_ended_and_named(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        settings, "ENVIRONMENT", settings.ENVIRONMENT.model_copy(update={"test_time_limit_s": 1})
    )
    goal = a_goal(remote, "One", "test -f one && sleep 600 || true")
    report(goal, 1, remote, {"one": "1\n"})

    assert after_gate(goal) == ["pending"]

    assert "ran longer than its limit of" in goal.subtasks.get(number=1).error
    hanging = TestRun.objects.filter(timed_out=True)
    assert [(run.number, run.exit_code) for run in hanging] == [(1, None), (2, None)]


def test_without_a_test_command_the_merge_says_so(remote: GitRemote) -> None:
    goal = a_goal(remote, "One", "")
    report(goal, 1, remote, {"one": "1\n"})

    after_gate(goal)

    last = goal.events.last()
    assert last is not None and last.reason.startswith("no test command was given")


def test_a_gate_that_died_after_its_push_completes_without_a_second_merge(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"one": "1\n"})

    def dies(*_: object, **__: object) -> None:
        raise ExternalError("killed", retryable=True)

    with monkeypatch.context() as patched:
        patched.setattr("swarm.gate.accepting._complete_batch", dies)
        with pytest.raises(ExternalError):
            run_gate(goal)
    first = pushed(goal, remote)
    assert first is not None
    assert goal.subtasks.get().status == TaskStatus.MERGING

    assert after_gate(goal) == ["completed"]

    assert pushed(goal, remote) == first
    assert TestRun.objects.count() == 1


def test_a_remote_that_goes_away_is_an_error_worth_another_try(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"one": "1\n"})
    remote.path.rename(remote.path.with_suffix(".away"))

    with pytest.raises(ExternalError) as away:
        run_gate(goal)

    assert away.value.retryable
    assert goal.subtasks.get().status == TaskStatus.PENDING_REVIEW
