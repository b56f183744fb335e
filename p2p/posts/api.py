"""The wall over REST."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict

from p2p.clock import now_utc
from p2p.paging import PageQuery, paginate
from p2p.posts import services
from p2p.posts.queries import describe_post, live_posts
from p2p.protocol.limits import NAME_CHARS_MAX, POST_CHARS_MAX

router = Router(tags=["posts"])


class PostQuery(PageQuery):
    """Which posts are wanted."""

    node_id: Annotated[
        str, Field(pattern="^([0-9a-f]{32})?$", description="Only posts of this node.")
    ] = ""


class PostIn(Schema):
    """A text for the wall, and who signs it."""

    model_config = ConfigDict(extra="forbid")

    content: Annotated[str, Field(min_length=1, max_length=POST_CHARS_MAX)]
    author: Annotated[
        str, Field(max_length=NAME_CHARS_MAX, description="Empty: the name of the swarm.")
    ] = ""


@router.get("/posts", summary="List posts")
def list_posts(request: HttpRequest, query: Query[PostQuery]) -> dict[str, Any]:
    """What is on the wall of the network, newest first."""
    rows = live_posts(now_utc())
    if query.node_id:
        rows = rows.filter(node_id=query.node_id)
    return paginate(rows, query, order="-created_at", describe=describe_post)


@router.post("/posts", summary="Write a post", response={201: dict})
def add_post(request: HttpRequest, body: PostIn) -> Status[dict[str, Any]]:
    """Write on the wall of the whole network, at most 10 times a minute."""
    post = services.publish_post(content=body.content, author=body.author, now=now_utc())
    return Status(201, describe_post(post))


@router.delete("/posts/{post_id}", summary="Remove a post")
def remove_post(request: HttpRequest, post_id: UUID) -> dict[str, Any]:
    """Take one of this node's own posts off every wall."""
    services.remove_post(post_id, now=now_utc())
    return {"id": post_id.hex, "removed": True}
