"""The owner's wishes: what is sold and bought by itself, and how single partners are treated."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from marketplace.states import Acceptance, RequeuePolicy, Standing


class SellingPolicy(models.Model):
    """The owner's wish to sell idle agents; one row, off until it is switched on."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    selling = models.BooleanField(default=False)
    agents_max = models.PositiveSmallIntegerField(default=50, help_text="Sold at once, at most.")
    agents_kept = models.PositiveSmallIntegerField(
        default=0, help_text="Idle agents that are kept for own work."
    )
    price_per_task = models.PositiveBigIntegerField(default=1)
    capabilities = models.JSONField(
        default=list,
        blank=True,
        help_text="Only agents that can do all of these are sold; empty for all agents.",
    )
    hours = models.CharField(
        max_length=11,
        blank=True,
        help_text="When new work is taken, as 22:00-06:00 in the node's time zone; empty: always.",
    )
    executions_per_buyer_max = models.PositiveSmallIntegerField(
        default=50, help_text="Unsettled executions of one buyer, at most."
    )
    credit_limit = models.PositiveBigIntegerField(
        default=1000, help_text="VOID that one buyer may owe, unless its partner row says more."
    )
    acceptance = models.CharField(max_length=9, choices=Acceptance, default=Acceptance.AUTO)
    requeue = models.CharField(
        max_length=16, choices=RequeuePolicy, default=RequeuePolicy.ACCEPTED_RESULT
    )
    api_keys = models.BooleanField(
        default=False,
        help_text="The agents run on API keys whose terms allow them to work for others.",
    )

    class Meta:
        verbose_name_plural = "selling policy"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="selling_policy_single")]

    def __str__(self) -> str:
        return f"{'selling' if self.selling else 'not selling'} at {self.price_per_task}"


class BuyingPolicy(models.Model):
    """The owner's wish to hire when own agents are saturated; one row, off by default."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    overflow = models.BooleanField(default=False)
    budget_per_day = models.PositiveBigIntegerField(
        default=0, help_text="VOID that may be held or spent by itself in 24 hours."
    )
    price_max = models.PositiveBigIntegerField(default=1, help_text="VOID a task, at most.")
    strangers = models.BooleanField(
        default=False,
        help_text="Also from sellers that are neither in VOIDLUX_ALLOW_NODES nor approved.",
    )

    class Meta:
        verbose_name_plural = "buying policy"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="buying_policy_single")]

    def __str__(self) -> str:
        return f"overflow {'on' if self.overflow else 'off'}, {self.budget_per_day} a day"


class Partner(models.Model):
    """What the operator decided about one other node, beyond the environment's allow-list."""

    node_id = models.CharField(max_length=32, primary_key=True)
    standing = models.CharField(max_length=8, choices=Standing, default=Standing.STRANGER)
    credit_limit = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="VOID that it may owe; empty for the policy's limit."
    )
    note = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ("node_id",)

    def __str__(self) -> str:
        return f"{self.node_id[:8]} {self.standing}"
