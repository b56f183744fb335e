"""The rules of the topic `posts`: who may write, how long a post counts, and how many count.

Every rule looks at the records alone, never at the order in which they came: nodes that have
heard the same records show the same wall.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Count
from django.db.models.functions import TruncMinute

from p2p import outbox
from p2p.models import Record as StoredRecord
from p2p.posts.messages import TOPIC, Post, PostBody, PostRemove, post_key
from p2p.posts.models import WallPost
from p2p.posts.queries import describe_post
from p2p.protocol.limits import POST_LIFE_DAYS, POSTS_PER_MINUTE_MAX, POSTS_PER_ORIGIN_MAX
from p2p.protocol.messages import Record
from p2p.protocol.timestamps import from_timestamp
from p2p.records import discard
from p2p.registration import Authority

POST_LIFE = timedelta(days=POST_LIFE_DAYS)
_MINUTE = timedelta(minutes=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - POST_LIFE


def authority_of(record: Record) -> Authority:
    """Only a post's own node writes it, and not with a date after the record's own clock."""
    node_id, created_at = _claims(record)
    moment = from_timestamp(created_at)
    dated = moment <= _LATEST and moment.timestamp() * 1000 < record.lamport_ts + 1
    return Authority.APPLY if node_id == record.origin and dated else Authority.NEVER


def expires_at_of(record: Record) -> datetime:
    """Return when a post ends; its removal counts as long, so that nothing can bring it back."""
    return from_timestamp(_claims(record)[1]) + POST_LIFE


def apply_records(records: Sequence[Record], now: datetime) -> None:
    """Bring the wall up to the records that won; many at once."""
    posted = [row_of(each.post, now) for each in records if isinstance(each, Post)]
    removed = WallPost.objects.filter(
        key__in=[each.key() for each in records if isinstance(each, PostRemove)]
    )
    gone = list(removed)
    removed.delete()
    upsert(posted)
    surplus = drop_surplus({each.origin for each in records}, now)
    for row in gone:
        tell(row, "removed", now)
    for row in posted:
        if row.key not in surplus:
            tell(row, "posted", now)


def drop_surplus(origins: Iterable[str], now: datetime) -> set[str]:
    """Forget the records of these origins that are too many; return their keys.

    Of an origin's records, removals included, the newest POSTS_PER_ORIGIN_MAX count; of its
    posts dated in one minute (UTC) the first POSTS_PER_MINUTE_MAX.
    """
    wanted = list(origins)
    surplus = _beyond_origin(wanted, now) | _beyond_minute(wanted)
    if surplus:
        discard(TOPIC, surplus)
        WallPost.objects.filter(key__in=surplus).delete()
    return surplus


def forget(keys: Sequence[str], now: datetime) -> None:
    """Take posts off the wall whose records are discarded, because they may be out of date."""
    rows = WallPost.objects.filter(key__in=keys)
    gone = list(rows)
    rows.delete()
    for row in gone:
        tell(row, "removed", now)


def row_of(body: PostBody, now: datetime) -> WallPost:
    """Return the unsaved row of a post."""
    created_at = from_timestamp(body.created_at)
    return WallPost(
        key=post_key(body.node_id, body.id),
        post_id=UUID(body.id),
        node_id=body.node_id,
        author=body.author,
        content=body.content,
        created_at=created_at,
        expires_at=created_at + POST_LIFE,
        received_at=now,
    )


def upsert(rows: Sequence[WallPost]) -> None:
    """Write rows, replacing those with the same key."""
    WallPost.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["author", "content", "created_at", "expires_at", "received_at"],
    )


def tell(row: WallPost, event: str, now: datetime) -> None:
    """Tell the browsers what happened to a post."""
    outbox.publish_event("post_update", event, {"post": describe_post(row)}, now=now)


def _claims(record: Record) -> tuple[str, str]:
    if isinstance(record, Post):
        return record.post.node_id, record.post.created_at
    assert isinstance(record, PostRemove)
    return record.node_id, record.created_at


def _beyond_origin(origins: Sequence[str], now: datetime) -> set[str]:
    stored = StoredRecord.objects.filter(topic=TOPIC, expires_at__gt=now)
    crowded = (
        stored.filter(origin__in=origins)
        .values("origin")
        .annotate(count=Count("id"))
        .filter(count__gt=POSTS_PER_ORIGIN_MAX)
        .values_list("origin", flat=True)
    )
    surplus: set[str] = set()
    for origin in crowded:
        newest = stored.filter(origin=origin).order_by("-incarnation", "-seq")
        surplus |= set(newest.values_list("key", flat=True)[POSTS_PER_ORIGIN_MAX:])
    return surplus


def _beyond_minute(origins: Sequence[str]) -> set[str]:
    crowded = (
        WallPost.objects.filter(node_id__in=origins)
        .values("node_id", minute=TruncMinute("created_at", tzinfo=UTC))
        .annotate(count=Count("key"))
        .filter(count__gt=POSTS_PER_MINUTE_MAX)
    )
    surplus: set[str] = set()
    for each in crowded:
        keys = WallPost.objects.filter(
            node_id=each["node_id"],
            created_at__gte=each["minute"],
            created_at__lt=each["minute"] + _MINUTE,
        ).values_list("key", flat=True)
        in_order = StoredRecord.objects.filter(topic=TOPIC, key__in=list(keys))
        first = in_order.order_by("incarnation", "seq").values_list("key", flat=True)
        surplus |= set(first[POSTS_PER_MINUTE_MAX:])
    return surplus
