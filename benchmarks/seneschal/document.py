"""How the Seneschal's figures are judged, and their page."""

from __future__ import annotations

from benchmarks.goals import Goal, GoalSummary
from benchmarks.seneschal.idle_sockets import ADDED, SOCKETS
from benchmarks.seneschal.prose import CAVEATS, REASONS, SETTINGS
from benchmarks.seneschal.through import ADDED_P50, DIRECT, THROUGH


def _requests(server: str) -> Goal:
    what = f"a request through it, {server}, times direct"
    return Goal(what, f"{server}: {THROUGH}", 2.5, f"{server}: {DIRECT}")


GOALS = (
    _requests("small"),
    _requests("node"),
    Goal("added to a request, small, p50 ms", f"small: {ADDED_P50}", 1.5),
    Goal("added to a request, node, p50 ms", f"node: {ADDED_P50}", 1.5),
    Goal(f"{SOCKETS} idle WebSockets, MB", ADDED.format(SOCKETS), 50),
)


class Summary(GoalSummary):
    """The figures of all programs, in tables and words."""

    title = "The Seneschal, measured"
    goals_wanted = GOALS
    settings = SETTINGS
    caveats = CAVEATS
    reasons = REASONS
