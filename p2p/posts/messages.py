"""The wall's messages: a post, and its removal by the node that wrote it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from p2p.protocol import limits
from p2p.protocol.fields import NodeId, Timestamp, Uuid, about
from p2p.protocol.messages import Record
from p2p.protocol.numbers import MessageNumber
from p2p.sync.messages import sync_pair

TOPIC = "posts"
SYNC = sync_pair(TOPIC, MessageNumber.SYNC_REQ, MessageNumber.SYNC_RSP)

# At least one character that can be seen; lines are allowed.
PostContent = Annotated[
    str,
    Meta(
        pattern="^[^\\x00]*[^\\x00\\s][^\\x00]*$(?!\\n)",
        min_length=1,
        max_length=limits.POST_CHARS_MAX,
    ),
]
AuthorName = Annotated[
    str,
    Meta(
        pattern="^[^\\x00-\\x1f\\x7f]*[^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*$(?!\\n)",
        min_length=1,
        max_length=limits.NAME_CHARS_MAX,
    ),
]


class PostBody(Struct, frozen=True, kw_only=True):
    """One text on the wall."""

    id: Annotated[Uuid, about("names the post among those of its node")]
    content: Annotated[PostContent, about("the text; its line ends count")]
    author: Annotated[AuthorName, about("who its node says wrote it; proved is only the node")]
    node_id: Annotated[NodeId, about("the node that wrote it; must be the record's origin")]
    created_at: Annotated[Timestamp, about("when it was written; its life begins here")]


class Post(Record, frozen=True, kw_only=True, tag=MessageNumber.POST.value):
    """A text for the wall of every node."""

    topic: ClassVar[str] = TOPIC
    post: Annotated[PostBody, about("the whole post")]

    def key(self) -> str:
        """Return the origin and the post's id."""
        return post_key(self.origin, self.post.id)


class PostRemove(Record, frozen=True, kw_only=True, tag=MessageNumber.POST_REMOVE.value):
    """Takes a post off the wall before its time."""

    topic: ClassVar[str] = TOPIC
    post_id: Annotated[Uuid, about("the post")]
    node_id: Annotated[NodeId, about("the node that wrote it; must be the record's origin")]
    created_at: Annotated[Timestamp, about("as in the post: the removal counts as long as it")]

    def key(self) -> str:
        """Return the origin and the post's id."""
        return post_key(self.origin, self.post_id)

    @property
    def deletes(self) -> bool:
        """A removal is a tombstone."""
        return True


def post_key(node_id: str, post_id: str) -> str:
    """Return the key of a post: with the node in it, nobody can occupy another's."""
    return f"{node_id}-{post_id}"
