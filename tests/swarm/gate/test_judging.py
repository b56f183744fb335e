"""The bisection over a bench of numbers: what it finds, and how many test runs it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.gate.batch.judging import Judge, Suspect, Verdict, next_sizes

Items = tuple[int, ...]


class Numbers:
    """A bench whose items are numbers; `breaks` tells what turns a set of them red."""

    def __init__(
        self,
        breaks: Callable[[frozenset[int]], bool],
        *,
        own: Collection[int] = (),
        flaky: Collection[int] = (),
        red_start: bool = False,
        clashes: Collection[tuple[int, int]] = (),
    ) -> None:
        self._breaks = breaks
        self._own = own
        self._flaky = flaky  # red whenever it is there, until it is run again
        self._start = red_start
        self._clashes = clashes
        self._known: dict[Items, bool] = {}
        self._excused = False
        self.runs = 0
        self.rounds = 0
        self.start_runs = 0

    def merge(self, items: Sequence[int]) -> Items:
        kept: list[int] = []
        for item in items:
            if not any((other, item) in self._clashes for other in kept):
                kept.append(item)
        return tuple(kept)

    def red(self, *probes: Items) -> list[bool]:
        self.rounds += 1
        return [self._answer(probe) for probe in probes]

    def start_red(self) -> bool:
        self.start_runs += 1
        self.runs += 1
        self._excused = self._start
        return self._start

    def red_again(self, items: Items, suspect: Suspect[int]) -> bool:
        self.runs += 1
        assert items[-1] == suspect.item
        return self._breaks(frozenset(items)) and not self._excused

    def red_on_their_own(self, items: Items) -> Items:
        return tuple(item for item in items if item in self._own)

    def _answer(self, probe: Items) -> bool:
        if probe not in self._known:
            self.runs += 1
            held = frozenset(probe)
            self._known[probe] = self._breaks(held) or bool(held & frozenset(self._flaky))
            self._known[probe] |= self._start
        return self._known[probe] and not self._excused


def any_of(*culprits: int) -> Callable[[frozenset[int]], bool]:
    return lambda held: bool(held & frozenset(culprits))


def blamed(verdict: Verdict[int]) -> list[int]:
    return [suspect.item for suspect in verdict.blamed]


BATCH = tuple(range(1, 17))


def test_a_green_batch_takes_one_run() -> None:
    bench = Numbers(any_of())

    assert Judge(bench).judge(BATCH).accepted == BATCH

    assert bench.runs == 1


@pytest.mark.parametrize("culprit", BATCH)
def test_one_culprit_among_16_takes_at_most_7_runs(culprit: int) -> None:
    bench = Numbers(any_of(culprit))

    verdict = Judge(bench).judge(BATCH)

    assert blamed(verdict) == [culprit]
    assert verdict.accepted == tuple(item for item in BATCH if item != culprit)
    # Without the last one is a prefix, which the bisection has found green already.
    assert bench.runs == (6 if culprit == 16 else 7)
    assert bench.start_runs == 0


@pytest.mark.parametrize("length", range(2, 34))
def test_a_prefix_is_found_with_log2_probes(length: int) -> None:
    batch = tuple(range(1, length + 1))
    for culprit in batch:
        bench = Numbers(any_of(culprit))
        Judge(bench).judge(batch)
        assert bench.runs <= 1 + ceil(log2(length)) + 2 + bench.start_runs


def test_two_culprits_are_both_found_and_the_start_is_not_tested() -> None:
    bench = Numbers(any_of(3, 11))

    verdict = Judge(bench).judge(BATCH)

    assert blamed(verdict) == [3, 11]
    assert bench.start_runs == 0


def test_two_that_break_only_together_cost_the_later_one() -> None:
    verdict = Judge(Numbers(lambda held: {2, 5} <= held)).judge((1, 2, 3, 4, 5, 6))

    assert blamed(verdict) == [5]
    assert verdict.accepted == (1, 2, 3, 4, 6)


def test_a_suspect_that_is_green_when_run_again_is_accepted_as_flaky() -> None:
    verdict = Judge(Numbers(any_of(), flaky=[3])).judge((1, 2, 3, 4))

    assert [suspect.item for suspect in verdict.flaky] == [3]
    assert verdict.accepted == (1, 2, 4, 3)
    assert verdict.blamed == []


def test_a_red_start_is_tested_once_and_blamed_on_nobody() -> None:
    bench = Numbers(any_of(), red_start=True)

    verdict = Judge(bench).judge((1, 2, 3, 4))

    assert (verdict.accepted, verdict.suspects) == ((1, 2, 3, 4), [])
    assert bench.start_runs == 1


def test_one_alone_that_is_red_is_measured_by_the_start_and_run_again() -> None:
    bench = Numbers(any_of(1))

    assert blamed(Judge(bench).judge((1,))) == [1]

    assert (bench.runs, bench.start_runs) == (3, 1)


def test_all_culprits_are_all_blamed() -> None:
    verdict = Judge(Numbers(any_of(*BATCH))).judge(BATCH)

    assert blamed(verdict) == list(BATCH)
    assert verdict.accepted == ()


def test_own_tests_cost_their_own_item_only() -> None:
    verdict = Judge(Numbers(any_of(4), own=[2])).judge((1, 2, 3, 4))

    assert (verdict.accepted, verdict.failing, blamed(verdict)) == ((1, 3), [2], [4])


def test_whoever_needs_what_was_sent_back_is_judged_without_it() -> None:
    bench = Numbers(lambda held: 3 in held and 2 not in held, own=[2])

    verdict = Judge(bench).judge((1, 2, 3))

    assert (verdict.accepted, verdict.failing, blamed(verdict)) == ((1,), [2], [3])


def test_what_does_not_merge_without_a_suspect_is_left_for_later() -> None:
    bench = Numbers(any_of(2), clashes=[(1, 3)])

    verdict = Judge(bench).judge((1, 2, 3))

    assert (verdict.accepted, blamed(verdict)) == ((1,), [2])


def test_a_suspect_that_no_longer_merges_is_in_conflict() -> None:
    bench = Numbers(any_of(1), clashes=[(2, 1)])

    verdict = Judge(bench).judge((1, 2, 3))

    assert (verdict.accepted, verdict.conflicting) == ((2, 3), [1])


def test_a_bisection_with_four_workers_takes_half_the_rounds() -> None:
    one, four = Numbers(any_of(7)), Numbers(any_of(7))

    assert Judge(one).judge(BATCH) == Judge(four, workers=4).judge(BATCH)

    assert (one.rounds, four.rounds) == (1 + 4 + 1, 1 + 2 + 1)


def test_the_next_sizes_are_those_of_a_bisection() -> None:
    assert next_sizes(0, 16, 1) == [8]
    assert next_sizes(0, 16, 4) == [8, 4, 12, 2]
    assert next_sizes(0, 2, 8) == [1]
    assert next_sizes(3, 4, 8) == []


@given(
    st.sets(st.frozensets(st.integers(1, 12), min_size=1, max_size=3), max_size=5),
    st.sets(st.frozensets(st.integers(1, 12), min_size=2, max_size=2), max_size=2),
    st.sets(st.integers(1, 12), max_size=3),
    st.sets(st.integers(1, 12), max_size=2),
    st.sets(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=3),
    st.integers(1, 12),
    st.booleans(),
)
def test_any_number_of_workers_finds_the_same(
    breaking: set[frozenset[int]],
    mended: set[frozenset[int]],
    own: set[int],
    flaky: set[int],
    clashes: set[tuple[int, int]],
    length: int,
    red_start: bool,
) -> None:
    """Also where a later item mends what an earlier one broke, so that prefixes turn green."""

    def breaks(held: frozenset[int]) -> bool:
        return any(each <= held for each in breaking) and not any(each <= held for each in mended)

    batch = tuple(range(1, length + 1))
    verdicts = [
        Judge(
            Numbers(breaks, own=own, flaky=flaky, clashes=clashes, red_start=red_start),
            workers=workers,
        ).judge(batch)
        for workers in (1, 2, 4, 8)
    ]

    assert all(verdict == verdicts[0] for verdict in verdicts)
    verdict = verdicts[0]
    decided = [*verdict.accepted, *blamed(verdict), *verdict.failing, *verdict.conflicting]
    assert len(decided) == len(set(decided)), "nobody is decided twice"
    assert set(decided) <= set(batch)
    if not red_start:
        assert not verdict.accepted or not breaks(frozenset(verdict.accepted))
    assert not set(verdict.accepted) & own
    if not clashes:
        assert set(decided) == set(batch)
    assert decided, "each round decides something"


@given(st.sets(st.integers(1, 20)), st.integers(1, 20))
def test_independent_culprits_and_nobody_else_are_blamed(culprits: set[int], length: int) -> None:
    batch = tuple(range(1, length + 1))

    verdict = Judge(Numbers(any_of(*culprits))).judge(batch)

    assert set(blamed(verdict)) == culprits & set(batch)
    assert set(verdict.accepted) == set(batch) - culprits
