"""Reads of the wall as plain data for API, events and pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from p2p.posts.models import WallPost


def live_posts(now: datetime) -> QuerySet[WallPost]:
    """Return the posts that count, newest first."""
    return WallPost.objects.filter(expires_at__gt=now).order_by("-created_at", "-key")


def describe_post(post: WallPost) -> dict[str, Any]:
    """Return a post as JSON-ready data."""
    return {
        "id": post.post_id.hex,
        "node_id": post.node_id,
        "author": post.author,
        "content": post.content,
        "created_at": _time(post.created_at),
        "expires_at": _time(post.expires_at),
    }


def last_author(node_id: str) -> str:
    """Return who signed the newest post of a node, empty when it has none."""
    newest = WallPost.objects.filter(node_id=node_id).order_by("-created_at")
    return newest.values_list("author", flat=True).first() or ""


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
