"""The stored progress of every origin in a topic, and this node's own place in its numbering."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Exists, OuterRef

from p2p.local import incarnation, local_node
from p2p.models import Record, TopicSequence, Watermark
from p2p.sync.marks import START, Mark, Progress, Span


def load(topic: str, origins: Collection[str]) -> dict[str, Progress]:
    """Return the progress of those of the origins that are known; one SELECT."""
    rows = Watermark.objects.filter(topic=topic, origin__in=origins)
    return {row.origin: _progress(row) for row in rows}


def save(topic: str, moved: Mapping[str, Progress]) -> None:
    """Store new progress; one upsert."""
    Watermark.objects.bulk_create(
        [
            Watermark(
                topic=topic,
                origin=origin,
                incarnation=progress.mark.incarnation,
                seq=progress.mark.seq,
                above=[[*span.after, *span.through] for span in progress.above],
            )
            for origin, progress in moved.items()
        ],
        update_conflicts=True,
        unique_fields=["topic", "origin"],
        update_fields=["incarnation", "seq", "above"],
    )


def all_marks(topic: str) -> dict[str, Mark]:
    """Return the contiguous watermark of every origin, our own included."""
    rows = Watermark.objects.filter(topic=topic).values_list("origin", "incarnation", "seq")
    marks = {origin: Mark(life, seq) for origin, life, seq in rows}
    marks[local_node().node_id] = own_mark(topic)
    return {origin: mark for origin, mark in marks.items() if mark > START}


def own_mark(topic: str) -> Mark:
    """Return the place of our last record; nobody can say more of our numbering than we do."""
    current = incarnation()
    row = TopicSequence.objects.filter(topic=topic).first()
    if row is None or row.incarnation != current:
        return Mark(current, 0)
    return Mark(row.incarnation, row.seq)


def forget_idle() -> int:
    """Forget the progress of origins of which nothing is kept any more; returns how many.

    Should they write again, a page covers them from the beginning, without a frame for what is
    over.
    """
    kept = Record.objects.filter(topic=OuterRef("topic"), origin=OuterRef("origin"))
    return Watermark.objects.filter(~Exists(kept)).delete()[0]


def _progress(row: Watermark) -> Progress:
    above = tuple(Span(Mark(*each[:2]), Mark(*each[2:])) for each in row.above)
    return Progress(Mark(row.incarnation, row.seq), above)
