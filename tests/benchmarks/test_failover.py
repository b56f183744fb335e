"""How the figures of failover and Seneschal are judged, on the page that they share."""

from __future__ import annotations

from benchmarks.failover.document import Summary
from benchmarks.failover.kills import ACTING, LONGEST, P99, summed_up
from benchmarks.report import Figure
from benchmarks.seneschal.idle_sockets import ADDED, SOCKETS
from benchmarks.seneschal.prose import REASONS
from benchmarks.seneschal.through import ADDED_P50, DIRECT, THROUGH

SECONDS = [3.0, 3.5, 5.5]
ROUNDS = {
    ACTING: SECONDS,
    **summed_up(SECONDS),
    f"small: {DIRECT}": [0.1, 0.1, 0.2],
    f"small: {THROUGH}": [0.3, 0.3, 0.4],
    f"node: {DIRECT}": [2.0],
    f"node: {THROUGH}": [3.0],
    f"small: {ADDED_P50}": [1.0],
    ADDED.format(SOCKETS): [20.0],
}


def summary() -> Summary:
    figures = {name: Figure.of(name, "", values) for name, values in ROUNDS.items()}
    return Summary(figures, took_s=60.0)


def test_goals_are_judged_by_medians_and_their_ratios() -> None:
    assert [row[2:] for row in summary().goals()] == [
        ("5.5", "no"),
        ("3", "no"),
        ("1.5", "yes"),
        ("1", "yes"),
        ("not measured", ""),
        ("20", "yes"),
    ]


def test_a_single_run_is_all_there_is_to_sum_up() -> None:
    assert summed_up([3.25]) == {P99: [3.25], LONGEST: [3.25]}


def test_the_page_says_why_a_goal_was_missed() -> None:
    page = summary().page("make bench-failover")

    assert f"- **a request through it, small, times direct**: {REASONS[THROUGH]}" in page
    assert REASONS[ADDED_P50] not in page
    assert "| kill -9 to a goal accepted by it, p99 | 5.46 |" in page
