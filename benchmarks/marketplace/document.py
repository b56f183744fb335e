"""The tables of the marketplace benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchmarks.marketplace import crowd, many_offerings
from benchmarks.marketplace.negotiate import KNOWN, NEW
from benchmarks.marketplace.prose import CAVEATS, REASONS, SETTINGS
from benchmarks.marketplace.whole_trade import BOUGHT, HOME
from benchmarks.report import Figure, figures_in_markdown, heading, machine, markdown_table


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim: the median of `value`, through that of `to` where one is named, is at most this."""

    what: str
    value: str
    bound: float
    to: str = ""


GOALS = (
    Goal("request to accept, the remote known, ms", KNOWN, 20),
    Goal("request to accept, the remote never tried, ms", NEW, 20),
    Goal("a trivial task bought, times the same at home", BOUGHT, 1.5, HOME),
    Goal("page of 10,000 offerings with a capability, ms", many_offerings.FIRST, 30),
    Goal("of 1,000 tributes not accepted", crowd.NOT_ACCEPTED, 0),
    Goal("of 1,000 tributes seen differently", crowd.DIFFERENT, 0),
    Goal("VOID missing or held after 1,000 tributes", crowd.WRONG_BOOKS, 0),
    Goal("books refused after 1,000 tributes", crowd.UNVERIFIED, 0),
)


class Summary:
    """The figures of all programs, in tables and words."""

    def __init__(self, figures: dict[str, Figure], *, took_s: float) -> None:
        """Take the figures by name, and how long all of it took."""
        self._made = figures
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
            told = ("not measured", "")
            if value is not None:
                told = (f"{value:.3g}", "yes" if value <= goal.bound else "no")
            rows.append((goal.what, f"at most {goal.bound:g}", *told))
        return rows

    def page(self, command: str) -> str:
        """Return docs/benchmarks/marketplace.md."""
        facts = {**machine(), "time": f"{self._took_s:.0f} s in all"}
        # It holds the benchmark's own processes too: well above the processors, others ran as well.
        facts["load average, 5 and 15 minutes"] = " and ".join(
            f"{load:.1f}" for load in os.getloadavg()[1:]
        )
        goals = markdown_table(("goal", "wanted", "measured", "reached"), self.goals())
        return "\n".join(
            [
                heading("The marketplace, measured", command=command, facts=facts),
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
            f"- **{goal.what}**: {REASONS[goal.value]}\n"
            for goal in GOALS
            if (value := self._value(goal)) is not None
            and value > goal.bound
            and goal.value in REASONS
        ]
        return "Why some were missed:\n\n" + "".join(missed) if missed else ""
