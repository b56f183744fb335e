"""The owner's buying policy: when the dispatcher may hire by itself, and for how much."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum

from marketplace.models import BuyingPolicy, LedgerEntry, Tribute
from marketplace.states import EntryKind
from p2p.local import local_node
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import AMOUNT_MAX

BUDGET_WINDOW = timedelta(hours=24)


def buying_policy() -> BuyingPolicy:
    """Return the policy, switched off where the owner never set one."""
    return BuyingPolicy.objects.filter(id=1).first() or BuyingPolicy()


def set_buying_policy(
    *, overflow: bool, budget_per_day: int, price_max: int, strangers: bool
) -> BuyingPolicy:
    """Store the whole policy; DomainError `bad_price` for an amount of VOID out of range."""
    for name, amount in (("budget_per_day", budget_per_day), ("price_max", price_max)):
        if not 0 <= amount <= AMOUNT_MAX:
            raise DomainError("bad_price", f"{name} is {amount}: 0 to {AMOUNT_MAX} is allowed", 422)
    if overflow and not budget_per_day:
        raise DomainError(
            "bad_price", "budget_per_day is 0: with overflow on it must be at least 1", 422
        )
    policy, _ = BuyingPolicy.objects.update_or_create(
        id=1,
        defaults={
            "overflow": overflow,
            "budget_per_day": budget_per_day,
            "price_max": price_max,
            "strangers": strangers,
        },
    )
    return policy


def budget_left(policy: BuyingPolicy, now: datetime) -> int:
    """Return the VOID of the last 24 hours' budget that is neither held nor spent."""
    recent = Tribute.objects.filter(
        overflow=True, from_node_id=local_node().node_id, created_at__gt=now - BUDGET_WINDOW
    )
    entries = LedgerEntry.objects.filter(tribute_id__in=recent.values("id")).order_by()
    sums = dict(entries.values_list("kind").annotate(Sum("amount")))
    used = sums.get(EntryKind.HOLD, 0) - sums.get(EntryKind.RELEASE, 0)
    return max(0, policy.budget_per_day - used)


def describe_buying_policy(now: datetime) -> dict[str, Any]:
    """Return the policy as JSON-ready data, with what is left of the budget."""
    policy = buying_policy()
    return {
        "overflow": policy.overflow,
        "budget_per_day": policy.budget_per_day,
        "budget_left": budget_left(policy, now),
        "price_max": policy.price_max,
        "strangers": policy.strangers,
    }
