"""Offerings, tributes, their executions, payments and the wallet's ledger."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.db.models import F, Q

from marketplace.policies import BuyingPolicy as BuyingPolicy  # found by Django here
from marketplace.policies import Partner as Partner
from marketplace.policies import SellingPolicy as SellingPolicy
from marketplace.states import (
    EndReason,
    EntryKind,
    ExecutionStatus,
    Isolation,
    OfferingChange,
    PaymentStatus,
    RequeuePolicy,
    TributeStatus,
)


class Offering(models.Model):
    """Idle agents that a node sells; written by that node only."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node_id = models.CharField(max_length=32)
    swarm = models.CharField(max_length=64)
    addresses = models.JSONField(default=list, help_text="List of {host, port}.")
    idle_agents = models.PositiveSmallIntegerField()
    capabilities = models.JSONField(default=list, blank=True)
    price_per_task = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=8, default="VOID")
    policy = models.CharField(
        max_length=16, choices=RequeuePolicy, default=RequeuePolicy.ACCEPTED_RESULT
    )
    isolation = models.CharField(
        max_length=8,
        choices=Isolation,
        default=Isolation.WORKTREE,
        help_text="What sold work runs in.",
    )
    api_keys = models.BooleanField(
        default=False,
        help_text="The seller declares that its agents run on API keys that may serve others.",
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(null=True, blank=True, help_text="When browsers were told.")
    ended_reason = models.CharField(
        max_length=16, choices=EndReason, blank=True, help_text="Why this node withdrew its own."
    )

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["node_id"], name="offering_node"),
            models.Index(fields=["withdrawn_at", "expires_at"], name="offering_live"),
        ]

    def __str__(self) -> str:
        return f"{self.id.hex[:8]} {self.idle_agents} × {self.price_per_task} {self.currency}"


class OfferingKey(models.Model):
    """Where an offering is found: one row under each of its capabilities, and one under none.

    One index then serves the cheapest offerings that can do something, however many there are.
    """

    offering = models.ForeignKey(Offering, on_delete=models.CASCADE, related_name="keys")
    capability = models.CharField(max_length=64, blank=True, help_text="Empty: any.")
    is_open = models.BooleanField(default=True, help_text="Not known to have ended.")
    price_per_task = models.PositiveBigIntegerField()

    class Meta:
        indexes = [
            # SQLite would not use `is_open` as a column of the index: as its condition it does.
            models.Index(
                fields=["capability", "price_per_task", "id"],
                condition=Q(is_open=True),
                name="offering_cheapest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.capability or 'any'} at {self.price_per_task}"


class OfferingEvent(models.Model):
    """A change of one of this node's own offerings; renewals without a change are none."""

    offering = models.ForeignKey(Offering, on_delete=models.CASCADE, related_name="events")
    change = models.CharField(max_length=9, choices=OfferingChange)
    reason = models.CharField(max_length=16, choices=EndReason, blank=True)
    idle_agents = models.PositiveSmallIntegerField()
    price_per_task = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        indexes = [models.Index(fields=["created_at"], name="offering_event_at")]

    def __str__(self) -> str:
        return f"{self.change} {self.idle_agents} × {self.price_per_task}"


class Tribute(models.Model):
    """An agreement between a buyer and a seller about N task executions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    offering_id = models.UUIDField()
    from_node_id = models.CharField(max_length=32, help_text="The buyer.")
    to_node_id = models.CharField(max_length=32, help_text="The seller.")
    goal_id = models.UUIDField(null=True, blank=True, help_text="Known to the buyer only.")
    repository = models.CharField(max_length=512)
    ref = models.CharField(max_length=200, blank=True)
    task_count = models.PositiveSmallIntegerField()
    released_count = models.PositiveSmallIntegerField(
        default=0, help_text="Executions that were given back unused."
    )
    capabilities = models.JSONField(
        default=list, blank=True, help_text="What the offering's agents could do when it was made."
    )
    price_per_task = models.PositiveBigIntegerField()
    total_cost = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=8, default="VOID")
    policy = models.CharField(
        max_length=16, choices=RequeuePolicy, default=RequeuePolicy.ACCEPTED_RESULT
    )
    status = models.CharField(max_length=10, choices=TributeStatus, default=TributeStatus.PENDING)
    reason_code = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    tx_hash = models.CharField(max_length=66, blank=True)
    request_frame = models.BinaryField(default=b"")
    answer_frame = models.BinaryField(default=b"")
    deadline_at = models.DateTimeField(help_text="An answer after this is too late.")
    work_deadline_at = models.DateTimeField(
        help_text="From then on the buyer may take back what is not reported."
    )
    overflow = models.BooleanField(
        default=False, help_text="Bought by the dispatcher, within the buying policy."
    )
    reserved_until = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(
        null=True, blank=True, help_text="When the seller found that it could push there."
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["status"], name="tribute_status"),
            models.Index(fields=["from_node_id"], name="tribute_from"),
            models.Index(fields=["to_node_id"], name="tribute_to"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(task_count__gte=1), name="tribute_buys_something"),
            models.CheckConstraint(
                condition=Q(total_cost=F("task_count") * F("price_per_task")),
                name="tribute_cost_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(released_count__lte=F("task_count")), name="tribute_released_within"
            ),
            models.CheckConstraint(
                condition=~Q(from_node_id=F("to_node_id")), name="tribute_between_two"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id.hex[:8]} {self.task_count} × {self.price_per_task} {self.status}"


class Execution(models.Model):
    """One task done under a tribute until the buyer's verdict.

    Under `accepted_result` there is one per task, re-runs included (`run` is 1); under
    `execution` there is one per run.
    """

    tribute = models.ForeignKey(Tribute, on_delete=models.CASCADE, related_name="executions")
    task_id = models.UUIDField()
    run = models.PositiveSmallIntegerField(default=1)
    title = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10, choices=ExecutionStatus, default=ExecutionStatus.OPEN)
    commit = models.CharField(max_length=64, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)
    report_frame = models.BinaryField(default=b"", help_text="The seller's signed TASK_COMPLETE.")
    reason = models.CharField(max_length=500, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    ask_again_at = models.DateTimeField(
        null=True, blank=True, help_text="The seller would not give it back; asked again then."
    )

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["tribute", "task_id", "run"], name="execution_once_per_run"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} {self.status}"


class Payment(models.Model):
    """A transfer proposed by the payer, voted by the payee and closed by the commit."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    execution = models.OneToOneField(
        Execution,
        on_delete=models.PROTECT,
        related_name="payment",
        null=True,
        blank=True,
        help_text="Empty where the deal itself was lost, or the payment was refused.",
    )
    payer_node_id = models.CharField(max_length=32)
    payee_node_id = models.CharField(max_length=32)
    amount = models.PositiveBigIntegerField()
    status = models.CharField(max_length=9, choices=PaymentStatus, default=PaymentStatus.PROPOSED)
    reason = models.CharField(max_length=500, blank=True)
    propose_frame = models.BinaryField(default=b"", help_text="The payer's signature.")
    vote_frame = models.BinaryField(default=b"", help_text="The payee's signature.")
    uncovered = models.PositiveBigIntegerField(
        default=0, help_text="VOID promised before a backup was restored and not captured again."
    )
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("created_at",)
        indexes = [
            models.Index(fields=["payer_node_id"], name="payment_payer"),
            models.Index(fields=["payee_node_id"], name="payment_payee"),
            models.Index(
                fields=["uncovered"], name="payment_uncovered", condition=Q(uncovered__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} VOID {self.status}"


class Refusal(models.Model):
    """What this node refused to another one under the marketplace's rules."""

    at = models.DateTimeField()
    node_id = models.CharField(max_length=32, help_text="Whose message it was.")
    subject = models.CharField(max_length=40, help_text="The kind of message.")
    code = models.CharField(max_length=40)
    reason = models.CharField(max_length=500)

    class Meta:
        ordering = ("-id",)
        indexes = [models.Index(fields=["node_id"], name="refusal_node")]

    def __str__(self) -> str:
        return f"{self.subject} of {self.node_id[:8]}: {self.code}"


class Wallet(models.Model):
    """This node's balance and the part of it that is held; one row, all in whole VOID."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    balance = models.PositiveBigIntegerField(default=0)
    held = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="wallet_single"),
            models.CheckConstraint(condition=Q(balance__gte=0), name="wallet_balance_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="wallet_held_not_negative"),
            models.CheckConstraint(condition=Q(held__lte=F("balance")), name="wallet_held_covered"),
        ]

    def __str__(self) -> str:
        return f"{self.balance} VOID, {self.held} held"


class LedgerEntry(models.Model):
    """One immutable line of the wallet's history; unique per kind and reference."""

    kind = models.CharField(max_length=8, choices=EntryKind)
    reference = models.CharField(max_length=100)
    tribute_id = models.UUIDField(null=True, blank=True)
    counterparty_node_id = models.CharField(max_length=32, blank=True)
    amount = models.PositiveBigIntegerField()
    balance_after = models.PositiveBigIntegerField()
    held_after = models.PositiveBigIntegerField()
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["kind", "reference"], name="ledger_once"),
            models.CheckConstraint(
                condition=Q(held_after__lte=F("balance_after")), name="ledger_held_covered"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert the entry; an entry that exists is never written again (TypeError)."""
        if not self._state.adding:
            raise TypeError("a ledger entry is immutable")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: a ledger entry is never removed (TypeError)."""
        raise TypeError("a ledger entry is immutable")
