"""A text on its way into an agent's terminal."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from swarm.states import DeliveryStatus


class DeliveryKind(models.TextChoices):
    """What a text is: the prompt of an attempt, the answer to a question, or a free message."""

    PROMPT = "prompt"
    ANSWER = "answer"
    SEND = "send"


class Delivery(models.Model):
    """One text for an agent: queued, typed, acknowledged; or failed with the reason."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey("swarm.Agent", on_delete=models.CASCADE, related_name="deliveries")
    attempt = models.ForeignKey(
        "swarm.Attempt", on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    kind = models.CharField(max_length=8, choices=DeliveryKind)
    text = models.TextField()
    removed_chars = models.PositiveIntegerField(
        default=0, help_text="Control characters that were taken out of it."
    )
    status = models.CharField(max_length=12, choices=DeliveryStatus, default=DeliveryStatus.QUEUED)
    tries = models.PositiveSmallIntegerField(default=0, help_text="Times that it was typed.")
    reason = models.CharField(
        max_length=500,
        blank=True,
        help_text="Why it waits, stalled or failed; or who acknowledged.",
    )
    queued_at = models.DateTimeField()
    typed_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    stalled_at = models.DateTimeField(
        null=True, blank=True, help_text="Tried as often as is allowed, without a sign of arrival."
    )
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "swarm"
        ordering = ("queued_at", "id")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=DeliveryStatus.values), name="delivery_status_known"
            ),
            models.UniqueConstraint(
                fields=["attempt"],
                condition=Q(kind="prompt"),
                name="delivery_one_prompt_per_attempt",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.agent_id} {self.status}"
