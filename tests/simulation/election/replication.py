"""Records of tasks, told at once and pulled later; the product's own order says which wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from p2p.sync.judging import Stamp
from swarm.replication.messages import Term
from tests.simulation.election.rows import Record, Row

if TYPE_CHECKING:
    from tests.simulation.election.member import Member


class Replication:
    """What one member holds of all tasks, and how it comes there."""

    def __init__(self, member: Member) -> None:
        """Take whose records these are."""
        self._member, self._disk = member, member.disk

    def publish(self, rows: Iterable[Row], term: Term) -> None:
        """Tell everybody of rows as they are now, in this emperor's term."""
        told = []
        for row in rows:
            seq = self._disk.next_seq()
            stamp = Stamp(self._member.node_id, 1, seq, seq, term.rank)
            told.append(Record(row, term, stamp))
            self._disk.records[row.id] = told[-1]
        self.tell(told)

    def tell(self, records: Sequence[Record]) -> None:
        """Flood records, with the terms that make them count."""
        self._member.flood("records", self._terms(), tuple(records))

    def sync(self) -> None:
        """Bring some other member up to all that is known here."""
        other = self._member.world.chance.choice(list(self._member.others()))
        self._member.send(other, "records", self._terms(), tuple(self._disk.records.values()))

    def take(self, terms: tuple[Term, ...], records: tuple[Record, ...]) -> None:
        """Store what wins; a record counts when the victory of its term is known."""
        for term in terms:
            self._member.hear_of(term)
        for record in records:
            held = self._disk.records.get(record.row.id)
            known = self._disk.known.get(record.term.node_id, 0)
            if known >= record.term.counter and (held is None or record.stamp.beats(held.stamp)):
                self._disk.records[record.row.id] = record

    def _terms(self) -> tuple[Term, ...]:
        return tuple(Term(counter=each, node_id=who) for who, each in self._disk.known.items())
