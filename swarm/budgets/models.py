"""What was used, as a tool reported it."""

from __future__ import annotations

from django.db import models


class Usage(models.Model):
    """What one attempt used since its report before: tokens and millionths of a US dollar."""

    attempt = models.ForeignKey("swarm.Attempt", on_delete=models.CASCADE, related_name="usage")
    tokens_in = models.PositiveBigIntegerField(default=0)
    tokens_out = models.PositiveBigIntegerField(default=0)
    cost_micros = models.PositiveBigIntegerField(default=0)
    source = models.CharField(max_length=64, help_text="Who reported it, such as a hook.")
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "usage"

    def __str__(self) -> str:
        return f"{self.tokens_in} in, {self.tokens_out} out, {self.cost_micros} micros"
