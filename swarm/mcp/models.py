"""What proves an agent over MCP."""

from __future__ import annotations

from django.db import models


class McpToken(models.Model):
    """The one token of an agent for an attempt; only its hash is kept."""

    attempt = models.OneToOneField("swarm.Attempt", on_delete=models.CASCADE, primary_key=True)
    agent = models.ForeignKey("swarm.Agent", on_delete=models.CASCADE)
    token_sha256 = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True, help_text="Of the last call with it.")

    class Meta:
        verbose_name = "MCP token"

    def __str__(self) -> str:
        return f"token of {self.agent} for {self.attempt}"
