"""What a node keeps of its election, for whoever looks and for its next start."""

from __future__ import annotations

from django.db import models


class ElectionState(models.Model):
    """How the election stands at this node; one row, written by the node process only."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    standing = models.CharField(
        max_length=9, help_text="follower, candidate, emperor, or doubtful: away for too long."
    )
    emperor_node_id = models.CharField(
        max_length=32, blank=True, help_text="Whom it follows; empty while nobody is heard."
    )
    counter = models.PositiveBigIntegerField(default=0, help_text="Of the highest known term.")
    since = models.DateTimeField(help_text="When any of these changed last.")
    heard_at = models.DateTimeField(
        null=True, blank=True, help_text="When the emperor was heard last."
    )
    redirected_to = models.CharField(
        max_length=32, blank=True, help_text="The emperor that this node's runs report to."
    )
    abdication_asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When its operator asked it to give up the office."
    )

    class Meta:
        verbose_name_plural = "election state"

    def __str__(self) -> str:
        return f"{self.standing} in term {self.counter}"
