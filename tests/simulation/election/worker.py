"""What a worker does: refuses old terms and dispatches, runs, reports, and reports anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarm.replication.messages import Term
from swarm.states import TASK_TERMINAL
from tests.simulation.election.rows import Run

if TYPE_CHECKING:
    from tests.simulation.election.member import Member

RUN_S = (5.0, 60.0)
FAILS = 0.1  # of all runs


class Worker:
    """The runs of one member."""

    def __init__(self, member: Member) -> None:
        """Take whose runs these are."""
        self._member, self._disk, self._world = member, member.disk, member.world

    def go_on(self) -> None:
        """Go on with what ran when the process before died."""
        for run in self._disk.runs.values():
            if self._lives(run):
                self._start(run)

    def on_assign(self, origin: int, term: Term, task: str, generation: int) -> str:
        """Begin a run, unless the emperor is of the past or the dispatch is overtaken."""
        highest = self._disk.highest()
        if self._world.variant.terms_compared:
            if self._disk.known.get(term.node_id, 0) < term.counter:
                return "unknown_term"
            if highest is not None and highest.rank > term.rank:
                return "stale_term"
        if self._disk.newest_dispatch.get(task, -1) >= generation:
            return "stale_generation"
        self._disk.newest_dispatch[task] = generation
        for older in self._disk.runs.values():
            if older.task == task and not older.ended:
                older.cancelled = True
        run = Run(task, generation, term, origin)
        self._disk.runs[task, generation] = run
        self._world.claims.counts["runs"] += 1
        self._start(run)
        return "ok"

    def beat(self) -> None:
        """Tell all members which runs live here."""
        alive = tuple(key for key, run in self._disk.runs.items() if self._lives(run))
        self._member.flood("life", alive)
        self._member.office.on_life(self._member.number, alive)

    def redirect(self, emperor: int) -> None:
        """Report to the new emperor what runs here, and what has ended without its word."""
        for run in list(self._disk.runs.values()):
            record = self._disk.records.get(run.task)
            over = record is not None and record.row.status in TASK_TERMINAL
            if run.cancelled or run.assigner == emperor:
                continue
            self._member.commands.close_reports_to(run.assigner)
            run.assigner = emperor
            if not over:
                self._send(run, "claim")
                if run.ended:
                    self._report(run)

    def _start(self, run: Run) -> None:
        self._member.later(self._world.chance.uniform(*RUN_S), lambda: self._end(run))

    def _end(self, run: Run) -> None:
        if not self._lives(run):
            return
        run.ended = True
        if self._world.chance.random() >= FAILS:
            run.commit = self._world.commit_of(run)
        self._report(run)

    def _report(self, run: Run) -> None:
        if run.commit:
            self._send(run, "complete", run.commit)
        else:
            self._send(run, "fail")

    def _send(self, run: Run, kind: str, *content: str) -> None:
        self._member.commands.send(run.assigner, kind, run.task, run.generation, *content)

    def _lives(self, run: Run) -> bool:
        return not (run.ended or run.cancelled)
