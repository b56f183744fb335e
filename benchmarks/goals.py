"""Goals of a benchmark: what was wanted, measured and reached, and the page that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.report import Figure, figures_in_markdown, heading, machine, markdown_table


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim: the figure `value`, through that of `to` where one is named, is at most `bound`."""

    what: str
    value: str
    bound: float
    to: str = ""


class GoalSummary:
    """The figures of all programs, in tables and words; a benchmark fills in what it is about."""

    title: ClassVar[str]
    goals_wanted: ClassVar[Sequence[Goal]]
    settings: ClassVar[str]
    caveats: ClassVar[str]
    reasons: ClassVar[Mapping[str, str]]

    def __init__(
        self, figures: dict[str, Figure], *, took_s: float, rounds: int | None = None
    ) -> None:
        """Take the figures by name, how long all took, and how often, where that can be chosen."""
        self._made = figures
        self._took_s = took_s
        self._rounds = rounds

    def figures(self) -> list[Figure]:
        """Return every figure, with its ratio where a goal names one."""
        to = {goal.value: goal.to for goal in self.goals_wanted if goal.to}
        return [
            figure.against(self._made[to[name]]) if to.get(name) in self._made else figure
            for name, figure in self._made.items()
        ]

    def goals(self) -> list[tuple[str, str, str, str]]:
        """Return each goal with what was wanted, measured and reached."""
        rows = []
        for goal in self.goals_wanted:
            value = self._value(goal)
            told = ("not measured", "")
            if value is not None:
                told = (f"{value:.3g}", "yes" if value <= goal.bound else "no")
            rows.append((goal.what, f"at most {goal.bound:g}", *told))
        return rows

    def page(self, command: str) -> str:
        """Return the benchmark's page in docs/benchmarks."""
        took = f"{self._took_s:.0f} s in all"
        facts = machine()
        facts |= {"time": took} if self._rounds is None else {"rounds": f"{self._rounds}, {took}"}
        # It holds the benchmark's own processes too: well above the processors, others ran as well.
        facts["load average, 5 and 15 minutes"] = " and ".join(
            f"{load:.1f}" for load in os.getloadavg()[1:]
        )
        goals = markdown_table(("goal", "wanted", "measured", "reached"), self.goals())
        return "\n".join(
            [
                heading(self.title, command=command, facts=facts),
                f"## Goals\n\n{goals}\n{self._missed()}",
                f"## Figures\n\n{figures_in_markdown(self.figures())}",
                f"## What is measured\n\n{self.settings}",
                f"## Caveats\n\n{self.caveats}",
            ]
        )

    def _value(self, goal: Goal) -> float | None:
        if goal.value not in self._made or (goal.to and goal.to not in self._made):
            return None
        value = self._made[goal.value].value
        return value / self._made[goal.to].value if goal.to else value

    def _missed(self) -> str:
        """Say why goals were missed, by the whole name of a figure or what follows its place."""
        missed = [
            f"- **{goal.what}**: {why}\n"
            for goal in self.goals_wanted
            if (value := self._value(goal)) is not None
            and value > goal.bound
            and (why := self.reasons.get(goal.value) or self._reason_of_kind(goal))
        ]
        return "Why some were missed:\n\n" + "".join(missed) if missed else ""

    def _reason_of_kind(self, goal: Goal) -> str | None:
        return self.reasons.get(goal.value.rpartition(": ")[2])
