"""What a store writes when it takes a batch: one decision, the same for every kind of store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from p2p.protocol.codec import Received
from p2p.protocol.messages import Record
from p2p.sync.judging import Judgement, Rule, Stamp, advance, judge
from p2p.sync.marks import Progress, Span


@dataclass(frozen=True, slots=True)
class Taken:
    """The winners to store and the parked to keep (in `judged`), and the progress that moved."""

    judged: Judgement
    moved: dict[str, Progress]


def take_batch(
    records: Sequence[Received[Record]],
    covers: Sequence[tuple[str, Span]],
    *,
    own_node_id: str,
    held: Mapping[str, Stamp],
    progress: Mapping[str, Progress],
    rule: Rule,
    clock_end_ms: int,
    is_over: Callable[[Record], bool],
) -> Taken:
    """Decide on records and on what a page covers, to be written in one transaction.

    `held` holds the stamps of the records' keys, `progress` that of their origins and of those
    covered. A winner that is over and replaced nothing here is worth no row, and no word to the
    layer above. Of our own numbering nobody can say more than we do: it is never moved here.
    """
    judged = judge(records, held=held, rule=rule, clock_end_ms=clock_end_ms)
    for key, winner in list(judged.winners.items()):
        if key not in held and is_over(winner.message):
            del judged.winners[key]
    moved = advance(
        progress,
        batch=[each for each in records if each.message.origin != own_node_id],
        covers=[each for each in covers if each[0] != own_node_id],
        withheld=judged.withheld,
    )
    return Taken(judged, moved)
