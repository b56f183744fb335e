"""What this node does on the wall: write, take down, forget what is over."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from p2p import outbox
from p2p.local import local_node
from p2p.models import Record as StoredRecord
from p2p.posts.messages import TOPIC, Post, PostBody, PostRemove, post_key
from p2p.posts.models import WallPost
from p2p.posts.topic import drop_surplus, row_of, tell, upsert
from p2p.protocol.errors import DomainError
from p2p.protocol.limits import NAME_CHARS_MAX, POST_CHARS_MAX, POSTS_PER_MINUTE_MAX
from p2p.protocol.timestamps import to_timestamp

PACE = timedelta(minutes=1)


def publish_post(*, content: str, author: str, now: datetime) -> WallPost:
    """Write on the wall of the whole network; without an author the swarm's name signs.

    Raises DomainError `bad_content` or `bad_author` (422), `too_many_posts` (429) beyond
    POSTS_PER_MINUTE_MAX posts and removals within a minute.
    """
    node = local_node()
    body = PostBody(
        id=uuid.uuid4().hex,
        content=_checked_content(content),
        author=_checked_author(author or node.swarm),
        node_id=node.node_id,
        created_at=to_timestamp(now),
    )
    with transaction.atomic():
        _check_pace(node.node_id, now)
        outbox.publish_record(Post, now=now, post=body)
        row = row_of(body, now)
        upsert([row])
        drop_surplus([node.node_id], now)
        tell(row, "posted", now)
    return row


def remove_post(post_id: UUID, *, now: datetime) -> None:
    """Take one of this node's posts off every wall; DomainError `not_found` or `not_ours`."""
    own_id = local_node().node_id
    with transaction.atomic():
        row = WallPost.objects.filter(key=post_key(own_id, post_id.hex)).first()
        if row is None:
            if WallPost.objects.filter(post_id=post_id).exists():
                raise DomainError("not_ours", f"post {post_id} is of another node", 403)
            raise DomainError("not_found", f"no post {post_id}", 404)
        outbox.publish_record(
            PostRemove,
            now=now,
            post_id=post_id.hex,
            node_id=own_id,
            created_at=to_timestamp(row.created_at),
        )
        WallPost.objects.filter(key=row.key).delete()
        tell(row, "removed", now)


def forget_outlived(now: datetime) -> int:
    """Forget posts whose life is over; returns how many."""
    return WallPost.objects.filter(expires_at__lte=now).delete()[0]


def _check_pace(own_id: str, now: datetime) -> None:
    # Records and not posts: one that was removed again has cost the network as much.
    recent = StoredRecord.objects.filter(
        topic=TOPIC, origin=own_id, received_at__gt=now - PACE
    ).count()
    if recent >= POSTS_PER_MINUTE_MAX:
        detail = f"{recent} posts and removals within a minute, {POSTS_PER_MINUTE_MAX} are allowed"
        raise DomainError("too_many_posts", detail, 429)


def _checked_content(content: str) -> str:
    text = content.replace("\r\n", "\n").strip()
    if not 1 <= len(text) <= POST_CHARS_MAX or "\0" in text:
        detail = f"a post of {len(text)} characters: 1 to {POST_CHARS_MAX} without NUL are allowed"
        raise DomainError("bad_content", detail, 422)
    return text


def _checked_author(author: str) -> str:
    name = author.strip()
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        detail = f"author {name[:80]!r}: 1 to {NAME_CHARS_MAX} printable characters are allowed"
        raise DomainError("bad_author", detail, 422)
    return name
