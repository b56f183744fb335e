"""How the figures of failover and Seneschal are judged, and their page."""

from __future__ import annotations

from benchmarks.failover.kills import LONGEST
from benchmarks.failover.prose import CAVEATS, REASONS, SETTINGS
from benchmarks.goals import Goal, GoalSummary
from benchmarks.seneschal import document as seneschal

GOALS = (
    Goal("kill -9 of the emperor to the next one's first goal, s, longest", LONGEST, 5),
    *seneschal.GOALS,
)


class Summary(GoalSummary):
    """The figures of all programs, in tables and words."""

    title = "Failover, measured"
    goals_wanted = GOALS
    settings = SETTINGS
    caveats = CAVEATS
    reasons = REASONS
