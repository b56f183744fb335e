"""The tables of the marketplace benchmark, what was reached and what was missed, and its page."""

from __future__ import annotations

from benchmarks.goals import Goal, GoalSummary
from benchmarks.marketplace import crowd, many_offerings
from benchmarks.marketplace.negotiate import KNOWN, NEW
from benchmarks.marketplace.prose import CAVEATS, REASONS, SETTINGS
from benchmarks.marketplace.whole_trade import BOUGHT, HOME

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


class Summary(GoalSummary):
    """The figures of all programs, in tables and words."""

    title = "The marketplace, measured"
    goals_wanted = GOALS
    settings = SETTINGS
    caveats = CAVEATS
    reasons = REASONS
