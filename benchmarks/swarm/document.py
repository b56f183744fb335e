"""The tables of the swarm benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

from benchmarks.goals import Goal, GoalSummary
from benchmarks.swarm.begin import BARE, POSTED, READY
from benchmarks.swarm.prose import CAVEATS, REASONS, SETTINGS

SMALL, LARGE = 20, 2_000  # files of the repository


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


class Summary(GoalSummary):
    """The figures of all programs, in tables and words."""

    title = "The swarm, measured"
    goals_wanted = GOALS
    settings = SETTINGS
    caveats = CAVEATS
    reasons = REASONS
