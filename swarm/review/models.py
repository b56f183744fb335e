"""Reviews: one per task and commit, with what was shown, the verdict and who gave it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class ReviewState(models.TextChoices):
    """Where a review is; a dropped one was never decided, because its task moved on."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DROPPED = "dropped"


class Opinion(models.TextChoices):
    """What a model said of a commit; empty: none was asked, or it gave no valid answer."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNSURE = "unsure"


class Review(models.Model):
    """One commit of a task that is judged before it may be merged."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task = models.ForeignKey("swarm.Task", on_delete=models.CASCADE, related_name="reviews")
    attempt = models.PositiveSmallIntegerField(help_text="Of the task, from 1.")
    generation = models.PositiveIntegerField()
    commit = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=ReviewState, default=ReviewState.WAITING)
    by = models.CharField(
        max_length=160, blank=True, help_text="`command`, `llm:<model>` or `human:<name>`."
    )
    reasons = models.TextField(blank=True)
    why_human = models.CharField(
        max_length=500, blank=True, help_text="Why it waits for a person; empty while it does not."
    )
    opinion_by = models.CharField(
        max_length=160, blank=True, help_text="The model that was asked, whoever decided."
    )
    opinion = models.CharField(max_length=6, choices=Opinion, blank=True)
    test_run = models.ForeignKey(
        "swarm.TestRun", on_delete=models.SET_NULL, null=True, blank=True, related_name="reviews"
    )
    merged_commit = models.CharField(
        max_length=64, help_text="It alone, merged onto the integration branch; what was tested."
    )
    diff = models.TextField(blank=True, help_text="What merging it changes; bounded.")
    diff_chars = models.PositiveBigIntegerField(help_text="Of the whole diff.")
    changed_paths = models.JSONField(default=list, blank=True, help_text="The first 1,000.")
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "swarm"
        ordering = ("created_at",)
        indexes = [models.Index(fields=["state", "created_at"], name="review_queue")]
        constraints = [
            models.UniqueConstraint(
                fields=["task", "commit"],
                condition=~Q(state="dropped"),
                name="review_once_per_commit",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ReviewState.values), name="review_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.commit[:8]} {self.state}"

    @property
    def diff_is_cut(self) -> bool:
        """Tell whether the diff that is kept is not the whole one."""
        return self.diff_chars > len(self.diff)
