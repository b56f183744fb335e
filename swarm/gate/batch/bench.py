"""The bench that a goal's batches are judged on: merges in its clone, tests in its worktrees."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.gate.batch.judging import Suspect
from swarm.gate.batch.merging import Chain
from swarm.gate.batch.trials import Trial, Trials
from swarm.gate.evidence import latest_run, note_once
from swarm.gate.flaky import note_flaky
from swarm.gate.models import BatchOutcome
from swarm.models import Task, TestRun


class GateBench:
    """Answers a judge with test runs; those that speak against a subtask stay in `evidence`."""

    def __init__(self, goal: Task, chain: Chain, trials: Trials) -> None:
        """Take the goal, what its subtasks are merged onto and how tests are run."""
        self._goal = goal
        self._chain = chain
        self._trials = trials
        self._measure = latest_run(goal, chain.start, goal.test_command)
        self.evidence: dict[Task, TestRun] = {}

    def merge(self, items: Sequence[Task]) -> tuple[Task, ...]:
        """Return those of `items` that merge one after the other."""
        return self._chain.merge(items)

    def red(self, *probes: tuple[Task, ...]) -> list[bool]:
        """Run the goal's test command on each probe."""
        if not self._goal.test_command:
            return [False] * len(probes)
        runs = self._trials.run([self._whole(self._chain.commit_of(probe)) for probe in probes])
        return [newly_red(run, self._measure) for run in runs]

    def start_red(self) -> bool:
        """Run the command on the last good state, unless it was; a red one is recorded."""
        if self._measure is None:
            [self._measure] = self._trials.run([self._whole(self._chain.start)])
        if self._measure.passed:
            return False
        Task.objects.filter(id=self._goal.id).update(base_red=True)
        start = self._chain.start
        note_once(self._goal, [], start, start, BatchOutcome.BASE_RED, self._measure)
        return True

    def red_again(self, items: tuple[Task, ...], suspect: Suspect[Task]) -> bool:
        """Run the command on `items` after the run that made the suspect one."""
        [first] = self._trials.run([self._whole(self._chain.commit_of(suspect.prefix))])
        again = self._run_again(first, self._chain.commit_of(items))
        if newly_red(again, self._measure):
            self.evidence[suspect.item] = again
            return True
        note_flaky(self._goal, first, again)
        return False

    def red_on_their_own(self, items: tuple[Task, ...]) -> tuple[Task, ...]:
        """Run the subtasks' own commands with all `items` in place, each red one twice."""
        head = self._chain.commit_of(items)
        tested = [task for task in items if task.test_command]
        firsts = self._trials.run([Trial(head, task.test_command) for task in tested])
        red = []
        for task, first in zip(tested, firsts, strict=True):
            if first.passed:
                continue
            again = self._run_again(first, head)
            if again.passed:
                note_flaky(self._goal, first, again)
            else:
                self.evidence[task] = again
                red.append(task)
        return tuple(red)

    def _whole(self, commit: str) -> Trial:
        return Trial(commit, self._goal.test_command)

    def _run_again(self, first: TestRun, commit: str) -> TestRun:
        [again] = self._trials.run([Trial(commit, first.command, after=first.id)])
        return again


def newly_red(run: TestRun, measure: TestRun | None) -> bool:
    """Tell whether a run is red in a way in which the last good state is not.

    Where that is red itself and its failing tests have no names, nobody can be blamed.
    """
    if run.passed:
        return False
    if measure is None or measure.passed:
        return True
    if not measure.failing_tests:
        return False
    # A run that names none of its tests did not get as far as the last good state did.
    return not run.failing_tests or not set(run.failing_tests) <= set(measure.failing_tests)
