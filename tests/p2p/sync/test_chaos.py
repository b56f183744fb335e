"""Stores become equal whatever happens on the way, and broken variants do not get away with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.protocol.codec import Received
from p2p.protocol.messages import Record
from p2p.sync.judging import Judgement, Stamp, mark_of
from p2p.sync.marks import START, Mark, Progress, Span
from tests.support.sync_stores import Chaos, MemoryStore

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_stores_are_equal_after_three_rounds(seed: int) -> None:
    Chaos(seed).run()


@settings(max_examples=25)
@given(seed=st.integers(min_value=1_000), nodes=st.integers(2, 8), keys=st.integers(1, 30))
def test_any_interleaving_converges(seed: int, nodes: int, keys: int) -> None:
    Chaos(seed, nodes_count=nodes, keys_count=keys).run(steps=60)


class MovesOverGaps(MemoryStore):
    """Broken: a pushed record moves the watermark over what is missing below it."""

    def _advance(
        self,
        covers: Sequence[tuple[str, Span]],
        records: Sequence[Received[Record]],
        judged: Judgement,
    ) -> dict[str, Progress]:
        moved = super()._advance(covers, records, judged)
        return {
            origin: Progress(max([each.mark, *(span.through for span in each.above)]))
            for origin, each in moved.items()
        }


class AsksSinceTheHighestSeq(MemoryStore):
    """Broken: asks for what is above the highest seq that it happens to hold of an origin."""

    def marks(self) -> dict[str, Mark]:
        highest: dict[str, Mark] = {}
        for each in self.kept.values():
            mark = mark_of(each.record)
            highest[each.record.origin] = max(mark, highest.get(each.record.origin, START))
        return highest


class LetsTheStaleWin(MemoryStore):
    """Broken: what comes last wins its key."""

    def _judge(self, records: Iterable[Received[Record]], held: Mapping[str, Stamp]) -> Judgement:
        return Judgement(winners={each.message.key(): each for each in records})


@pytest.mark.parametrize("broken", [MovesOverGaps, AsksSinceTheHighestSeq, LetsTheStaleWin])
def test_a_broken_variant_is_caught(broken: type[MemoryStore]) -> None:
    with pytest.raises(AssertionError, match=r"seed \d+"):
        for seed in SEEDS:
            Chaos(seed, store=broken).run()
