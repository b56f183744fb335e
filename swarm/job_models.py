"""The slow work of a node as rows."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from swarm.states import JobStatus


class Job(models.Model):
    """Slow work as a row: the Celery message only nudges, so a lost one loses nothing."""

    kind = models.CharField(max_length=32)
    key = models.CharField(max_length=200, help_text="What it is about; one queued row per key.")
    lane = models.CharField(max_length=600, help_text="At most one job of a lane runs at a time.")
    payload = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=8, choices=JobStatus, default=JobStatus.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    attempts_max = models.PositiveSmallIntegerField(default=10)
    claims = models.PositiveIntegerField(
        default=0, help_text="Rises each time a worker takes it; an older claim counts no more."
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField()
    nudged_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "swarm"
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["lane"], condition=Q(status="running"), name="job_one_running_per_lane"
            ),
            models.UniqueConstraint(
                fields=["kind", "key"], condition=Q(status="queued"), name="job_queued_once"
            ),
        ]
        indexes = [models.Index(fields=["status", "due_at"], name="job_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key} {self.status}"
