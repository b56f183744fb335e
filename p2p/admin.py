"""The mesh's tables in the admin: to be looked at, never to be written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from p2p.models import (
    InboxMessage,
    KnownNode,
    NodeState,
    OutboxMessage,
    ParkedRecord,
    Record,
    TopicSequence,
    TopicSync,
    Watermark,
)
from p2p.posts.models import WallPost

FRAME_CHARS_MAX = 20_000


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows; only services write them, so nothing can be added, changed or deleted here."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse; who may view still sees the row."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False


def frame_text(frame: bytes | memoryview) -> SafeString | str:
    """Return a stored frame as readable text, cut after FRAME_CHARS_MAX characters."""
    text = bytes(frame).decode("utf-8", errors="backslashreplace")
    if not text:
        return "none"
    cut = text if len(text) <= FRAME_CHARS_MAX else f"{text[:FRAME_CHARS_MAX]}…"
    return format_html("<pre>{}</pre>", cut)


class FrameAdmin(ReadOnlyAdmin):
    """A row with a signed frame, shown as text in place of its bytes."""

    exclude = ("frame",)
    readonly_fields = ("frame_as_text",)

    @admin.display(description="frame")
    def frame_as_text(self, row: Any) -> SafeString | str:
        """Return the row's frame as text."""
        return frame_text(row.frame)


@admin.register(NodeState)
class NodeStateAdmin(ReadOnlyAdmin):
    """Named values of this node."""

    list_display = ("key", "value")
    search_fields = ("key",)


@admin.register(TopicSequence)
class TopicSequenceAdmin(ReadOnlyAdmin):
    """This node's own numbering of its records."""

    list_display = ("topic", "incarnation", "seq")


@admin.register(KnownNode)
class KnownNodeAdmin(ReadOnlyAdmin):
    """Nodes that proved their identity."""

    list_display = (
        *("node_id", "swarm", "member", "role", "connected", "latency_ms", "last_seen_at"),
    )
    list_filter = ("connected", "member", "swarm", "role")
    search_fields = ("node_id", "swarm")


@admin.register(Record)
class RecordAdmin(FrameAdmin):
    """The latest signed frame per topic and key."""

    list_display = ("topic", "key", "origin", "incarnation", "seq", "deleted", "received_at")
    list_filter = ("topic", "deleted")
    search_fields = ("key", "origin")


@admin.register(Watermark)
class WatermarkAdmin(ReadOnlyAdmin):
    """How far nothing of an origin is missing, per topic."""

    list_display = ("topic", "origin", "incarnation", "seq", "above")
    list_filter = ("topic",)
    search_fields = ("origin",)


@admin.register(ParkedRecord)
class ParkedRecordAdmin(FrameAdmin):
    """Records that wait until their topic admits them."""

    list_display = ("topic", "origin", "incarnation", "seq", "parked_at")
    list_filter = ("topic",)
    search_fields = ("origin",)


@admin.register(TopicSync)
class TopicSyncAdmin(ReadOnlyAdmin):
    """When each topic was last brought up to another node."""

    list_display = ("topic", "synced_at")


@admin.register(InboxMessage)
class InboxMessageAdmin(FrameAdmin):
    """Commands that were received, with their answers."""

    list_display = ("number_hex", "origin", "msg_id", "accepted", "code", "received_at")
    list_filter = ("accepted", "number", "code")
    search_fields = ("origin", "msg_id", "detail")

    @admin.display(description="number", ordering="number")
    def number_hex(self, row: InboxMessage) -> str:
        """Return the message number as in the wire table."""
        return f"{row.number:#04x}"


@admin.register(OutboxMessage)
class OutboxMessageAdmin(FrameAdmin):
    """What the mesh and the browsers were or will be told."""

    list_display = ("id", "kind", "number", "to_node_id", "attempts", "due_at", "outcome")
    list_filter = ("kind", "outcome", "number")
    search_fields = ("to_node_id", "msg_id", "detail")
    ordering = ("-id",)


@admin.register(WallPost)
class WallPostAdmin(ReadOnlyAdmin):
    """What is on the wall."""

    list_display = ("created_at", "author", "node_id", "content", "expires_at")
    search_fields = ("author", "content", "node_id")
    ordering = ("-created_at",)
