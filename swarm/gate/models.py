"""The evidence of the merge gate: its test runs and the batches that it judged."""

from __future__ import annotations

from django.db import models


class TestRun(models.Model):
    """One run of a test command on one commit, kept as evidence and not repeated."""

    __test__ = False  # not a pytest class

    goal = models.ForeignKey("swarm.Task", on_delete=models.CASCADE, related_name="test_runs")
    commit = models.CharField(max_length=64)
    command = models.CharField(max_length=1000)
    passed = models.BooleanField()
    exit_code = models.SmallIntegerField(null=True, blank=True)
    timed_out = models.BooleanField(default=False)
    duration_ms = models.PositiveIntegerField()
    output_tail = models.TextField(blank=True)
    log_path = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["goal", "commit", "command"], name="test_run_once_per_commit"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.commit[:8]} {'green' if self.passed else 'red'}"


class MergeRun(models.Model):
    """One batch that the gate merged and judged: what went in and what came of it."""

    goal = models.ForeignKey("swarm.Task", on_delete=models.CASCADE, related_name="merge_runs")
    tasks = models.JSONField(help_text="Ids of the batch's subtasks in merge order.")
    base_commit = models.CharField(max_length=64)
    head_commit = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=16, help_text="merged, conflict, red or split")
    detail = models.JSONField(default=dict, blank=True)
    test_run = models.ForeignKey(TestRun, on_delete=models.SET_NULL, null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.outcome} {self.head_commit[:8]}"
