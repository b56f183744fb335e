"""Pull requests, the comments that were read of them, and the goals that follow from these."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from swarm.forge.states import Checks, ForgeKind, PullState


class PullRequest(models.Model):
    """A goal's pull request, which GitLab calls a merge request."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    goal = models.OneToOneField("swarm.Task", on_delete=models.CASCADE, related_name="pull_request")
    kind = models.CharField(max_length=8, choices=ForgeKind)
    project = models.CharField(max_length=500, help_text="Path of the project at its forge.")
    state = models.CharField(max_length=8, choices=PullState, default=PullState.WAITING)
    number = models.PositiveBigIntegerField(null=True, blank=True)
    url = models.CharField(max_length=1000, blank=True)
    title = models.CharField(max_length=200)
    head_branch = models.CharField(max_length=200)
    head_commit = models.CharField(max_length=64, help_text="The commit that the gate proved.")
    forge_commit = models.CharField(
        max_length=64, blank=True, help_text="The head as the forge showed it last."
    )
    base_branch = models.CharField(max_length=200)
    checks = models.CharField(max_length=8, choices=Checks, default=Checks.UNKNOWN)
    auto_merge = models.BooleanField(default=False, help_text="Merged when its checks are green.")
    error = models.TextField(blank=True, help_text="What went wrong last.")
    note = models.CharField(max_length=500, blank=True, help_text="What it waits for.")
    tries = models.PositiveSmallIntegerField(default=0, help_text="Failed in a row.")
    next_try_at = models.DateTimeField(null=True, blank=True)
    quiet_looks = models.PositiveIntegerField(default=0, help_text="In a row without news.")
    looked_at = models.DateTimeField(null=True, blank=True)
    head_pushed_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("-created_at",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=PullState.values), name="pull_request_state_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project} #{self.number}" if self.number else f"{self.project} {self.state}"


class FollowUp(models.Model):
    """A goal made of review comments; its proved commit goes to the pull request's branch."""

    goal = models.OneToOneField("swarm.Task", on_delete=models.CASCADE, related_name="follow_up")
    pull_request = models.ForeignKey(
        PullRequest, on_delete=models.CASCADE, related_name="follow_ups"
    )
    round = models.PositiveSmallIntegerField(help_text="From 1.")
    delivered_commit = models.CharField(max_length=64, blank=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Delivered, or known to have failed."
    )
    created_at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["pull_request", "round"], name="follow_up_round_once"),
        ]

    def __str__(self) -> str:
        return f"round {self.round} of {self.pull_request}"


class ReviewComment(models.Model):
    """A comment of somebody else on a pull request, kept so that it becomes work once at most."""

    pull_request = models.ForeignKey(PullRequest, on_delete=models.CASCADE, related_name="comments")
    forge_id = models.CharField(max_length=100)
    thread = models.CharField(max_length=100)
    author = models.CharField(max_length=200)
    may_steer = models.BooleanField(help_text="Its author may write to the repository.")
    path = models.CharField(max_length=1000, blank=True)
    line = models.PositiveIntegerField(null=True, blank=True)
    hunk = models.TextField(blank=True)
    body = models.TextField()
    follow_up = models.ForeignKey(
        FollowUp, on_delete=models.SET_NULL, null=True, blank=True, related_name="comments"
    )
    written_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        app_label = "swarm"
        ordering = ("written_at", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["pull_request", "forge_id"], name="review_comment_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.author} on {self.path or self.pull_request}"
