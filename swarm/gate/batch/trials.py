"""Test runs of several commits, as many at once as there are workers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from swarm.gate.evidence import (
    BegunRun,
    CarriedOut,
    abandon_run,
    begin_run,
    carry_out,
    end_run,
    first_run,
)
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
        begun = self._begun(trials)
        if len(begun) == 1:
            return self._ended(begun, [_done(begun[0])])
        with ThreadPoolExecutor(len(begun), thread_name_prefix="test") as pool:
            running = [pool.submit(carry_out, each) for each in begun]
        return self._ended(begun, running)

    def _begun(self, trials: Sequence[Trial]) -> list[BegunRun]:
        begun: list[BegunRun] = []
        try:
            for trial, place in zip(trials, self._places(trials), strict=True):
                begun.append(begin_run(self._goal, trial.commit, trial.command, place))
        except BaseException:
            for each in begun:
                abandon_run(each)
            raise
        return begun

    def _places(self, trials: Sequence[Trial]) -> list[Path]:
        if len(trials) == 1:
            self._integration.reset(trials[0].commit)
            return [self._integration.path]
        return [
            put_place(self._integration, number, trial.commit)
            for number, trial in enumerate(trials, start=1)
        ]

    def _ended(
        self, begun: Sequence[BegunRun], running: Sequence[Future[CarriedOut]]
    ) -> list[TestRun]:
        """Keep all that came to an end, then raise what the first of the others met."""
        runs = []
        for each, future in zip(begun, running, strict=True):
            if future.exception() is None:
                runs.append(end_run(each, future.result()))
            else:
                abandon_run(each)
        for future in running:
            future.result()
        return runs


def _done(begun: BegunRun) -> Future[CarriedOut]:
    """Carry out a run in this thread, whose end is looked at as that of any other."""
    future: Future[CarriedOut] = Future()
    try:
        future.set_result(carry_out(begun))
    except Exception as failure:
        future.set_exception(failure)
    return future
