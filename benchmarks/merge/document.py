"""The table of the merge benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.merge.culprit import RUNS, WRONG
from benchmarks.merge.speed import GATE, LOOP, WHOLE_GATE, WHOLE_LOOP
from benchmarks.report import Figure, figures_in_markdown, heading, machine, markdown_table

RATIOS = {GATE: LOOP, WHOLE_GATE: WHOLE_LOOP}
CAVEATS = """
- The loop is what one would write in a shell: `git checkout integrate`, then
  `git merge --no-ff`, for each branch, in a clone that has fetched them all. The gate merges in
  memory (`git merge-tree`, `git commit-tree`) and checks out once, at the end.
- The whole way of the gate also asks the remote for every branch, writes each subtask's moves and
  history to the database, pushes, opens its worktree and removes it; the loop does none of it.
- A test run is one run of the goal's test command on one commit. A culprit in the last place
  costs one run less: what is left without it was tested during the search.
- More workers take more runs in less time: a round asks for several answers at once, some of
  which turn out not to be needed.
"""


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim: the highest round of `value`, or its ratio, is at most `bound`."""

    what: str
    value: str
    bound: float
    is_ratio: bool = False


GOALS = (
    Goal("20 branches, 2,000 files, times the loop", GATE, 0.5, is_ratio=True),
    Goal("test runs for one culprit among 16, in the worst place", RUNS.format("1 worker"), 7),
    Goal("wrong verdicts of 16, 1 worker", WRONG.format("1 worker"), 0),
    Goal("wrong verdicts of 16, 4 workers", WRONG.format("4 workers"), 0),
)


class Summary:
    """The figures of all runs, in a table and words."""

    def __init__(self, figures: dict[str, Figure], *, rounds: int, took_s: float) -> None:
        """Take the figures by name, how often speed was measured, and how long all of it took."""
        self._made = figures
        self._rounds = rounds
        self._took_s = took_s

    def figures(self) -> list[Figure]:
        """Return every figure, with its ratio where there is one."""
        return [
            figure.against(self._made[RATIOS[name]]) if name in RATIOS else figure
            for name, figure in self._made.items()
        ]

    def goals(self) -> list[tuple[str, str, str, str]]:
        """Return each goal with what was wanted, measured and reached."""
        rows = []
        for goal in GOALS:
            value = self._value(goal)
            reached = "yes" if value <= goal.bound else "no"
            rows.append((goal.what, f"at most {goal.bound:g}", f"{value:.3g}", reached))
        return rows

    def page(self, command: str) -> str:
        """Return docs/benchmarks/merge.md."""
        facts = {**machine(), "rounds": f"{self._rounds}, {self._took_s:.0f} s in all"}
        # Well above the processors, others ran as well.
        facts["load average, 5 and 15 minutes"] = " and ".join(
            f"{load:.1f}" for load in os.getloadavg()[1:]
        )
        return "\n".join(
            (
                heading("The merge gate, measured", command=command, facts=facts),
                "## Goals\n",
                markdown_table(("goal", "wanted", "measured", "reached"), self.goals()),
                "## Figures\n\nMedians; the spread is that of the rounds or places.\n",
                figures_in_markdown(self.figures()),
                "## What the figures mean\n" + CAVEATS,
            )
        )

    def _value(self, goal: Goal) -> float:
        figure = self._made[goal.value]
        return figure.value / self._made[RATIOS[goal.value]].value if goal.is_ratio else figure.high
