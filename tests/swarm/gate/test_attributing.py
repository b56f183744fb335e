"""What an emperor merged, pushed and told nobody of is not done once more by the next one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from p2p.local import local_node
from p2p.models import OutboxMessage
from p2p.protocol.errors import DomainError
from p2p.registration import number_of
from swarm.git.command import run_git
from swarm.git.fence import Fence
from swarm.git.merging import AUTHOR_EMAIL
from swarm.git.repository import Repository
from swarm.messages import TaskWithdraw
from swarm.models import Job, MergeRun, Task, TaskEvent, TestRun
from swarm.replication.messages import Term
from swarm.services import goals, reports
from swarm.services.transitions import move_task
from swarm.states import Actor, JobStatus, TaskStatus
from tests.support.gate_goals import a_goal, pushed, report, report_commit
from tests.support.git_remote import IDENTITY, GitRemote
from tests.support.handing_over import Pair, run_waiting
from tests.swarm.gate.test_takeover import (
    STEPS,
    assert_integrated_once,
    fence_of,
    kill_old_after,
    wake_old,
)

GATE_IDENTITY = {
    name: AUTHOR_EMAIL if name.endswith("EMAIL") else "VoidLux gate"
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
}


def move(task: Task, *targets: TaskStatus, **columns: Any) -> None:
    """Let a subtask be given out, and worked on, by the node that acts."""
    for target in targets:
        by = Actor.DISPATCHER if target == TaskStatus.CLAIMED else Actor.REPORT
        now = task.created_at
        move_task(task.id, target, by=by, reason="r", now=now, **columns)


HOW_FAR = {
    "pending": (),
    "claimed": (TaskStatus.CLAIMED,),
    "in_progress": (TaskStatus.CLAIMED, TaskStatus.IN_PROGRESS),
    "waiting_input": (TaskStatus.CLAIMED, TaskStatus.WAITING_INPUT),
}


def report_run(pair: Pair, goal: Task, number: int, remote: GitRemote) -> None:
    """Push and report the first attempt of a subtask that may have been given out."""
    task = goal.subtasks.get(number=number)
    commit = remote.push(f"task/{task.id8}", {str(number): "x\n"}, start=goal.base_commit)
    if task.status == TaskStatus.PENDING:
        report_commit(task, commit)
        return
    if task.status == TaskStatus.WAITING_INPUT:
        move(task, TaskStatus.IN_PROGRESS)
    move(task, TaskStatus.PENDING_REVIEW, git_branch=f"task/{task.id8}", commit=commit)


def merged_and_died(pair: Pair, remote: GitRemote, how_far: str = "pending") -> Task:
    """Let members know a goal's only subtask as it is, then lose its emperor after the push."""
    with pair.at(pair.old):
        goal = a_goal(remote, "One")
        task = goal.subtasks.get()
        columns = {"assigned_node": pair.old.node_id, "attempt": 1, "generation": 1}
        move(task, *HOW_FAR[how_far], **columns)
    pair.tell()
    with pair.at(pair.old):
        report_run(pair, goal, 1, remote)
    kill_old_after(pair, goal, *STEPS["after the push"])
    return goal


def run_gates(pair: Pair) -> list[Job]:
    """Run what waits at the new emperor; nobody has reported anything to it."""
    with pair.at(pair.new):
        return run_waiting(goals.GATE)


@pytest.mark.parametrize("how_far", HOW_FAR)
def test_what_was_pushed_and_never_told_is_completed_without_its_executor(
    how_far: str, pair: Pair, remote: GitRemote
) -> None:
    goal = merged_and_died(pair, remote, how_far)
    head = pushed(goal, remote)

    pair.take_over()
    assert [task.status for task in pair.subtasks(pair.new, goal.id)] == [how_far]
    [job] = run_gates(pair)

    assert (job.status, job.error) == (JobStatus.DONE, "")
    [task] = pair.subtasks(pair.new, goal.id)
    commit = remote.refs()[f"refs/heads/task/{task.id8}"]
    assert (task.status, task.commit, task.git_branch, task.merged_commit) == (
        "completed",
        commit,
        f"task/{task.id8}",
        head,
    )
    assert task.lease_expires_at is None
    assert_integrated_once(pair, goal, remote)
    assert pushed(goal, remote) == head
    with pair.at(pair.new):
        ended = Task.objects.get(id=goal.id)
        event = TaskEvent.objects.filter(task=task).latest("id")
        [merge] = MergeRun.objects.filter(outcome="merged")
        withdrawn = OutboxMessage.objects.filter(number=number_of(TaskWithdraw))
        assert withdrawn.count() == (how_far != "pending"), "its last run, which may be at work"
        assert TestRun.objects.count() == 1, "the goal's own, and none to prove the push again"
    assert (ended.status, ended.merged_commit) == ("completed", head)
    assert (event.source, event.by) == (how_far, "gate")
    assert event.evidence["pushed_by"] == pair.old.node_id
    assert event.evidence["integrated_as"] == head
    assert (merge.tasks, merge.head_commit) == ([task.id.hex], head)
    assert fence_of(goal, remote)["term"] == 2


def test_subtasks_that_came_after_each_other_are_freed_and_completed_together(
    pair: Pair, remote: GitRemote
) -> None:
    with pair.at(pair.old):
        goal = a_goal(remote, "One,Two (after: 1),Three (after: 2)")
    pair.tell()
    for number in (1, 2):
        with pair.at(pair.old):
            goal.refresh_from_db()
            report(goal, number, remote, {str(number): "x\n"})
        kill_old_after(pair, goal, *STEPS["after the row"])

    pair.take_over()
    assert [task.status for task in pair.subtasks(pair.new, goal.id)] == [
        "pending",
        "blocked",
        "blocked",
    ]
    run_gates(pair)

    tasks = pair.subtasks(pair.new, goal.id)
    assert [task.status for task in tasks] == ["completed", "completed", "pending"]
    assert_integrated_once(pair, goal, remote)
    with pair.at(pair.new):
        known = Task.objects.get(id=goal.id)
        assert known.integration_commit == pushed(goal, remote)
        assert not TestRun.objects.exists()
        report(known, 3, remote, {"3": "x\n"})
    assert pair.judge(goal.id).status == "completed"
    assert_integrated_once(pair, goal, remote)


def test_another_result_that_the_new_emperor_was_told_of_is_not_merged_on_top(
    pair: Pair, remote: GitRemote
) -> None:
    goal = merged_and_died(pair, remote)
    pair.take_over()
    with pair.at(pair.new):
        task = Task.objects.get(parent_id=goal.id)
        late = remote.push(f"task/{task.id8}-2", {"late": "x\n"}, start=goal.base_commit)
        move(task, TaskStatus.CLAIMED, attempt=2, generation=200)
        move(task, TaskStatus.PENDING_REVIEW, git_branch=f"task/{task.id8}-2", commit=late)
    run_gates(pair)

    [task] = pair.subtasks(pair.new, goal.id)
    assert (task.status, task.git_branch) == ("completed", f"task/{task.id8}")
    assert task.commit != late
    assert_integrated_once(pair, goal, remote)


def test_a_late_completion_changes_nothing(pair: Pair, remote: GitRemote) -> None:
    goal = merged_and_died(pair, remote, "claimed")
    pair.take_over()
    run_gates(pair)
    [before] = pair.subtasks(pair.new, goal.id)

    with pair.at(pair.new):
        for commit in (before.commit, "f" * 40):
            said: dict[str, Any] = {"branch": before.git_branch, "commit": commit, "result": "r"}
            said |= {"generation": 1, "from_node_id": pair.old.node_id, "now": pair.cluster.now}
            if commit == before.commit:
                reports.apply_completion(before.id, **said)
            else:
                with pytest.raises(DomainError):
                    reports.apply_completion(before.id, **said)
        events = TaskEvent.objects.filter(task=before).count()
        run_waiting(goals.GATE)
        assert TaskEvent.objects.filter(task=before).count() == events

    [after] = pair.subtasks(pair.new, goal.id)
    assert (after.status, after.commit, after.updated_at) == (
        before.status,
        before.commit,
        before.updated_at,
    )
    assert_integrated_once(pair, goal, remote)


def a_merge(remote: GitRemote, goal: Task, subtask: Task, *, onto: str) -> str:
    """Make a merge at the remote that looks like one of the gate; no ref moves."""
    commit = remote.push("side", {"side": "x\n"}, start=goal.base_commit)
    tree = run_git(["rev-parse", f"{commit}^{{tree}}"], cwd=remote.path).stdout.strip()
    args = ["commit-tree", tree, "-p", onto, "-p", commit, "-m", f"Merge task/{subtask.id8}: One"]
    return run_git(args, cwd=remote.path, env_extra=IDENTITY | GATE_IDENTITY).stdout.strip()


def test_a_merge_that_no_fence_names_completes_nothing(pair: Pair, remote: GitRemote) -> None:
    with pair.at(pair.old):
        goal = a_goal(remote, "One,Two")
    pair.tell()
    with pair.at(pair.old):
        report(goal, 1, remote, {"1": "x\n"})
    kill_old_after(pair, goal, *STEPS["after the push"])
    head = pushed(goal, remote)
    assert head is not None
    two = pair.subtasks(pair.old, goal.id)[1]
    forged = a_merge(remote, goal, two, onto=head)
    run_git(["update-ref", f"refs/heads/integrate/{goal.id8}", forged], cwd=remote.path)

    pair.take_over()
    run_gates(pair)

    assert [task.status for task in pair.subtasks(pair.new, goal.id)] == ["completed", "pending"]
    with pair.at(pair.new):
        known = Task.objects.get(id=goal.id)
        assert known.integration_commit == head, "what is on top is tested before it is taken in"
        report(known, 2, remote, {"2": "x\n"})
    assert pair.judge(goal.id).status == "completed"
    with pair.at(pair.new):
        taken = MergeRun.objects.get(outcome="adopted")
        assert (taken.base_commit, taken.head_commit) == (head, forged)
        assert TestRun.objects.filter(commit=forged).exists()


def test_without_a_fence_that_proves_it_the_work_is_done_again(
    pair: Pair, remote: GitRemote
) -> None:
    """Today's way stays for whatever is not certain: here the branch was put back."""
    goal = merged_and_died(pair, remote)
    run_git(["update-ref", f"refs/heads/integrate/{goal.id8}", goal.base_commit], cwd=remote.path)

    pair.take_over()
    [job] = run_gates(pair)

    assert (job.status, job.error) == (JobStatus.DONE, "")
    assert [task.status for task in pair.subtasks(pair.new, goal.id)] == ["pending"]


def push_with_fence(pair: Pair, goal: Task, commit: str, onto: str) -> None:
    """Push a commit of the remote to the goal's branch as the old emperor would."""
    with pair.at(pair.old):
        repository = Repository(goal.repository, local_node().home)
        repository.ensure(commit)
        Fence(repository, goal.id, Term(counter=1, node_id=pair.old.node_id)).push(commit, onto)


def test_a_subtask_that_is_merged_twice_stays_open(pair: Pair, remote: GitRemote) -> None:
    goal = merged_and_died(pair, remote)
    head = pushed(goal, remote)
    assert head is not None
    again = a_merge(remote, goal, pair.subtasks(pair.old, goal.id)[0], onto=head)
    run_git(["update-ref", "refs/heads/again", again], cwd=remote.path)
    push_with_fence(pair, goal, again, head)

    pair.take_over()
    run_gates(pair)

    assert [task.status for task in pair.subtasks(pair.new, goal.id)] == ["pending"]
    with pair.at(pair.new):
        assert Task.objects.get(id=goal.id).integration_commit == again


def test_the_old_emperor_that_wakes_up_changes_nothing(pair: Pair, remote: GitRemote) -> None:
    goal = merged_and_died(pair, remote)
    pair.take_over()
    run_gates(pair)
    refs = remote.refs()

    job = wake_old(pair, goal)

    assert job.status == JobStatus.DONE
    assert re.search(r"left to that one|left to another emperor", job.error)
    assert remote.refs() == refs
