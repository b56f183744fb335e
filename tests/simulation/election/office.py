"""What an emperor does: adopts, dispatches, takes reports, lets leases lapse, steps down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swarm.replication.messages import Term
from swarm.states import TASK_TERMINAL, TASK_WITH_AGENT, Actor, TaskStatus
from tests.simulation.election.rows import Row

if TYPE_CHECKING:
    from tests.simulation.election.member import Member

ADOPTION_GAP = 100  # numbers of dispatches that the emperor before may have made untold
ATTEMPTS_MAX = 6
LEASE_S = 60.0
HEARD_S = 30.0  # to whom work is given


class Office:
    """The work of an emperor on its rows; without office it has none."""

    def __init__(self, member: Member) -> None:
        """Take whose office it is."""
        self._member, self._disk, self._world = member, member.disk, member.world
        self._heard_s: dict[int, float] = {}

    @property
    def term(self) -> Term:
        """Its own term, as it stands on the disk."""
        return Term(counter=self._disk.known[self._member.node_id], node_id=self._member.node_id)

    def take(self) -> None:
        """Begin a term: all that it moves already is told anew, all else is adopted."""
        self._member.replication.publish(list(self._disk.rows.values()), self.term)
        self._adopt()

    def release(self) -> None:
        """Leave all rows to another emperor: their last records say how they stand."""
        self._disk.rows.clear()
        self._disk.leases.clear()
        self._disk.to_look_at.clear()
        self._member.commands.close_assignments()

    def submit(self, goal: str, subtasks: int) -> None:
        """Take a goal of a user."""
        rows = [Row(goal, "", TaskStatus.IN_PROGRESS)]
        rows += [Row(f"{goal}.{each}", goal, TaskStatus.PENDING) for each in range(subtasks)]
        for row in rows:
            self.put(row)

    def put(self, row: Row) -> None:
        """Store a row and tell of it, in one transaction."""
        self._disk.rows[row.id] = row
        self._member.replication.publish([row], self.term)

    def move(self, row: Row, target: TaskStatus, by: Actor, **changes: Any) -> bool:
        """Move a row if the table allows it; tell whether it did."""
        if not row.may_become(target, by):
            return False
        self.put(replace(row, status=target, **changes))
        return True

    def sweep(self) -> None:
        """Do what is due each few seconds."""
        self._adopt()
        for row in [each for each in self._disk.rows.values() if each.goal]:
            if row.status in TASK_WITH_AGENT:
                if self._disk.leases.get(row.id, 0.0) < self._member.now_s():
                    self.requeue(row, Actor.LEASE)
            elif row.status is TaskStatus.PENDING:
                self._dispatch(row)

    def on_life(self, origin: int, runs: tuple[tuple[str, int], ...]) -> None:
        """Renew the leases of the runs that a member names."""
        self._heard_s[origin] = self._world.timeline.now_s
        for task, generation in runs:
            row = self._disk.rows.get(task)
            if row is not None and (row.node, row.generation) == (origin, generation):
                self._renew(task)

    def on_claim(self, origin: int, task: str, generation: int) -> str:
        """Take note of a run, also of one that the emperor before dispatched untold."""
        row = self._disk.rows.get(task)
        if row is None:
            return "not_ours"
        if row.status is TaskStatus.PENDING and row.generation < generation <= row.floor:
            self.put(replace(row, status=TaskStatus.CLAIMED, node=origin, generation=generation))
            self._renew(task)
            return "ok"
        return "ok" if self._is_of(row, origin, generation) else "stale_generation"

    def on_complete(self, origin: int, task: str, generation: int, commit: str) -> str:
        """Accept the result of the run that counts."""
        row = self._disk.rows.get(task)
        if row is None or not self._is_of(row, origin, generation):
            return "not_ours" if row is None else "stale_generation"
        if not self.move(row, TaskStatus.PENDING_REVIEW, Actor.REPORT, commit=commit):
            return "wrong_state"
        self._world.claims.on_accepted(task, generation, self.term, commit)
        return "ok"

    def on_fail(self, origin: int, task: str, generation: int) -> str:
        """Have a run that failed followed by another one."""
        row = self._disk.rows.get(task)
        if row is None or not self._is_of(row, origin, generation):
            return "not_ours" if row is None else "stale_generation"
        self.requeue(row, Actor.REPORT)
        return "ok"

    def hand_back(self, origin: int, task: str, generation: int) -> None:
        """Take back what a member refused to begin."""
        row = self._disk.rows.get(task)
        if row is None or row.status is not TaskStatus.CLAIMED:
            return
        if self._is_of(row, origin, generation):
            attempt = max(0, row.attempt - 1)
            self.move(row, TaskStatus.PENDING, Actor.REPORT, node=-1, attempt=attempt)

    def requeue(self, row: Row, by: Actor) -> None:
        """Let another attempt follow, or fail the task and its goal after the last one."""
        if row.attempt < ATTEMPTS_MAX:
            self.move(row, TaskStatus.PENDING, by, node=-1, commit="")
            return
        if self.move(row, TaskStatus.FAILED, by) and row.goal in self._disk.rows:
            self.move(self._disk.rows[row.goal], TaskStatus.FAILED, Actor.DEPENDENCY)
            self.settle()

    def settle(self) -> None:
        """End the subtasks of goals that have ended: not all that ended them may be known."""
        for row in list(self._disk.rows.values()):
            goal = self._disk.rows.get(row.goal)
            over = goal is not None and goal.status in TASK_TERMINAL
            if over and row.status not in TASK_TERMINAL:
                self.move(row, TaskStatus.CANCELLED, Actor.DEPENDENCY)

    def _adopt(self) -> None:
        # Also later: an emperor that comes back brings what it alone knew.
        own, adopted = self.term, len(self._disk.rows)
        for record in list(self._disk.records.values()):
            row = record.row
            if record.term.rank >= own.rank or row.id in self._disk.rows:
                continue
            if row.status not in TASK_TERMINAL:
                row = replace(row, floor=max(row.generation, row.floor) + ADOPTION_GAP)
            self.put(row)
            self._renew(row.id)
            self._disk.to_look_at.add(row.goal or row.id)
            self._world.claims.counts["adopted"] += 1
        if len(self._disk.rows) > adopted:
            self.settle()

    def _dispatch(self, row: Row) -> None:
        now_s = self._world.timeline.now_s
        near = [each for each, at_s in self._heard_s.items() if now_s - at_s < HEARD_S]
        worker = self._world.chance.choice([self._member.number, *near])
        generation, attempt = max(row.generation, row.floor) + 1, row.attempt + 1
        changes = {"generation": generation, "attempt": attempt, "node": worker}
        if self.move(row, TaskStatus.CLAIMED, Actor.DISPATCHER, **changes):
            self._renew(row.id)
            content = (self.term, row.id, generation)
            self._member.commands.send(worker, "assign", *content, ends_s=now_s + LEASE_S)

    def _renew(self, task: str) -> None:
        self._disk.leases[task] = self._member.now_s() + LEASE_S

    def _is_of(self, row: Row, origin: int, generation: int) -> bool:
        return (row.node, row.generation) == (origin, generation)
