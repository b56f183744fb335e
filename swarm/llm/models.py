"""What was asked of language models: for which task, with what outcome and at what cost."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class LlmPurpose(models.TextChoices):
    """What a model is asked for."""

    PLAN = "plan"
    NOTES = "notes"
    REVIEW = "review"


class LlmOutcome(models.TextChoices):
    """How a call ended; a running one whose worker died stays `running` until it is closed."""

    RUNNING = "running"
    ANSWERED = "answered"
    INVALID = "invalid"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    OVER_BUDGET = "over_budget"
    FAILED = "failed"


class LlmCall(models.Model):
    """One question to a language model, with the repairs of its answer."""

    task = models.ForeignKey(
        "swarm.Task", on_delete=models.SET_NULL, null=True, blank=True, related_name="llm_calls"
    )
    purpose = models.CharField(max_length=8, choices=LlmPurpose)
    provider = models.CharField(max_length=16)
    model = models.CharField(max_length=128)
    outcome = models.CharField(max_length=12, choices=LlmOutcome, default=LlmOutcome.RUNNING)
    error = models.CharField(max_length=500, blank=True)
    requests = models.PositiveSmallIntegerField(default=0, help_text="Repairs included.")
    tokens_in = models.PositiveBigIntegerField(default=0)
    tokens_out = models.PositiveBigIntegerField(default=0)
    cost_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Millionths of a US dollar; empty: price unknown."
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "swarm"
        ordering = ("id",)
        verbose_name = "LLM call"
        indexes = [models.Index(fields=["started_at"], name="llm_call_day")]
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=LlmOutcome.values), name="llm_call_outcome_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} by {self.model}: {self.outcome}"
