"""The evidence of the merge gate: its test runs and the batches that it judged."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from swarm.states import TestRunState


class BatchOutcome(models.TextChoices):
    """What became of a batch, or of one subtask of it."""

    PUSHING = "pushing", "green; its push has begun"
    MERGED = "merged", "merged, tested and pushed"
    UNPUSHED = "unpushed", "green, but its push never arrived"
    UNUSABLE = "unusable", "git cannot use the commit"
    CONFLICT = "conflict", "does not merge"
    SPLIT = "split", "red; searched for its culprits"
    SUSPECT = "suspect", "the last subtask of the smallest red part"
    FLAKY = "flaky", "a suspect that was green when run again; accepted"
    RED = "red", "to blame: red again on top of what is green"
    OWN_RED = "own_red", "its own test is red"
    ADOPTED = "adopted", "pushed by somebody else, and no worse than before"
    BASE_RED = "base_red", "red before anything was merged; blamed on nobody"


class TestRun(models.Model):
    """One run of a test command on one commit, seen from its start, and kept as evidence.

    A commit is run again (a higher `number`) only to find out whether its red was a flaky one.
    """

    __test__ = False  # not a pytest class

    goal = models.ForeignKey("swarm.Task", on_delete=models.CASCADE, related_name="test_runs")
    commit = models.CharField(max_length=64)
    command = models.CharField(max_length=1000)
    number = models.PositiveSmallIntegerField(default=1, help_text="1 for the first run.")
    state = models.CharField(
        max_length=12, choices=TestRunState, default=TestRunState.RUNNING, help_text="Where it is."
    )
    passed = models.BooleanField(default=False)
    exit_code = models.SmallIntegerField(null=True, blank=True)
    timed_out = models.BooleanField(default=False)
    time_limit_s = models.PositiveIntegerField(default=0)
    duration_ms = models.PositiveIntegerField(default=0)
    sandboxed = models.BooleanField(default=False)
    tests_run = models.PositiveIntegerField(
        null=True, blank=True, help_text="As its JUnit report says."
    )
    tests_failed = models.PositiveIntegerField(null=True, blank=True)
    failing_tests = models.JSONField(
        default=list, blank=True, help_text="Names as class::test, at most 200."
    )
    report_note = models.CharField(
        max_length=300, blank=True, help_text="Why its JUnit report was not read."
    )
    output_tail = models.TextField(blank=True)
    log_path = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(help_text="When it began.")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        app_label = "swarm"
        ordering = ("id",)
        indexes = [
            models.Index(
                fields=["goal"], condition=Q(state=TestRunState.RUNNING), name="test_run_running"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["goal", "commit", "command", "number"],
                condition=~Q(state=TestRunState.INTERRUPTED),
                name="test_run_once_per_commit",
            ),
            models.CheckConstraint(
                condition=Q(state__in=TestRunState.values), name="test_run_state_known"
            ),
            models.CheckConstraint(
                condition=Q(passed=True, state=TestRunState.PASSED)
                | (Q(passed=False) & ~Q(state=TestRunState.PASSED)),
                name="test_run_passed_by_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.commit[:8]} {self.state}"


class MergeRun(models.Model):
    """One batch that the gate merged and judged, or one subtask of it, and what came of it."""

    goal = models.ForeignKey("swarm.Task", on_delete=models.CASCADE, related_name="merge_runs")
    tasks = models.JSONField(help_text="Ids of the batch's subtasks in merge order.")
    base_commit = models.CharField(max_length=64)
    head_commit = models.CharField(max_length=64, blank=True)
    outcome = models.CharField(max_length=16, choices=BatchOutcome)
    detail = models.JSONField(default=dict, blank=True)
    test_run = models.ForeignKey(TestRun, on_delete=models.SET_NULL, null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.outcome} {self.head_commit[:8]}"


class FlakyTest(models.Model):
    """A test that was red and, run again, green; without a name it is the command as a whole."""

    repository = models.CharField(max_length=512)
    command = models.CharField(max_length=1000)
    name = models.CharField(max_length=300, blank=True)
    runs_seen = models.PositiveIntegerField(default=0, help_text="Runs of the command here.")
    flaky_times = models.PositiveIntegerField(default=0)
    runs = models.JSONField(default=list, help_text="Ids of the last test runs that were both.")
    last_at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("-last_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["repository", "command", "name"], name="flaky_test_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.command} {self.rate:.0%}"

    @property
    def rate(self) -> float:
        """The share of the runs in which it was flaky, 0 to 1."""
        return min(1.0, self.flaky_times / self.runs_seen) if self.runs_seen else 0.0
