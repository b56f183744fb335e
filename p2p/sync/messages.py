"""The wire of pull sync: one request and one response class for every stored topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta, Struct

from p2p.protocol import limits
from p2p.protocol.fields import (
    Count,
    Digest,
    NodeId,
    Nonce,
    OptionalNodeId,
    Position,
    Sequence,
    Whole,
    about,
)
from p2p.protocol.messages import NeighbourMessage
from p2p.protocol.numbers import MessageNumber

FrameText = Annotated[str, Meta(min_length=2, max_length=limits.RECORD_BYTES_MAX)]


class OriginMark(Struct, frozen=True, kw_only=True):
    """A contiguous watermark: of this origin nothing that still counts is missing up to here."""

    origin: Annotated[NodeId, about("node id of the writer")]
    incarnation: Annotated[Sequence, about("incarnation of the watermark")]
    seq: Annotated[Whole, about("seq of the watermark")]


class MarkSlice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The requester's watermarks of all origins above `after`, up to and with `through`."""

    marks: Annotated[
        list[OriginMark],
        Meta(max_length=limits.MARKS_MAX),
        about("ordered by origin; an origin that is not named stands at (1, 0)"),
    ]
    after: Annotated[OptionalNodeId, about("origins up to this one are left out")] = ""
    through: Annotated[OptionalNodeId, about("last origin asked for, empty: all")] = ""


class Split(Struct, frozen=True, kw_only=True):
    """The requester's digests of the equal parts of a key range."""

    lo: Annotated[Position, about("first position of the range")]
    hi: Annotated[Position, about("first position after the range")]
    digests: Annotated[
        list[Digest], Meta(max_length=limits.SPLIT_FANOUT), about("one of each part, in order")
    ]


class Version(Struct, frozen=True, kw_only=True):
    """A record that the requester holds."""

    position: Annotated[Position, about("position of its key")]
    origin: Annotated[NodeId, about("its origin")]
    incarnation: Annotated[Sequence, about("its incarnation")]
    seq: Annotated[Sequence, about("its seq")]


class Holding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All live records that the requester holds in a key range."""

    lo: Annotated[Position, about("first position of the range")]
    hi: Annotated[Position, about("first position after the range")]
    versions: Annotated[
        list[Version], Meta(max_length=limits.VERSIONS_MAX), about("ordered by position")
    ] = []


class Cover(Struct, frozen=True, kw_only=True):
    """A range above `from` and through `through` of which every live record is in the page."""

    origin: Annotated[NodeId, about("node id of the writer")]
    from_incarnation: Annotated[Sequence, about("incarnation of the range's open begin")]
    from_seq: Annotated[Whole, about("seq of the range's open begin")]
    through_incarnation: Annotated[Sequence, about("incarnation of the range's end")]
    through_seq: Annotated[Whole, about("seq of the range's end")]


class Part(Struct, frozen=True, kw_only=True):
    """A part of a compared key range whose digests differ."""

    lo: Annotated[Position, about("first position of the part")]
    hi: Annotated[Position, about("first position after the part")]
    count: Annotated[Count, about("records that the responder keeps in it, at least 1")]


class SyncRequest(NeighbourMessage, frozen=True, kw_only=True, omit_defaults=True):
    """A question about one topic: exactly one of `hash`, `marks`, `splits` and `holdings`."""

    id: Annotated[Sequence, about("repeated by the response")]
    hash: Annotated[Nonce | None, about("SHA-256 of the live records: do you hold the same?")] = (
        None
    )
    marks: Annotated[MarkSlice | None, about("what do you have above these watermarks?")] = None
    splits: Annotated[
        list[Split], Meta(max_length=limits.SPLITS_MAX), about("which parts differ?")
    ] = []
    holdings: Annotated[
        list[Holding],
        Meta(max_length=limits.HOLDINGS_MAX),
        about("what do you hold beyond these? Disjoint ranges in order"),
    ] = []


class SyncResponse(NeighbourMessage, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request; unsigned itself, but every frame in it is signed."""

    re: Annotated[Sequence, about("id of the request")]
    equal: Annotated[bool, about("to `hash`: the live records are the same")] = False
    covers: Annotated[
        list[Cover], Meta(max_length=limits.PAGE_COVERS_MAX), about("to `marks`: what is covered")
    ] = []
    frames: Annotated[
        list[FrameText],
        Meta(max_length=limits.PAGE_FRAMES_MAX),
        about("to `marks` and `holdings`: payloads of records as they were signed, as text"),
    ] = []
    more: Annotated[bool, about("to `marks`: there is more than fits into this page")] = False
    behind: Annotated[bool, about("to `marks`: the requester is ahead of the responder")] = False
    parts: Annotated[
        list[Part],
        Meta(max_length=limits.SPLITS_MAX * limits.SPLIT_FANOUT),
        about("to `splits`: parts that differ and in which the responder keeps something"),
    ] = []
    resume: Annotated[
        Position | None, about("to `holdings`: nothing from this position on was answered")
    ] = None


@dataclass(frozen=True, slots=True)
class SyncPair:
    """The two message classes of a topic's sync."""

    request: type[SyncRequest]
    response: type[SyncResponse]


def sync_pair(topic: str, request: MessageNumber, response: MessageNumber) -> SyncPair:
    """Make the message classes of a topic: the only thing that a topic's sync needs."""
    name = "".join(word.capitalize() for word in topic.split("_"))
    return SyncPair(
        cast("type[SyncRequest]", _subclass(f"{name}SyncReq", SyncRequest, request)),
        cast("type[SyncResponse]", _subclass(f"{name}SyncRsp", SyncResponse, response)),
    )


def _subclass(name: str, base: type[Struct], number: MessageNumber) -> type[Struct]:
    options: dict[str, Any] = {
        "bases": (base,),
        "module": __name__,
        "namespace": {"__doc__": base.__doc__},
        "tag": number.value,
        "frozen": True,
        "kw_only": True,
        "omit_defaults": True,
    }
    return msgspec.defstruct(name, [], **options)
