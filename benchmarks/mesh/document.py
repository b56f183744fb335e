"""The tables of the mesh benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.mesh.driver import Measured
from benchmarks.mesh.plan import unit_of
from benchmarks.mesh.prose import CAVEATS, REASONS, SETTINGS
from benchmarks.report import Figure, figures_in_markdown, heading, machine, markdown_table

NODES = 8
MAIN = f"voidlux signed {NODES} tls closed deliveries"


@dataclass(frozen=True, slots=True)
class Goal:
    """One aim: the figure `value` (through that of `to`, times `share`) is to reach `bound`."""

    what: str
    value: str
    bound: float
    at_most: bool = False
    to: str = ""

    def reached(self, measured: float) -> bool:
        """Tell whether a value is good enough."""
        return measured <= self.bound if self.at_most else measured >= self.bound


GOALS = (
    Goal("signed flood of 8 nodes, times pyipv8", MAIN, 25, to="pyipv8 flood 8 closed deliveries"),
    Goal("signed flood of 8 nodes, times py-libp2p", MAIN, 50, to="libp2p 8 closed deliveries"),
    Goal(
        "signed flood of 8 nodes, times what Ed25519 allows one thread",
        MAIN,
        0.8,
        to="ed25519 1 verifications",
    ),
    Goal(
        "unsigned, one hop, times raw msgspec frames",
        "voidlux unsigned 2 plain closed deliveries",
        0.5,
        to="raw msgspec closed deliveries",
    ),
    Goal("copies for each delivery, 21 nodes", "voidlux signed 21 tls open copies", 1.3, True),
    Goal("p99 at 20 records/s on 8 nodes, ms", "voidlux signed 8 tls open p99", 5, True),
    Goal("bytes of a sync of equal stores", "sync 0 missing bytes", 500, True),
    Goal("bytes of a sync, 1 missing of 10,000", "sync 1 missing bytes", 8192, True),
)
# What a figure is shown as a ratio of, by the beginning of its name.
RATIOS: tuple[tuple[str, str], ...] = (
    ("voidlux unsigned 2", "raw msgspec closed deliveries"),
    ("raw bytes", "raw msgspec closed deliveries"),
    ("voidlux signed", "ed25519 1 verifications"),
    ("pyipv8", MAIN),
    ("libp2p", MAIN),
    ("nats", MAIN),
)
TABLES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("Throughput, closed loop", lambda name: name.endswith(("deliveries", "verifications"))),
    ("Latency at 20 records a second, open loop", lambda name: name.endswith(("p50", "p99"))),
    ("Copies and bytes on the wire", lambda name: name.endswith(("copies", "wire bytes"))),
    (
        "Pull sync of 10,000 records, and memory",
        lambda name: name.startswith("sync") or name.endswith("memory"),
    ),
)


@dataclass(slots=True)
class Summary:
    """The figures of all rounds, in tables and words."""

    measured: Measured
    rounds: int
    took_s: float

    def figures(self) -> list[Figure]:
        """Return every figure once, and those of the goals again with their ratios."""
        made = self._made()
        plain = [each for _, some in self.tables() for each in some]
        aims = [
            made[goal.value].against(made[goal.to], name=goal.what)
            for goal in GOALS
            if goal.to in made and goal.value in made
        ]
        return [*plain, *aims]

    def tables(self) -> list[tuple[str, list[Figure]]]:
        """Return each table's title and rows."""
        made = self._made()
        return [
            (title, [_with_ratio(each, made) for name, each in made.items() if belongs(name)])
            for title, belongs in TABLES
        ]

    def text(self, command: str) -> str:
        """Return what the terminal shows below the tables."""
        parts = [
            markdown_table(("goal", "wanted", "measured", "reached"), self._goal_rows()),
            markdown_table(("deliveries of", "expected", "delivered"), self._count_rows()),
            *(f"{label}: no figures: {why}" for label, why in self.measured.failures.items()),
            f"`{command}`: {self.rounds} rounds, {self.took_s:.0f} s in all",
        ]
        return "\n".join(parts)

    def page(self, command: str) -> str:
        """Return docs/benchmarks/mesh.md."""
        facts = {**machine(), **dict(sorted(self.measured.versions.items()))}
        facts["rounds"] = f"{self.rounds}, {self.took_s:.0f} s in all"
        goals = markdown_table(("goal", "wanted", "measured", "reached"), self._goal_rows())
        counts = markdown_table(("deliveries of", "expected", "delivered"), self._count_rows())
        tables = "\n".join(
            f"## {title}\n\n{figures_in_markdown(figures)}" for title, figures in self.tables()
        )
        return "\n".join(
            [
                heading("The mesh, measured", command=command, facts=facts),
                f"## Goals\n\n{goals}\n{self._missed()}{tables}",
                f"## Expected and delivered\n\nAll rounds together.\n\n{counts}",
                f"## What runs beside it, and why that is fair\n\n{SETTINGS}",
                f"## Caveats\n\n{CAVEATS}{self._failed()}",
            ]
        )

    def _made(self) -> dict[str, Figure]:
        return {
            name: Figure.of(name, unit_of(name), rounds)
            for name, rounds in self.measured.figures.items()
        }

    def _value(self, goal: Goal) -> float | None:
        made = self._made()
        if goal.value not in made or (goal.to and goal.to not in made):
            return None
        value = made[goal.value].value
        return value / made[goal.to].value if goal.to else value

    def _goal_rows(self) -> list[tuple[str, ...]]:
        rows = []
        for goal in GOALS:
            value = self._value(goal)
            wanted = f"{'at most' if goal.at_most else 'at least'} {goal.bound:g}"
            if value is None:
                rows.append((goal.what, wanted, "not measured", ""))
            else:
                rows.append((goal.what, wanted, f"{value:.3g}", _yes(goal.reached(value))))
        return rows

    def _count_rows(self) -> list[tuple[str, ...]]:
        return [
            (name, f"{counts['expected']:,}", f"{counts['delivered']:,}")
            for name, counts in self.measured.counts.items()
        ]

    def _missed(self) -> str:
        missed = [
            f"- **{goal.what}**: {REASONS[goal.what]}\n"
            for goal in GOALS
            if (value := self._value(goal)) is not None
            and not goal.reached(value)
            and goal.what in REASONS
        ]
        return "Why some were missed:\n\n" + "".join(missed) + "\n" if missed else ""

    def _failed(self) -> str:
        failures = self.measured.failures.items()
        return "".join(f"- `{label}` gave no figures: {why}\n" for label, why in failures)


def _with_ratio(figure: Figure, made: dict[str, Figure]) -> Figure:
    if not figure.name.endswith("deliveries"):
        return figure
    for beginning, to in RATIOS:
        if figure.name.startswith(beginning) and to in made and to != figure.name:
            return figure.against(made[to])
    return figure


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
