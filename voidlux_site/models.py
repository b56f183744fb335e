"""What the site itself keeps: answers to POSTs that may be asked for again."""

from __future__ import annotations

from django.db import models


class StoredAnswer(models.Model):
    """The answer to a POST with an Idempotency-Key, committed together with its effect."""

    key = models.CharField(max_length=200, unique=True)
    operation = models.CharField(max_length=300, help_text="Method and path.")
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.operation} {self.status}"
