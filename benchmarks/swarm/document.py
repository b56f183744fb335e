"""The tables of the swarm benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.report import Figure, figures_in_markdown, heading, machine, markdown_table
from benchmarks.swarm.begin import BARE, POSTED, READY
from benchmarks.swarm.prose import CAVEATS, REASONS, SETTINGS

SMALL, LARGE = 20, 2_000  # files of the repository


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim: the figure `value`, through that of `to` where one is named, is at most `bound`."""

    what: str
    value: str
    bound: float
    to: str = ""


def _beginning(files: int, what: str, value: str) -> Goal:
    name, bare = f"{files} files: {value}", f"{files} files: {BARE}"
    return Goal(f"{what}, {files:,} files, times bare", name, 1.5, bare)


GOALS = (
    _beginning(SMALL, "a ready task to its process", READY),
    _beginning(SMALL, "POST of a goal to its process", POSTED),
    _beginning(LARGE, "a ready task to its process", READY),
    _beginning(LARGE, "POST of a goal to its process", POSTED),
    Goal("monitor of 20 agents, % of a core", "monitor", 5),
    Goal("dispatch decision among 1,000 tasks, ms of CPU", "dispatch: choice, CPU time", 5),
    Goal(
        "page of 10,000 tasks, times its bare query",
        "list: page of the API",
        3,
        "list: bare query",
    ),
)


class Summary:
    """The figures of all rounds, in tables and words."""

    def __init__(self, figures: dict[str, Figure], *, rounds: int, took_s: float) -> None:
        """Take the figures by name, how often each program ran, and how long all of it took."""
        self._made = figures
        self._rounds = rounds
        self._took_s = took_s

    def figures(self) -> list[Figure]:
        """Return every figure, with its ratio where a goal names one."""
        to = {goal.value: goal.to for goal in GOALS if goal.to}
        return [
            figure.against(self._made[to[name]]) if to.get(name) in self._made else figure
            for name, figure in self._made.items()
        ]

    def goals(self) -> list[tuple[str, str, str, str]]:
        """Return each goal with what was wanted, measured and reached."""
        rows = []
        for goal in GOALS:
            value = self._value(goal)
            told = ("not measured", "") if value is None else (f"{value:.3g}", _yes(goal, value))
            rows.append((goal.what, f"at most {goal.bound:g}", *told))
        return rows

    def page(self, command: str) -> str:
        """Return docs/benchmarks/swarm.md."""
        facts = {**machine(), "rounds": f"{self._rounds}, {self._took_s:.0f} s in all"}
        # It holds the benchmark's own processes too: well above the processors, others ran as well.
        facts["load average, 5 and 15 minutes"] = " and ".join(
            f"{load:.1f}" for load in os.getloadavg()[1:]
        )
        goals = markdown_table(("goal", "wanted", "measured", "reached"), self.goals())
        return "\n".join(
            [
                heading("The swarm, measured", command=command, facts=facts),
                f"## Goals\n\n{goals}\n{self._missed()}",
                f"## Figures\n\n{figures_in_markdown(self.figures())}",
                f"## What is measured\n\n{SETTINGS}",
                f"## Caveats\n\n{CAVEATS}",
            ]
        )

    def _value(self, goal: Goal) -> float | None:
        if goal.value not in self._made or (goal.to and goal.to not in self._made):
            return None
        value = self._made[goal.value].value
        return value / self._made[goal.to].value if goal.to else value

    def _missed(self) -> str:
        missed = [
            f"- **{goal.what}**: {why}\n"
            for goal in GOALS
            if (value := self._value(goal)) is not None
            and value > goal.bound
            and (why := REASONS.get(goal.value) or REASONS.get(goal.value.rpartition(": ")[2]))
        ]
        return "Why some were missed:\n\n" + "".join(missed) if missed else ""


def _yes(goal: Goal, value: float) -> str:
    return "yes" if value <= goal.bound else "no"
