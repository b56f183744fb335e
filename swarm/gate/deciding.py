"""Decides a goal once all its subtasks are pushed: the whole test command has the last word."""

from __future__ import annotations

from p2p.clock import now_utc
from swarm.gate.batch.trials import Trial, Trials
from swarm.gate.evidence import how_it_ended, latest_run, test_commit
from swarm.gate.flaky import note_flaky
from swarm.git.integration import Integration, open_integration
from swarm.git.names import integration_branch
from swarm.git.repository import Repository
from swarm.models import Task, TestRun
from swarm.services.transitions import move_task
from swarm.states import Actor, TaskStatus


def decide_goal(goal: Task, repository: Repository) -> None:
    """Complete or fail a goal with nothing left to merge; others stay as they are."""
    if goal.status == TaskStatus.IN_PROGRESS:
        if set(goal.subtasks.values_list("status", flat=True)) != {TaskStatus.COMPLETED}:
            return
        goal = move_task(
            goal.id,
            TaskStatus.MERGING,
            by=Actor.GATE,
            reason="every subtask is merged; the whole test command decides",
            now=now_utc(),
        )
    if goal.status != TaskStatus.MERGING:
        return
    integration = open_integration(
        repository, goal.id, goal.base_commit, last_pushed=goal.integration_commit
    )
    head = integration.head
    final = _final_run(goal, integration, head)
    integration.close()
    _end_goal(goal, head, final)


def _final_run(goal: Task, integration: Integration, head: str) -> TestRun | None:
    """Return the run that decides; None without a test command.

    What another emperor had proved is tested here for the first time: it is run again when red.
    """
    known = latest_run(goal, head, goal.test_command)
    run = test_commit(goal, integration.path, head, goal.test_command)
    if run is None or run.passed or known is not None:
        return run
    trials = Trials(goal, integration, workers=1)
    [again] = trials.run([Trial(head, goal.test_command, after=run.id)])
    if again.passed:
        note_flaky(goal, run, again)
    return again


def _end_goal(goal: Task, head: str, final: TestRun | None) -> None:
    branch = integration_branch(goal.id)
    if final is not None and not final.passed:
        move_task(
            goal.id,
            TaskStatus.FAILED,
            by=Actor.GATE,
            reason=f"{goal.test_command!r} {how_it_ended(final)} at {head[:8]}",
            now=now_utc(),
            evidence={"test_run": final.id, "output": final.output_tail},
            error=f"the tests are red at the integrated commit {head[:8]}: "
            f"{goal.test_command!r} {how_it_ended(final)}",
            result=f"{branch} at {head}",
        )
        return
    proof = f"{goal.test_command!r} is green" if final else "no test command was given"
    move_task(
        goal.id,
        TaskStatus.COMPLETED,
        by=Actor.GATE,
        reason=f"{proof} at {head[:8]}, pushed as {branch}",
        now=now_utc(),
        evidence={"test_run": final.id if final else None, "branch": branch, "commit": head},
        merged_commit=head,
        result=f"{branch} at {head}",
    )
