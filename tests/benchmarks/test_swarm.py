"""How the swarm benchmark judges its figures."""

from __future__ import annotations

import pytest

from benchmarks.report import Figure
from benchmarks.swarm.begin import BARE, READY
from benchmarks.swarm.document import Summary
from benchmarks.swarm.prose import REASONS
from benchmarks.swarm.result import print_rounds, read_rounds

ROUNDS = {
    f"20 files: {BARE}": [40.0, 42.0, 44.0],
    f"20 files: {READY}": [80.0, 84.0, 400.0],
    "monitor": [3.0],
}


def summary() -> Summary:
    figures = {name: Figure.of(name, "ms", values) for name, values in ROUNDS.items()}
    return Summary(figures, rounds=1, took_s=60.0)


def test_a_goal_is_judged_by_the_ratio_of_medians() -> None:
    rows = summary().goals()

    assert rows[0] == (
        "a ready task to its process, 20 files, times bare",
        "at most 1.5",
        "2",
        "no",
    )
    assert rows[1][2:] == ("not measured", "")
    assert ("monitor of 20 agents, % of a core", "at most 5", "3", "yes") in rows


def test_the_page_says_why_a_goal_was_missed() -> None:
    page = summary().page("make bench-swarm")

    assert f"- **a ready task to its process, 20 files, times bare**: {REASONS[READY]}" in page
    assert f"| 20 files: {READY} | 84 | ms | 80 - 400 | 2 | 20 files: {BARE} |" in page


def test_rounds_are_read_as_they_were_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_rounds("ms", ROUNDS)

    assert read_rounds(f"something else\n{capsys.readouterr().out}") == ("ms", ROUNDS)
    with pytest.raises(ValueError, match="Expecting value"):
        read_rounds("")
