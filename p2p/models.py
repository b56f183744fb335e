"""What the mesh keeps in the database: clock, records, inbox, outbox and known nodes."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from p2p.posts.models import WallPost as WallPost  # found by Django here


class NodeState(models.Model):
    """One named value of this node, such as the clock or the database's own id."""

    key = models.CharField(max_length=64, primary_key=True)
    value = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "node state"

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class TopicSequence(models.Model):
    """The last `seq` that this node gave to a record of a topic, under its incarnation."""

    topic = models.CharField(max_length=32, primary_key=True)
    incarnation = models.PositiveBigIntegerField()
    seq = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.topic} {self.incarnation}.{self.seq}"


class KnownNode(models.Model):
    """A node that proved its identity to us once, with the addresses it can be dialled at."""

    node_id = models.CharField(max_length=32, primary_key=True)
    swarm = models.CharField(max_length=64)
    member = models.BooleanField(
        default=False, help_text="It proved our swarm's secret when it was linked last."
    )
    role = models.CharField(max_length=16)
    addresses = models.JSONField(default=list, help_text="List of {host, port}.")
    http_port = models.PositiveIntegerField(default=0)
    connected = models.BooleanField(default=False)
    latency_ms = models.FloatField(null=True, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["connected"], name="known_node_connected")]

    def __str__(self) -> str:
        return self.node_id[:8]


class Record(models.Model):
    """The latest signed frame for a key in a topic, whole and as its origin signed it."""

    topic = models.CharField(max_length=32)
    key = models.CharField(max_length=128)
    origin = models.CharField(max_length=32)
    incarnation = models.PositiveBigIntegerField()
    seq = models.PositiveBigIntegerField()
    lamport_ts = models.PositiveBigIntegerField()
    frame = models.BinaryField()
    deleted = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField()
    position = models.PositiveBigIntegerField(help_text="Where the key stands among all keys.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["topic", "key"], name="record_topic_key"),
        ]
        indexes = [
            models.Index(fields=["topic", "position"], name="record_position"),
            models.Index(fields=["topic", "origin", "incarnation", "seq"], name="record_origin"),
            models.Index(fields=["expires_at"], name="record_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.topic}/{self.key}"


class Watermark(models.Model):
    """How far nothing of an origin is missing in a topic, and what was received above that."""

    topic = models.CharField(max_length=32)
    origin = models.CharField(max_length=32)
    incarnation = models.PositiveBigIntegerField()
    seq = models.PositiveBigIntegerField()
    above = models.JSONField(
        default=list,
        blank=True,
        help_text="List of [incarnation, seq, incarnation, seq]: above the first pair, through "
        "the second.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["topic", "origin"], name="watermark_topic_origin"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.origin[:8]} {self.incarnation}.{self.seq}"


class ParkedRecord(models.Model):
    """A verified record that its topic does not admit yet."""

    topic = models.CharField(max_length=32)
    origin = models.CharField(max_length=32)
    incarnation = models.PositiveBigIntegerField()
    seq = models.PositiveBigIntegerField()
    frame = models.BinaryField()
    parked_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "origin", "incarnation", "seq"], name="parked_record"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.origin[:8]} {self.incarnation}.{self.seq}"


class TopicSync(models.Model):
    """When a topic was last brought up to another node."""

    topic = models.CharField(max_length=32, primary_key=True)
    synced_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.topic} {self.synced_at:%Y-%m-%d %H:%M}"


class InboxMessage(models.Model):
    """A command that was received, committed together with its effect and its answer."""

    origin = models.CharField(max_length=32)
    msg_id = models.CharField(max_length=32)
    number = models.PositiveSmallIntegerField(help_text="Message number of the wire table.")
    frame = models.BinaryField()
    accepted = models.BooleanField()
    code = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    answer = models.ForeignKey("OutboxMessage", on_delete=models.SET_NULL, null=True, blank=True)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["origin", "msg_id"], name="inbox_origin_msg_id"),
        ]

    def __str__(self) -> str:
        return f"{self.number:#04x} from {self.origin[:8]}"


class OutboxKind(models.TextChoices):
    """Where the relay sends an outbox row."""

    COMMAND = "command", "command to one node"
    ANSWER = "answer", "answer to a command"
    RECORD = "record", "record to every peer"
    FLOODED = "flooded", "message to every peer, once"
    EVENT = "event", "event to browsers"


class OutboxMessage(models.Model):
    """Something the mesh or the browsers must be told, committed with the change it tells of."""

    kind = models.CharField(max_length=8, choices=OutboxKind)
    number = models.PositiveSmallIntegerField(default=0)
    to_node_id = models.CharField(max_length=32, blank=True)
    msg_id = models.CharField(max_length=32, blank=True)
    frame = models.BinaryField(default=b"")
    event = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True, help_text="Empty when nothing is left.")
    expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    done_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["msg_id"], condition=~Q(msg_id=""), name="outbox_msg_id"
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="outbox_due", condition=Q(due_at__isnull=False)),
            models.Index(fields=["kind", "id"], name="outbox_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
