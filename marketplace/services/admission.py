"""Whether a seller takes a buyer's request: the rules, in the order in which they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Q

from marketplace.messages import TributeBody
from marketplace.models import Offering, SellingPolicy, Tribute
from marketplace.queries import state_of
from marketplace.services.credit import may_owe
from marketplace.services.partners import standing_of
from marketplace.services.selling import is_open, selling_policy, stock
from marketplace.states import (
    EXECUTION_TERMINAL,
    Acceptance,
    RejectCode,
    Standing,
    TributeStatus,
)
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.timestamps import from_timestamp
from swarm.git.names import validate_url

TASK_COUNT_MAX = 50
WAITING_MAX = 20  # undecided requests of one buyer
DEADLINE_MAX_S = 86_400
WORK_DEADLINE_MAX_S = 8 * 86_400  # a week, and a day for clocks that differ


@dataclass(frozen=True)
class Request:
    """A stored request with what it is judged by."""

    tribute: Tribute
    offering: Offering
    policy: SellingPolicy
    now: datetime


Rule = Callable[[Request], DomainError | None]


def check_body(body: TributeBody, now: datetime) -> None:
    """DomainError for a request that is not even stored: its numbers or times cannot be."""
    if not 1 <= body.task_count <= TASK_COUNT_MAX:
        raise DomainError(
            "bad_count", f"task_count is {body.task_count}: 1 to {TASK_COUNT_MAX} is allowed"
        )
    if body.total_cost % body.task_count:
        raise DomainError(
            "bad_count", f"{body.task_count} tasks cannot cost {body.total_cost} VOID together"
        )
    if Tribute.objects.filter(id=body.id).exists():
        raise DomainError("duplicate", f"tribute {body.id} exists already")
    if from_timestamp(body.deadline_at) > now + timedelta(seconds=DEADLINE_MAX_S):
        raise DomainError(
            "bad_deadline", f"deadline {body.deadline_at} is more than {DEADLINE_MAX_S} s ahead"
        )
    work_deadline_at = from_timestamp(body.work_deadline_at)
    latest = now + timedelta(seconds=WORK_DEADLINE_MAX_S)
    if not now < work_deadline_at <= latest:
        raise DomainError(
            "bad_deadline",
            f"work deadline {body.work_deadline_at} is not within {WORK_DEADLINE_MAX_S} s",
        )


def check_waiting(buyer_node_id: str) -> None:
    """DomainError `too_many_requests` for a buyer that waits for too many decisions already."""
    waiting = Tribute.objects.filter(
        from_node_id=buyer_node_id,
        to_node_id=local_node().node_id,
        status=TributeStatus.PENDING,
    ).count()
    if waiting >= WAITING_MAX:
        raise DomainError(
            "too_many_requests",
            f"{waiting} requests of {buyer_node_id[:8]} wait, {WAITING_MAX} are allowed",
        )


def refusal_of(tribute: Tribute, now: datetime) -> DomainError | None:
    """Return why a request cannot be accepted now, with a RejectCode; None where it can."""
    offering = Offering.objects.filter(id=tribute.offering_id).first()
    if offering is None or offering.node_id != local_node().node_id:
        return DomainError(RejectCode.OFFERING_GONE, "there is no such offering")
    request = Request(tribute, offering, selling_policy(), now)
    return next((refusal for rule in RULES if (refusal := rule(request)) is not None), None)


def waits_for_operator(buyer_node_id: str) -> bool:
    """Tell whether a person decides on a buyer's request that no rule refuses."""
    if selling_policy().acceptance == Acceptance.MANUAL:
        return True
    return standing_of(buyer_node_id) == Standing.STRANGER


def _allowed(request: Request) -> DomainError | None:
    buyer = request.tribute.from_node_id
    if standing_of(buyer) == Standing.BLOCKED:
        return DomainError(RejectCode.NOT_ALLOWED, "this node sells nothing to the buyer")
    listed = buyer in settings.ENVIRONMENT.allow_nodes
    if request.policy.acceptance == Acceptance.ALLOWLIST and not listed:
        return DomainError(RejectCode.NOT_ALLOWED, "the buyer is not on the seller's allow-list")
    return None


def _in_time(request: Request) -> DomainError | None:
    if min(request.tribute.deadline_at, request.tribute.work_deadline_at) <= request.now:
        return DomainError(RejectCode.EXPIRED, "the deadline has passed")
    return None


def _offering_lives(request: Request) -> DomainError | None:
    state = state_of(request.offering, request.now)
    if state != "live":
        return DomainError(RejectCode.OFFERING_GONE, f"the offering is {state}")
    return None


def _same_terms(request: Request) -> DomainError | None:
    tribute, offering = request.tribute, request.offering
    if tribute.price_per_task != offering.price_per_task:
        return DomainError(
            RejectCode.WRONG_PRICE,
            f"{tribute.price_per_task} VOID a task offered, the price is {offering.price_per_task}",
        )
    if tribute.policy != offering.policy:
        return DomainError(
            RejectCode.WRONG_POLICY,
            f"policy {tribute.policy} asked for, the offering's is {offering.policy}",
        )
    return None


def _enough_agents(request: Request) -> DomainError | None:
    # The offering may be older than what is idle, and than other acceptances, by a moment.
    free = len(stock(request.policy, request.now).agents)
    wanted, idle = request.tribute.task_count, min(request.offering.idle_agents, free)
    if wanted > idle:
        return DomainError(
            RejectCode.NO_IDLE_AGENTS, f"{wanted} tasks wanted, {idle} agents are idle"
        )
    return None


def _repository(request: Request) -> DomainError | None:
    try:
        validate_url(request.tribute.repository)
    except DomainError as bad:
        return DomainError(RejectCode.BAD_REPOSITORY, str(bad))
    return None


def _within_hours(request: Request) -> DomainError | None:
    if is_open(request.policy, request.now):
        return None
    return DomainError(RejectCode.OUTSIDE_HOURS, f"work is taken at {request.policy.hours}")


def _within_buyers_limit(request: Request) -> DomainError | None:
    limit = request.policy.executions_per_buyer_max
    unsettled = _unsettled_of(request.tribute)
    wanted = request.tribute.task_count
    if unsettled + wanted <= limit:
        return None
    return DomainError(
        RejectCode.BUYER_LIMIT,
        f"{wanted} tasks wanted, {unsettled} of this buyer are not settled, {limit} are allowed",
    )


def _within_credit(request: Request) -> DomainError | None:
    return may_owe(request.tribute.from_node_id, request.tribute.total_cost, request.now)


# Each answers None or a refusal; the first refusal counts.
RULES: tuple[Rule, ...] = (
    _in_time,
    _offering_lives,
    _allowed,
    _same_terms,
    _repository,
    _within_hours,
    _enough_agents,
    _within_buyers_limit,
    _within_credit,
)


def _unsettled_of(tribute: Tribute) -> int:
    """Return how many executions the other requests of a tribute's buyer may still need."""
    others = Tribute.objects.filter(
        from_node_id=tribute.from_node_id,
        to_node_id=tribute.to_node_id,
        status__in=[TributeStatus.PENDING, TributeStatus.ACCEPTED],
    ).exclude(id=tribute.id)
    closed = Count("executions", filter=Q(executions__status__in=list(EXECUTION_TERMINAL)))
    rows = others.annotate(closed=closed).values_list("task_count", "released_count", "closed")
    return sum(count - released - ended for count, released, ended in rows)
