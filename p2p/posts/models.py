"""What is on the wall."""

from __future__ import annotations

from django.db import models

from p2p.protocol.limits import NAME_CHARS_MAX, POST_CHARS_MAX


class WallPost(models.Model):
    """A post that counts; the row goes when it is removed, outlived or outnumbered."""

    key = models.CharField(max_length=65, primary_key=True, help_text="Key of its record.")
    post_id = models.UUIDField()
    node_id = models.CharField(max_length=32)
    author = models.CharField(max_length=NAME_CHARS_MAX)
    content = models.CharField(max_length=POST_CHARS_MAX)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        verbose_name = "post"
        indexes = [
            models.Index(fields=["created_at"], name="wall_post_created"),
            models.Index(fields=["node_id", "created_at"], name="wall_post_node_created"),
        ]

    def __str__(self) -> str:
        return f"{self.author}: {self.content[:40]}"
