"""The merge gate of an emperor: a few steps that can be paused or killed between any two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from swarm.replication.messages import Term
from swarm.states import TASK_TERMINAL, Actor, TaskStatus
from tests.simulation.election.remote import Fence, Merged, Shown
from tests.simulation.election.rows import Row

if TYPE_CHECKING:
    from tests.simulation.election.member import Member

STEP_S = (0.1, 6.0)
REMOTE_FAILS = 0.03
READY = (TaskStatus.PENDING_REVIEW, TaskStatus.MERGING)


class Gate:
    """Merges what was reported, and decides goals; one job for each goal at a time."""

    def __init__(self, member: Member) -> None:
        """Take whose gate it is."""
        self._member, self._disk, self._world = member, member.disk, member.world
        self._busy: set[str] = set()

    def sweep(self) -> None:
        """Begin a job for each goal that has work for it."""
        for goal in [row for row in self._disk.rows.values() if not row.goal]:
            if goal.id in self._busy or goal.status in TASK_TERMINAL:
                continue
            ready = any(row.status in READY for row in self._subtasks(goal.id))
            if ready or goal.id in self._disk.to_look_at or self._is_whole(goal.id):
                self._busy.add(goal.id)
                self._step(goal.id, partial(self._open, goal.id))

    def _step(self, goal: str, do: Callable[[], None]) -> None:
        def after() -> None:
            if not self._disk.in_office or self._world.chance.random() < REMOTE_FAILS:
                self._busy.discard(goal)
            else:
                do()

        self._member.later(self._world.chance.uniform(*STEP_S), after)

    def _open(self, goal: str) -> None:
        """Look at the remote, and put our term at the fence before anything is merged."""
        term, shown = self._member.office.term, self._world.remote.look(goal)
        if self._world.variant.fenced:
            if shown.fence is not None and shown.fence.term.rank > term.rank:
                self._world.claims.counts["fenced"] += 1
                self._busy.discard(goal)
                return
            if shown.fence is None or shown.fence.term != term:
                raised = Shown(shown.head, Fence(term, shown.fence.head if shown.fence else ()))
                if not self._world.remote.swap(goal, shown, raised):
                    self._busy.discard(goal)
                    return
                shown = raised
        self._world.claims.on_integration_begun(goal, term)
        self._step(goal, lambda: self._merge(goal, term, shown))

    def _merge(self, goal: str, term: Term, shown: Shown) -> None:
        """Merge what is ready on top of what the remote showed; what it holds is not merged."""
        office = self._member.office
        self._disk.to_look_at.discard(goal)
        if self._world.variant.attributed:
            self._attribute(goal, shown)
        for row in self._subtasks(goal):
            office.move(row, TaskStatus.MERGING, Actor.GATE)
        held = {each.commit for each in shown.head}
        ready = [row for row in self._subtasks(goal) if row.status is TaskStatus.MERGING]
        new = [Merged(row.id, row.commit, term) for row in ready if row.commit not in held]
        head = (*shown.head, *new)
        if not new:
            self._step(goal, lambda: self._note(goal, ready))
            return
        self._step(goal, lambda: self._push(goal, term, shown, head, ready))

    def _attribute(self, goal: str, shown: Shown) -> None:
        """Complete what an emperor before had merged and pushed, as the fence proves."""
        proved = shown.fence.head if shown.fence else ()
        if not self._world.variant.fenced:
            proved = shown.head
        if shown.head[: len(proved)] != proved:
            return
        merged = {each.task: each.commit for each in proved}
        for row in self._subtasks(goal):
            commit = merged.get(row.id)
            if commit is not None and row.status not in TASK_TERMINAL:
                self._member.office.move(row, TaskStatus.COMPLETED, Actor.GATE, commit=commit)
                self._world.claims.counts["attributed"] += 1

    def _push(
        self, goal: str, term: Term, shown: Shown, head: tuple[Merged, ...], ready: list[Row]
    ) -> None:
        """Push branch and fence over exactly what was seen."""
        if self._world.variant.fenced:
            taken = self._world.remote.swap(goal, shown, Shown(head, Fence(term, head)))
        else:
            taken = self._world.remote.swap_head(goal, shown, head)
        if not taken:
            self._world.claims.counts["refused_pushes"] += 1
            self._busy.discard(goal)
            return
        self._world.claims.on_pushed(goal, term, head)
        self._step(goal, lambda: self._note(goal, ready))

    def _note(self, goal: str, ready: list[Row]) -> None:
        """Complete what the remote holds, and the goal after its last subtask."""
        for row in ready:
            now = self._disk.rows.get(row.id)
            if now is not None and now.commit == row.commit:
                self._member.office.move(now, TaskStatus.COMPLETED, Actor.GATE)
        if self._is_whole(goal):
            self._step(goal, lambda: self._finish(goal))
        else:
            self._busy.discard(goal)

    def _finish(self, goal: str) -> None:
        """Open the pull request, unless there is one."""
        row, shown = self._disk.rows.get(goal), self._world.remote.look(goal)
        if row is None or not self._may_finish(shown):
            self._busy.discard(goal)
            return
        if goal not in self._world.remote.requests:
            self._world.remote.requests.append(goal)
        self._member.office.move(row, TaskStatus.MERGING, Actor.GATE)
        self._step(goal, lambda: self._complete(goal))

    def _complete(self, goal: str) -> None:
        """End the goal, and what of it is still open here."""
        self._busy.discard(goal)
        row = self._disk.rows.get(goal)
        if row is not None and self._member.office.move(row, TaskStatus.COMPLETED, Actor.GATE):
            self._member.office.settle()

    def _may_finish(self, shown: Shown) -> bool:
        term = self._member.office.term
        fence = shown.fence
        return not self._world.variant.fenced or (fence is not None and fence.term == term)

    def _subtasks(self, goal: str) -> list[Row]:
        return [row for row in self._disk.rows.values() if row.goal == goal]

    def _is_whole(self, goal: str) -> bool:
        # The emperor before moved a goal to `merging` when the remote held all of its subtasks.
        row, mine = self._disk.rows.get(goal), self._subtasks(goal)
        merging = row is not None and row.status is TaskStatus.MERGING
        return merging or (bool(mine) and all(each.status is TaskStatus.COMPLETED for each in mine))
