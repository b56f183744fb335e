"""GitHub's commit statuses and check runs as one word."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.forge.states import Checks

GOOD_CONCLUSIONS = frozenset({"success", "neutral", "skipped"})


def judge(statuses: str, runs: Sequence[tuple[str, str | None]]) -> Checks:
    """Join the state of all commit statuses ("" for none) with check runs (status, conclusion)."""
    ended = [conclusion for status, conclusion in runs if status == "completed"]
    if statuses in ("failure", "error") or any(each not in GOOD_CONCLUSIONS for each in ended):
        return Checks.RED
    if statuses == "pending" or len(ended) < len(runs):
        return Checks.PENDING
    return Checks.GREEN if statuses or runs else Checks.NONE
