"""The runs of a node's agents as rows."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from swarm.states import AttemptStatus, Complexity


class Attempt(models.Model):
    """One run of a task by one agent of this node, for this node or for another one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    task_id = models.UUIDField()
    assigner_node_id = models.CharField(max_length=32)
    title = models.CharField(max_length=200)
    number = models.PositiveSmallIntegerField(help_text="Attempt number of the task, from 1.")
    generation = models.PositiveIntegerField()
    term = models.PositiveBigIntegerField(
        default=0, help_text="Counter of the assigner's term; 0 when it is of another swarm."
    )
    tribute_id = models.UUIDField(null=True, blank=True)
    agent = models.ForeignKey(
        "swarm.Agent", on_delete=models.SET_NULL, null=True, related_name="attempts"
    )
    instructions = models.TextField(blank=True)
    shell = models.TextField(blank=True)
    feedback = models.TextField(blank=True)
    acceptance_criteria = models.TextField(blank=True)
    complexity = models.CharField(
        max_length=8, choices=Complexity, default=Complexity.MEDIUM, help_text="How much work."
    )
    time_limit_s = models.PositiveIntegerField(null=True, blank=True, help_text="Of this run.")
    token_limit = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of this run, as its assigner allows."
    )
    cost_limit_micros = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of this run, as its assigner allows."
    )
    repository = models.CharField(max_length=512)
    base_commit = models.CharField(max_length=64)
    previous_branch = models.CharField(max_length=200, blank=True)
    branch = models.CharField(max_length=200)
    status = models.CharField(max_length=12, choices=AttemptStatus, default=AttemptStatus.QUEUED)
    commit = models.CharField(max_length=64, blank=True)
    exit_code = models.SmallIntegerField(null=True, blank=True)
    error = models.TextField(blank=True)
    output_tail = models.TextField(blank=True)
    progress = models.CharField(max_length=500, blank=True)
    progress_at = models.DateTimeField(
        null=True, blank=True, help_text="Last sign of life, which heartbeats carry on."
    )
    typed_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    worktree_removed_at = models.DateTimeField(null=True, blank=True)

    planning = models.BooleanField(default=False, help_text="A plan is wanted, not a commit.")

    # What the agent said over MCP
    said_done_at = models.DateTimeField(
        null=True, blank=True, help_text="When the agent said that it is done: a claim."
    )
    said_commit = models.CharField(max_length=64, blank=True)
    summary = models.TextField(blank=True, help_text="What the agent says that it did.")
    said_failed = models.TextField(blank=True, help_text="Why the agent gave up.")
    questions = models.PositiveSmallIntegerField(default=0, help_text="Asked so far.")
    question = models.TextField(blank=True, help_text="The last question of the agent.")
    choices = models.JSONField(default=list, blank=True, help_text="Answers that it offers.")
    asked_at = models.DateTimeField(null=True, blank=True)
    answer = models.TextField(blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    answer_delivered_at = models.DateTimeField(null=True, blank=True)
    answer_seen_at = models.DateTimeField(
        null=True, blank=True, help_text="The agent's first sign of life after the delivery."
    )
    waited_s = models.FloatField(
        default=0.0,
        help_text="For answers and windows: does not count as work.",
    )

    # Budget
    tokens_used = models.PositiveBigIntegerField(default=0)
    cost_used_micros = models.PositiveBigIntegerField(default=0)
    stop_code = models.CharField(
        max_length=32, blank=True, help_text="Why the run is to be interrupted."
    )
    stop_reason = models.CharField(max_length=300, blank=True)

    # The exhausted usage window that its tool showed last
    window_rule = models.CharField(max_length=32, blank=True)
    window_key = models.CharField(
        max_length=200, blank=True, help_text="What was shown; the same text is the same window."
    )
    window_at = models.DateTimeField(
        null=True, blank=True, help_text="Waits for it since then: does not count as work."
    )
    window_until = models.DateTimeField(
        null=True, blank=True, help_text="When it ends; empty: it is over."
    )

    class Meta:
        app_label = "swarm"
        ordering = ("created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["assigner_node_id", "task_id", "generation"], name="attempt_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=AttemptStatus.values), name="attempt_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.branch} {self.status}"
