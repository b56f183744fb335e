"""The names of records, by which they are told apart, announced and asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from p2p.protocol.errors import ProtocolError
from p2p.protocol.limits import GOSSIP_IDS_MAX
from p2p.protocol.messages import Record, RecordIds


class RecordId(NamedTuple):
    """One version of one record: no two different frames of an honest origin share it."""

    origin: str
    topic: str
    incarnation: int
    seq: int

    @property
    def rank(self) -> tuple[int, int]:
        """What orders the versions of one origin in one topic."""
        return (self.incarnation, self.seq)


def id_of(record: Record) -> RecordId:
    """Return the id of a record."""
    return RecordId(record.origin, type(record).topic, record.incarnation, record.seq)


def grouped(ids: Iterable[RecordId]) -> list[RecordIds]:
    """Return ids as they travel: those of one origin, topic and incarnation together."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for origin, topic, incarnation, seq in ids:
        groups.setdefault((origin, topic, incarnation), []).append(seq)
    return [
        RecordIds(origin=origin, topic=topic, incarnation=incarnation, seqs=seqs)
        for (origin, topic, incarnation), seqs in groups.items()
    ]


def expanded(groups: Collection[RecordIds]) -> list[RecordId]:
    """Return the ids of a message; ProtocolError `malformed` beyond GOSSIP_IDS_MAX."""
    count = sum(len(each.seqs) for each in groups)
    if count > GOSSIP_IDS_MAX:
        raise ProtocolError("malformed", f"{count} ids in one frame, at most {GOSSIP_IDS_MAX}")
    return [
        RecordId(each.origin, each.topic, each.incarnation, seq)
        for each in groups
        for seq in each.seqs
    ]
