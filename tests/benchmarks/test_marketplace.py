"""How the marketplace benchmark judges its figures."""

from __future__ import annotations

from benchmarks.marketplace import crowd, many_offerings
from benchmarks.marketplace.document import Summary
from benchmarks.marketplace.negotiate import KNOWN
from benchmarks.marketplace.prose import REASONS
from benchmarks.marketplace.whole_trade import BOUGHT, HOME
from benchmarks.report import Figure

ROUNDS = {
    KNOWN: [18.0, 22.0, 90.0],
    HOME: [1000.0, 1200.0, 1400.0],
    BOUGHT: [1500.0, 1500.0, 1500.0],
    many_offerings.FIRST: [4.0],
    crowd.NOT_ACCEPTED: [0.0],
    crowd.WRONG_BOOKS: [2.0],
}


def summary() -> Summary:
    figures = {name: Figure.of(name, "", values) for name, values in ROUNDS.items()}
    return Summary(figures, took_s=60.0)


def test_goals_are_judged_by_medians_and_their_ratios() -> None:
    assert [row[2:] for row in summary().goals()] == [
        ("22", "no"),
        ("not measured", ""),
        ("1.25", "yes"),
        ("4", "yes"),
        ("0", "yes"),
        ("not measured", ""),
        ("2", "no"),
        ("not measured", ""),
    ]


def test_the_page_says_why_a_goal_was_missed() -> None:
    page = summary().page("make bench-marketplace")

    assert f"- **request to accept, the remote known, ms**: {REASONS[KNOWN]}" in page
    assert f"| {BOUGHT} | 1,500 |" in page
    assert REASONS[BOUGHT] not in page
