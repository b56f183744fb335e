"""Test runs of several commits, as many at once as there are workers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from swarm.gate.evidence import BegunRun, begin_run, carry_out, end_run, first_run
from swarm.gate.testrun import TestOutcome
from swarm.git.integration import Integration
from swarm.git.places import put_place
from swarm.models import Task, TestRun


class Trial(NamedTuple):
    """A command on a commit; only a run later than the one with the id `after` will do."""

    commit: str
    command: str
    after: int = 0


class Trials:
    """Carries out what was not run before; rows are written by the caller's thread alone."""

    def __init__(self, goal: Task, integration: Integration, *, workers: int) -> None:
        """Take the goal that the runs belong to, and how many may run at once."""
        self._goal = goal
        self._integration = integration
        self._workers = workers

    def run(self, trials: Sequence[Trial]) -> list[TestRun]:
        """Return a run of each trial; ExternalError where one cannot be started."""
        found = {trial: self._known(trial) for trial in dict.fromkeys(trials)}
        missing = [trial for trial, run in found.items() if run is None]
        for start in range(0, len(missing), self._workers):
            block = missing[start : start + self._workers]
            found |= dict(zip(block, self._run_at_once(block), strict=True))
        return [run for trial in trials if (run := found[trial]) is not None]

    def _known(self, trial: Trial) -> TestRun | None:
        return first_run(self._goal, trial.commit, trial.command, after=trial.after)

    def _run_at_once(self, trials: Sequence[Trial]) -> list[TestRun]:
        begun = [begin_run(self._goal, trial.commit, trial.command) for trial in trials]
        if len(begun) == 1:
            self._integration.reset(begun[0].commit)
            return [end_run(begun[0], carry_out(begun[0], self._integration.path))]
        places = [
            put_place(self._integration, number, each.commit)
            for number, each in enumerate(begun, start=1)
        ]
        with ThreadPoolExecutor(len(begun), thread_name_prefix="test") as pool:
            running = [pool.submit(carry_out, *each) for each in zip(begun, places, strict=True)]
        return self._ended(begun, running)

    def _ended(
        self, begun: Sequence[BegunRun], running: Sequence[Future[TestOutcome]]
    ) -> list[TestRun]:
        """Keep all that came to an end, then raise what the first of the others met."""
        pairs = list(zip(begun, running, strict=True))
        runs = [end_run(each, run.result()) for each, run in pairs if run.exception() is None]
        for run in running:
            run.result()
        return runs
