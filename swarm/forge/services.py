"""Writes of pull requests: wanted when a goal is done, moved by what the forge shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from p2p import outbox
from p2p.protocol.errors import DomainError
from swarm.errors import NotFound, WrongState
from swarm.forge.addresses import Place
from swarm.forge.choosing import speaker_for
from swarm.forge.contract import Seen
from swarm.forge.models import FollowUp, PullRequest
from swarm.forge.queries import BARE_NOTE, describe_pull
from swarm.forge.states import PULL_ENDED, ForgeKind, PullState
from swarm.git.names import integration_branch
from swarm.hooks import TaskMoved
from swarm.models import Task
from swarm.replication import terms
from swarm.services import jobs
from swarm.services.goals import get_task, lane_of
from swarm.services.transitions import note_event
from swarm.states import TASK_TERMINAL, Actor, TaskStatus

OPEN_PULL = "open_pull_request"
LOOK_AT_PULL = "look_at_pull_request"
DELIVER = "deliver_follow_up"
LOOK_FIRST_S = 15.0  # then twice as long after each look without news


def on_task_moved(moved: TaskMoved) -> None:
    """Want a pull request for a goal that is done; send the work of a follow-up goal on."""
    if moved.task.parent_id is not None or moved.target not in TASK_TERMINAL:
        return
    follow_up = FollowUp.objects.filter(goal=moved.task).select_related("pull_request").first()
    if follow_up is not None:
        _end_follow_up(follow_up, moved)
    elif moved.target == TaskStatus.COMPLETED:
        want_pull(moved.task, now=moved.now)


def want_pull(goal: Task, *, now: datetime) -> PullRequest | None:
    """Keep that a completed goal wants a pull request; None where its remote is bare for us."""
    speaker = speaker_for(goal.repository)
    if speaker is None:
        return None
    with transaction.atomic():
        pull, made = PullRequest.objects.get_or_create(
            goal=goal, defaults=_columns(goal, *speaker, now)
        )
        if made:
            enqueue(pull, OPEN_PULL, now=now)
            tell(pull, now)
    return pull


def request_pull(goal_id: UUID, *, now: datetime) -> PullRequest:
    """Want a pull request at the operator's word, as for a token that was set later.

    DomainError says why there can be none; one that exists is returned as it is.
    """
    terms.require_emperor()
    goal = get_task(goal_id)
    if goal.parent_id or goal.status != TaskStatus.COMPLETED:
        raise WrongState(f"task {goal_id}", goal.status, "a pull request: it is no completed goal")
    if FollowUp.objects.filter(goal=goal).exists():
        raise DomainError("follow_up", f"goal {goal_id} goes to the pull request that it follows")
    pull = want_pull(goal, now=now)
    if pull is None:
        raise DomainError("no_forge", BARE_NOTE, status=422)
    return pull


def get_pull(pull_id: UUID) -> PullRequest:
    """Return a pull request with its goal, or raise NotFound."""
    pull = PullRequest.objects.select_related("goal").filter(id=pull_id).first()
    if pull is None:
        raise NotFound("pull request", pull_id)
    return pull


def retry_pull(pull_id: UUID, *, now: datetime) -> PullRequest:
    """Take up again what was given up: opening, or looking where it had been opened.

    WrongState when nothing was given up; what waits for its next try is brought forward.
    """
    terms.require_emperor()
    with transaction.atomic():
        pull = get_pull(pull_id)
        if pull.state not in (PullState.FAILED, PullState.WAITING):
            raise WrongState(f"pull request {pull_id}", pull.state, "retried")
        target = PullState.OPEN if pull.number else PullState.WAITING
        _update(pull, now, state=target, error="", tries=0, next_try_at=None)
        kind = LOOK_AT_PULL if pull.number else OPEN_PULL
        jobs.bring_forward(enqueue(pull, kind, now=now), now=now)
    return get_pull(pull_id)


def sync_pull(pull_id: UUID, *, now: datetime) -> PullRequest:
    """Look at an open pull request now; WrongState when it is not open."""
    terms.require_emperor()
    with transaction.atomic():
        pull = get_pull(pull_id)
        if pull.state != PullState.OPEN:
            raise WrongState(f"pull request {pull_id}", pull.state, "looked at")
        jobs.bring_forward(enqueue(pull, LOOK_AT_PULL, now=now), now=now)
    return pull


def record_seen(pull: PullRequest, seen: Seen, *, now: datetime) -> PullRequest:
    """Keep what the forge shows; the first sight of its URL makes that the goal's result."""
    first = not pull.number
    news = (seen.state, seen.head_commit, seen.checks) != (
        *(pull.state, pull.forge_commit, pull.checks),
    )
    with transaction.atomic():
        _update(
            pull,
            now,
            state=seen.state,
            number=seen.number,
            url=seen.url if seen.url.startswith(("https://", "http://")) else "",
            forge_commit=seen.head_commit,
            checks=seen.checks,
            error="",
            tries=0,
            next_try_at=None,
            quiet_looks=0 if news else pull.quiet_looks + 1,
            looked_at=now,
            opened_at=pull.opened_at or now,
            ended_at=now if seen.state in PULL_ENDED else None,
            note="" if seen.state in PULL_ENDED else pull.note,
        )
        found = get_pull(pull.id)
        if first:
            _make_result(found, now)
        if news:
            tell(found, now)
    return found


def note_failure(
    pull_id: UUID, error: str, *, tries: int, next_try_at: datetime | None, now: datetime
) -> None:
    """Keep that a try failed, and when the next one follows."""
    PullRequest.objects.filter(id=pull_id).update(
        error=error[:4000], tries=tries, next_try_at=next_try_at, updated_at=now
    )


def give_up(pull_id: UUID, error: str, *, now: datetime) -> None:
    """Leave a pull request `failed`: the attention list shows it until somebody retries."""
    pull = PullRequest.objects.filter(id=pull_id).first()
    if pull is None or pull.state in PULL_ENDED:
        return
    _update(pull, now, state=PullState.FAILED, error=error[:4000], next_try_at=None)
    tell(get_pull(pull_id), now)


def set_note(pull: PullRequest, note: str, *, now: datetime) -> None:
    """Keep what an open pull request waits for, and tell it when it is new."""
    if pull.note != note:
        _update(pull, now, note=note[:500])
        tell(get_pull(pull.id), now)


def forget_pull(pull: PullRequest, reason: str, *, now: datetime) -> None:
    """Take back that there will be a pull request: the remote is bare for us after all."""
    with transaction.atomic():
        goal = get_task(pull.goal_id)
        PullRequest.objects.filter(id=pull.id, number__isnull=True).delete()
        status = TaskStatus(goal.status)
        note_event(goal, status, status, by=Actor.GATE, reason=f"{reason}; {BARE_NOTE}", now=now)


def schedule_look(pull: PullRequest, *, now: datetime) -> None:
    """Look again, the later the longer nothing has happened."""
    longest_s = settings.ENVIRONMENT.pull_request_look_s
    delay_s = min(longest_s, LOOK_FIRST_S * 2 ** min(pull.quiet_looks, 16))
    enqueue(pull, LOOK_AT_PULL, now=now, due_at=now + timedelta(seconds=delay_s))


def enqueue(pull: PullRequest, kind: str, *, now: datetime, due_at: datetime | None = None) -> Any:
    """Queue a job about a pull request; one at a time of a project speaks to its forge."""
    lane = f"forge:{pull.kind}:{pull.project}"
    return jobs.enqueue(kind, key=pull.id.hex, lane=lane, now=now, due_at=due_at)


def tell(pull: PullRequest, now: datetime) -> None:
    """Tell the browsers of a pull request as it is now."""
    outbox.publish_event(
        "pull_request_update", pull.state, {"pull_request": describe_pull(pull)}, now=now
    )


def _columns(goal: Task, kind: ForgeKind, place: Place, now: datetime) -> dict[str, Any]:
    return {
        "kind": kind,
        "project": place.project,
        "title": goal.title,
        "head_branch": integration_branch(goal.id),
        "head_commit": goal.merged_commit,
        "base_branch": goal.base_branch,
        "auto_merge": goal.auto_merge,
        "head_pushed_at": now,
        "created_at": now,
        "updated_at": now,
    }


def _end_follow_up(follow_up: FollowUp, moved: TaskMoved) -> None:
    if moved.target == TaskStatus.COMPLETED:
        # It pushes, so it waits for the other git jobs of the repository.
        lane = lane_of(moved.task)
        jobs.enqueue(DELIVER, key=moved.task.id.hex, lane=lane, now=moved.now)
        return
    FollowUp.objects.filter(id=follow_up.id).update(ended_at=moved.now)
    note = f"round {follow_up.round} of review is {moved.target}: {moved.reason}"
    set_note(follow_up.pull_request, note, now=moved.now)


def _make_result(pull: PullRequest, now: datetime) -> None:
    """Record the URL as the goal's result, with an event that says so."""
    Task.objects.filter(id=pull.goal_id).update(result=pull.url, updated_at=now)
    goal = get_task(pull.goal_id)
    status = TaskStatus(goal.status)
    note_event(
        goal,
        status,
        status,
        by=Actor.GATE,
        reason=f"pull request {pull.number} is {pull.state} at {pull.url}",
        evidence={"pull_request": pull.id.hex, "url": pull.url, "commit": pull.head_commit},
        now=now,
    )


def _update(pull: PullRequest, now: datetime, **columns: Any) -> None:
    """Move or change a row that nobody else has moved; WrongState when somebody did."""
    rows = PullRequest.objects.filter(id=pull.id, state=pull.state)
    if not rows.update(updated_at=now, **columns):
        raise WrongState(f"pull request {pull.id}", "moved by another", columns.get("state", ""))
