"""How far a node has every record of an origin that still counts: marks, spans and progress.

A mark is a point in an origin's numbering, (incarnation, seq). A span is what lies above one mark
up to and with another. Progress is the contiguous watermark with the spans received above it: a
record that came over a gap fills its place and moves nothing until the gap closes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from p2p.protocol.limits import SPANS_MAX


class Mark(NamedTuple):
    """A point in an origin's numbering; marks compare first by incarnation, then by seq."""

    incarnation: int
    seq: int


START = Mark(1, 0)  # before everything: the first record of every origin is (1, 1) or later


class Span(NamedTuple):
    """The seqs above `after` up to and with `through`."""

    after: Mark
    through: Mark


@dataclass(frozen=True, slots=True)
class Progress:
    """What was received of one origin: everything up to `mark`, and the spans above it."""

    mark: Mark = START
    above: tuple[Span, ...] = ()

    def with_spans(self, spans: Iterable[Span]) -> Progress:
        """Return the progress after receiving `spans` too; beyond SPANS_MAX the last are forgotten.

        What is forgotten was received in vain and comes again: nothing is lost.
        """
        mark = self.mark
        above: list[Span] = []
        for span in sorted({*self.above, *spans}):
            if span.after <= mark:
                mark = max(mark, span.through)
            elif above and span.after <= above[-1].through:
                above[-1] = Span(above[-1].after, max(above[-1].through, span.through))
            else:
                above.append(span)
        return Progress(mark, tuple(above[:SPANS_MAX]))


def span_of(mark: Mark) -> Span:
    """Return the span of a single record."""
    return Span(Mark(mark.incarnation, mark.seq - 1), mark)


def without(span: Span, holes: Collection[Mark]) -> list[Span]:
    """Return the parts of a span that remain when the records at `holes` do not count yet."""
    parts: list[Span] = []
    after = span.after
    for hole in sorted(holes):
        if not after < hole <= span.through:
            continue
        below = span_of(hole).after
        if below > after:
            parts.append(Span(after, below))
        after = hole
    if after < span.through:
        parts.append(Span(after, span.through))
    return parts
