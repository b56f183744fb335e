"""What a member holds of the others' tasks and agents: never acted on as if it were its own."""

from __future__ import annotations

from django.db import models


class TaskCopy(models.Model):
    """A task of another node's, as its emperor's latest record says; read only.

    A table of its own, so that dispatch, gate, leases and payments, which look at `Task`, cannot
    touch somebody else's work.
    """

    id = models.UUIDField(primary_key=True)
    parent_id = models.UUIDField(null=True, blank=True)
    emperor_node_id = models.CharField(max_length=32)
    term = models.PositiveBigIntegerField()
    number = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16)
    required_capabilities = models.JSONField(default=list, blank=True)
    progress = models.CharField(max_length=500, blank=True, help_text="From heartbeats.")
    body = models.JSONField(help_text="The whole task as its record carries it.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "task copies"
        indexes = [
            models.Index(fields=["archived_at", "created_at"], name="task_copy_list"),
            models.Index(fields=["parent_id", "number"], name="task_copy_parent"),
            models.Index(fields=["status", "emperor_node_id"], name="task_copy_status"),
        ]

    def __str__(self) -> str:
        return f"{self.id.hex[:8]} of {self.emperor_node_id[:8]}"


class RemoteAgent(models.Model):
    """An agent of another member, as its node's latest record says."""

    id = models.UUIDField(primary_key=True)
    node_id = models.CharField(max_length=32)
    name = models.CharField(max_length=64)
    tool = models.CharField(max_length=32)
    capabilities = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=16)
    available = models.BooleanField(help_text="Ready, without work and not reserved.")
    body = models.JSONField(help_text="The whole agent as its record carries it.")
    status_since = models.DateTimeField()
    last_repository = models.CharField(
        max_length=512, blank=True, help_text="Where it was sent last by this node."
    )
    refused_until = models.DateTimeField(
        null=True, blank=True, help_text="Not asked before then, because it refused."
    )

    class Meta:
        ordering = ("name",)
        indexes = [models.Index(fields=["node_id"], name="remote_agent_node")]

    def __str__(self) -> str:
        return f"{self.name}@{self.node_id[:8]}"

    @property
    def model(self) -> str:
        """The model that its program is asked for; empty where its node does not say."""
        return str(self.body.get("model", ""))


class MemberPulse(models.Model):
    """The newest heartbeat of a member: older ones are refused, and silence shows by its age."""

    node_id = models.CharField(max_length=32, primary_key=True)
    lamport_ts = models.PositiveBigIntegerField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.node_id[:8]} {self.seen_at:%H:%M:%S}"


class SeenDispatch(models.Model):
    """The newest generation of a task that an assigner has spoken of here: older ones are refused.

    Kept beside the attempts, because what was withdrawn before it came has none.
    """

    scope = models.CharField(max_length=32, help_text="`swarm`, or the node id of the assigner.")
    task_id = models.UUIDField()
    generation = models.PositiveIntegerField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope", "task_id"], name="seen_dispatch_once"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id.hex[:8]} generation {self.generation}"


class KnownTerm(models.Model):
    """The newest term of an emperor that its victory told of; our own when we are one."""

    node_id = models.CharField(max_length=32, primary_key=True)
    counter = models.PositiveBigIntegerField()
    addresses = models.JSONField(default=list, blank=True, help_text="List of {host, port}.")
    http_port = models.PositiveIntegerField(default=0)
    in_office = models.BooleanField(
        default=False, help_text="Our own only: this node moves the swarm's tasks."
    )
    known_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"term {self.counter} of {self.node_id[:8]}"
