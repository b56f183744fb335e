"""What is claimed of every run; it shares no code with what it watches."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from swarm.replication.messages import Term
from swarm.states import TASK_TERMINAL, TaskStatus
from tests.simulation.election.remote import Merged, Remote
from tests.simulation.election.rows import Row


class Broken(AssertionError):
    """A claim does not hold."""


def _order(term: Term) -> tuple[int, str]:
    """Order terms so that the one that counts is the smallest."""
    return -term.counter, term.node_id


@dataclass
class Claims:
    """Watches everything that members do to the outside, and says at once what may not be."""

    proclaimed: set[tuple[int, str]] = field(default_factory=set)
    accepted: dict[tuple[str, int, int, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )
    begun: dict[str, Term] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _shown: dict[str, tuple[Merged, ...]] = field(default_factory=dict)

    def on_proclaimed(self, term: Term) -> None:
        """No term is begun twice."""
        self._require(
            (term.counter, term.node_id) not in self.proclaimed,
            f"term {term.counter} of {term.node_id[:2]} began twice",
        )
        self.proclaimed.add((term.counter, term.node_id))

    def on_accepted(self, task: str, generation: int, term: Term, commit: str) -> None:
        """In a term an execution has one result."""
        results = self.accepted[task, generation, term.counter, term.node_id]
        results.add(commit)
        self._require(len(results) == 1, f"{task} run {generation} has the results {results}")

    def on_integration_begun(self, goal: str, term: Term) -> None:
        """Remember the highest term that merges for a goal."""
        before = self.begun.get(goal)
        if before is None or _order(term) < _order(before):
            self.begun[goal] = term

    def on_pushed(self, goal: str, term: Term, after: tuple[Merged, ...]) -> None:
        """Nothing is pushed under a term after a higher one began, and nothing is taken back."""
        self.counts["pushes"] += 1
        begun = self.begun.get(goal, term)
        self._require(
            _order(term) <= _order(begun),
            f"{goal} was pushed under term {term.counter} of {term.node_id[:2]} "
            f"after {begun.counter} of {begun.node_id[:2]} began",
        )
        shown = self._shown.get(goal, ())
        self._shown[goal] = after
        self._require(after[: len(shown)] == shown, f"{goal} lost what was merged")
        twice = [task for task, times in Counter(row.task for row in after).items() if times > 1]
        self._require(not twice, f"{goal} holds more than one result of {twice}")

    def on_healed(self, emperors: list[str], followed: dict[int, str | None]) -> None:
        """One acts, and everybody follows it."""
        self._require(len(emperors) == 1, f"after the heal these act: {emperors}")
        lost = {number: whom for number, whom in followed.items() if whom != emperors[0]}
        self._require(not lost, f"{emperors[0]} acts, but others are followed: {lost}")

    def on_end(self, rows: dict[str, Row], goals: set[str], remote: Remote) -> None:
        """Every goal has ended, and what is called complete is on the remote, once."""
        open_goals = {goal for goal in goals if goal not in rows}
        open_goals |= {row.id for row in rows.values() if row.status not in TASK_TERMINAL}
        self._require(not open_goals, f"not ended: {sorted(open_goals)}")
        requests = Counter(remote.requests)
        for goal in goals:
            done = rows[goal].status is TaskStatus.COMPLETED
            self.counts["completed" if done else "failed"] += 1
            self._require(requests[goal] <= 1, f"{goal} has {requests[goal]} pull requests")
            self._require(not done or requests[goal] == 1, f"{goal} has no pull request")
            self.counts["merged"] += len(remote.look(goal).head)
            self._require_on_remote(goal, rows, remote)

    def _require_on_remote(self, goal: str, rows: dict[str, Row], remote: Remote) -> None:
        head = {each.commit for each in remote.look(goal).head}
        for row in rows.values():
            if row.goal == goal and row.status is TaskStatus.COMPLETED:
                self._require(row.commit in head, f"{row.id} is complete, but not on the remote")

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Broken(otherwise)
