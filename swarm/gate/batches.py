"""One batch of ready subtasks: merged in plan order, judged, then accepted or sent back."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from swarm.gate.accepting import accept
from swarm.gate.batch.bench import GateBench
from swarm.gate.batch.judging import Judge, Verdict
from swarm.gate.batch.merging import Chain, merge_usable
from swarm.gate.batch.trials import Trials
from swarm.gate.blame import Blame
from swarm.gate.evidence import note_once
from swarm.gate.models import BatchOutcome
from swarm.git.integration import Integration
from swarm.models import Task


@dataclass(frozen=True)
class Batch:
    """Ready subtasks of a goal that are judged together, on top of the last good state `start`."""

    goal: Task
    integration: Integration
    start: str

    def judge(self, ready: list[Task], pushed: str) -> str | None:
        """Accept what is green and send culprits back; returns the pushed head, if there is one.

        `pushed` is what the remote shows now. At least one of `ready` is decided each time; what
        is in the way of another one only waits for the next batch.
        """
        chain = Chain(self.integration, self.start)
        batch = self._merged(chain, ready)
        workers = settings.ENVIRONMENT.test_workers
        bench = GateBench(self.goal, chain, Trials(self.goal, self.integration, workers=workers))
        verdict = Judge(bench, workers=workers).judge(batch)
        self._note_search(chain, batch, verdict)
        head = chain.commit_of(verdict.accepted)
        if verdict.accepted:
            accept(self.goal, self.integration, verdict.accepted, self.start, head, pushed)
        self._send_back(verdict, chain, bench)
        return head if verdict.accepted else None

    def _merged(self, chain: Chain, ready: list[Task]) -> tuple[Task, ...]:
        """Return what merges; what does not even do so alone goes back."""
        merged: tuple[Task, ...] = ()
        for task in ready:
            outcome = merge_usable(self.integration, chain, merged, task, self._blame)
            if outcome is None:
                continue
            if outcome.ok:
                merged += (task,)
            elif not (alone := chain.onto((), task)).ok:
                self._blame.conflict(task, alone.conflicts, alone.detail)
        return merged

    def _note_search(self, chain: Chain, batch: tuple[Task, ...], verdict: Verdict[Task]) -> None:
        """Keep the red batch and each suspect, which the search for culprits set aside."""
        steps = [(BatchOutcome.SPLIT, batch)] if verdict.suspects and len(batch) > 1 else []
        steps += [(BatchOutcome.SUSPECT, suspect.prefix) for suspect in verdict.suspects]
        steps += [(BatchOutcome.FLAKY, suspect.prefix) for suspect in verdict.flaky]
        for outcome, tasks in steps:
            named = tasks if outcome == BatchOutcome.SPLIT else tasks[-1:]
            note_once(self.goal, named, self.start, chain.commit_of(tasks), outcome)

    def _send_back(self, verdict: Verdict[Task], chain: Chain, bench: GateBench) -> None:
        for suspect in verdict.blamed:
            self._blame.red(suspect.item, bench.evidence[suspect.item])
        for task in verdict.failing:
            self._blame.own_red(task, bench.evidence[task])
        for task in verdict.conflicting:
            outcome = chain.onto(verdict.accepted, task)
            if not outcome.ok:
                self._blame.conflict(task, outcome.conflicts, outcome.detail)

    @property
    def _blame(self) -> Blame:
        return Blame(self.goal, self.start)
