"""How the merge benchmark judges its figures."""

from __future__ import annotations

from benchmarks.merge.culprit import RUNS, WRONG
from benchmarks.merge.document import Summary
from benchmarks.merge.speed import GATE, LOOP, WHOLE_GATE, WHOLE_LOOP
from benchmarks.report import Figure

ROUNDS = {
    GATE: [30.0, 40.0, 90.0],
    LOOP: [100.0, 100.0, 120.0],
    WHOLE_GATE: [200.0],
    WHOLE_LOOP: [100.0],
    RUNS.format("1 worker"): [7.0, 7.0, 8.0],
    WRONG.format("1 worker"): [0.0],
    WRONG.format("4 workers"): [1.0],
}


def test_goals_are_judged_by_the_median_ratio_and_the_worst_place() -> None:
    figures = {name: Figure.of(name, "", values) for name, values in ROUNDS.items()}
    summary = Summary(figures, rounds=3, took_s=1.0)

    assert [row[1:] for row in summary.goals()] == [
        ("at most 0.5", "0.4", "yes"),
        ("at most 7", "8", "no"),
        ("at most 0", "0", "yes"),
        ("at most 0", "1", "no"),
    ]
    assert "| merges by the gate | 40 |" in summary.page("make bench-merge")
