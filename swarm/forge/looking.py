"""Looks at an open pull request: its state, its checks, its comments; and merges if asked to."""

from __future__ import annotations

from datetime import datetime, timedelta

from p2p.clock import now_utc
from swarm.forge import services
from swarm.forge.choosing import forge_for
from swarm.forge.contract import Forge, Seen
from swarm.forge.failures import ForgeError
from swarm.forge.models import PullRequest
from swarm.forge.review import follow_up_open, keep_remarks, start_round, undecided
from swarm.forge.states import Checks, PullState
from swarm.gate.fencing import hold_fence_of

NO_CHECKS_GRACE = timedelta(seconds=60)  # checks appear some time after the push
NOT_MERGEABLE = frozenset({405, 406, 409, 422})


def look_at(pull: PullRequest) -> None:
    """Keep what the forge shows now, make work of new comments, merge when all is well.

    Fenced or NotEmperor before either where the goal is another emperor's by now.
    """
    if pull.state != PullState.OPEN or pull.number is None:
        return
    forge = forge_for(pull)
    seen = forge.look(pull.number)
    pull = services.record_seen(pull, seen, now=now_utc())
    if pull.state != PullState.OPEN:
        return
    keep_remarks(pull, forge.remarks(seen), now=now_utc())
    if pull.auto_merge or undecided(pull).exists():
        hold_fence_of(pull.goal)
    note = start_round(pull, now=now_utc())
    if pull.auto_merge:
        note = note or _merge(pull, forge, seen)
    pull = services.get_pull(pull.id)
    if pull.state == PullState.OPEN:
        services.set_note(pull, note, now=now_utc())
        services.schedule_look(services.get_pull(pull.id), now=now_utc())


def why_not_merged(pull: PullRequest, seen: Seen, *, now: datetime) -> str:
    """Return what a merge still waits for; empty when it may be done."""
    if seen.head_commit != pull.head_commit:
        return (
            f"not merged by itself: its head {seen.head_commit[:8]} is not the proved "
            f"commit {pull.head_commit[:8]}"
        )
    if follow_up_open(pull):
        return "the merge waits for the work after review"
    if undecided(pull):
        return "not merged by itself: there are comments that became no work"
    if seen.checks == Checks.NONE and now < pull.head_pushed_at + NO_CHECKS_GRACE:
        return "the merge waits for checks to appear"
    return {
        Checks.PENDING: "the merge waits for the checks",
        Checks.RED: "not merged: the checks are red",
        Checks.UNKNOWN: "not merged by itself: the token may not read the checks",
    }.get(seen.checks, "")


def _merge(pull: PullRequest, forge: Forge, seen: Seen) -> str:
    """Merge and keep what came of it; returns why not, empty when it is merged."""
    reason = why_not_merged(pull, seen, now=now_utc())
    if reason:
        return reason
    try:
        forge.merge(seen.number, pull.head_commit)
    except ForgeError as refused:
        if refused.status in NOT_MERGEABLE:
            return f"not merged: {refused}"
        raise
    services.record_seen(pull, forge.look(seen.number), now=now_utc())
    return ""
