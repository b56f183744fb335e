"""Hiring by itself: ready work that no own agent is free for is given to the market.

Within the owner's buying policy only: a budget of VOID per 24 hours, a highest price per task, and
sellers that the operator vouches for unless the policy says otherwise. Off by default.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.conf import settings

from marketplace.models import BuyingPolicy, Offering, Partner, Tribute
from marketplace.queries import describe_wallet, live_offerings
from marketplace.services.admission import TASK_COUNT_MAX
from marketplace.services.buying import budget_left, buying_policy
from marketplace.services.cancelling import cancel_tribute
from marketplace.services.tributes import request_tribute
from marketplace.states import Standing, TributeStatus
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm.models import Task
from swarm.replication import terms
from swarm.services.supply import Supply
from swarm.states import TASK_TERMINAL, TaskStatus

log = logging.getLogger(__name__)

SATURATED_AFTER = timedelta(seconds=10)  # own agents are often free again within that
TRIED_AGAIN_AFTER = timedelta(minutes=10)
WAITING_LOOKED_AT_MAX = 500
OFFERINGS_LOOKED_AT_MAX = 50

_UNDER_WAY = (TributeStatus.PENDING, TributeStatus.ACCEPTED)
_CAME_TO_NOTHING = (
    *(TributeStatus.REJECTED, TributeStatus.EXPIRED),
    *(TributeStatus.CANCELLED, TributeStatus.FAILED),
)
_OWN_DOING = ("cancelled", "unused")
_MAY_STILL_NEED = (TaskStatus.PENDING, TaskStatus.BLOCKED)

Needs = frozenset[str]


@dataclass
class _Purse:
    """What may still be spent in this round: VOID, and VOID a task."""

    left: int
    price_max: int


def buy_overflow(now: datetime) -> int:
    """Request tributes for work that own agents are too busy for; returns how many.

    What was bought and is not needed any more is given back first.
    """
    give_back_unneeded(now)
    policy = buying_policy()
    if not policy.overflow or not terms.is_emperor():
        return 0
    purse = _Purse(min(budget_left(policy, now), describe_wallet()["available"]), policy.price_max)
    bought = 0
    for goal_id, needs, count in _waiting(now):
        bought += _buy(goal_id, needs, count, purse, policy, now)
    return bought


def give_back_unneeded(now: datetime) -> None:
    """Give back what was bought by itself for goals that have nothing left to give to anybody."""
    ours = Tribute.objects.filter(
        overflow=True, status__in=_UNDER_WAY, from_node_id=local_node().node_id
    )
    for tribute in ours:
        if Task.objects.filter(parent_id=tribute.goal_id, status__in=_MAY_STILL_NEED).exists():
            continue
        if room_of(tribute) > 0:
            cancel_tribute(tribute.id, reason="own agents took the work", now=now)


def room_of(tribute: Tribute) -> int:
    """Return how many executions of a tribute are neither used nor given back."""
    return tribute.task_count - tribute.released_count - tribute.executions.count()


def _waiting(now: datetime) -> Iterator[tuple[UUID, Needs, int]]:
    """Return goal, needs and number of ready subtasks that nobody here is free for.

    What tributes that are under way have room for is not counted again.
    """
    supply = Supply.look(now)
    ready = Task.objects.filter(
        status=TaskStatus.PENDING,
        parent__isnull=False,
        updated_at__lte=now - SATURATED_AFTER,
        created_by=local_node().node_id,
    ).exclude(parent__status__in=TASK_TERMINAL)
    rows = ready.order_by("-priority", "created_at").values_list(
        "parent_id", "required_capabilities"
    )
    counts: Counter[tuple[UUID, Needs]] = Counter()
    for goal_id, needs in rows[:WAITING_LOOKED_AT_MAX]:
        if goal_id is not None and not supply.can(needs):
            counts[goal_id, frozenset(needs)] += 1
    room = _room_by_goal()
    for (goal_id, needs), count in counts.items():
        covered = min(count, room[goal_id])
        room[goal_id] -= covered
        if count > covered:
            yield goal_id, needs, count - covered


def _room_by_goal() -> Counter[UUID]:
    """Return the room of this node's tributes per goal, whoever bought them."""
    room: Counter[UUID] = Counter()
    ours = Tribute.objects.filter(status__in=_UNDER_WAY, from_node_id=local_node().node_id)
    for tribute in ours.exclude(goal_id=None):
        assert tribute.goal_id is not None
        room[tribute.goal_id] += room_of(tribute)
    return room


def _buy(
    goal_id: UUID, needs: Needs, count: int, purse: _Purse, policy: BuyingPolicy, now: datetime
) -> int:
    bought = 0
    for offering in _offerings(goal_id, needs, policy, now):
        if count <= 0:
            break
        affordable = purse.left // offering.price_per_task if offering.price_per_task else count
        wanted = min(count, offering.idle_agents, TASK_COUNT_MAX, affordable)
        if wanted <= 0:
            continue
        try:
            tribute = request_tribute(
                offering_id=offering.id, task_count=wanted, goal_id=goal_id, now=now, overflow=True
            )
        except DomainError as refusal:
            log.info("nothing bought of offering %s: %s", offering.id.hex[:8], refusal)
            continue
        purse.left -= tribute.total_cost
        count -= wanted
        bought += 1
    return bought


def _offerings(goal_id: UUID, needs: Needs, policy: BuyingPolicy, now: datetime) -> list[Offering]:
    """Return what may be bought for a goal, the cheapest first."""
    tried = Tribute.objects.filter(
        goal_id=goal_id, status__in=_CAME_TO_NOTHING, updated_at__gt=now - TRIED_AGAIN_AFTER
    ).exclude(reason_code__in=_OWN_DOING)
    blocked = Partner.objects.filter(standing=Standing.BLOCKED)
    found = (
        live_offerings(now)
        .filter(price_per_task__lte=policy.price_max)
        .exclude(node_id=local_node().node_id)
        .exclude(node_id__in=[*tried.values_list("to_node_id", flat=True)])
        .exclude(node_id__in=blocked.values("node_id"))
    )
    if not policy.strangers:
        found = found.filter(node_id__in=_vouched_for())
    # Read before the first request is written: a query does not outlive that.
    capable = (each for each in found.iterator() if needs <= set(each.capabilities))
    return list(islice(capable, OFFERINGS_LOOKED_AT_MAX))


def _vouched_for() -> set[str]:
    approved = Partner.objects.filter(standing=Standing.APPROVED).values_list("node_id", flat=True)
    return {*settings.ENVIRONMENT.allow_nodes, *approved}
