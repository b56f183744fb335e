"""Which of a batch may stay: bisection over a bench, without git, rows or processes.

A *bench* merges subtasks onto the last good state and tells whether the tests are red there.
The same answers of a bench give the same verdict, however many probes it makes at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Suspect(Generic[T]):
    """An item with which a prefix of a batch, `prefix`, turned red; the item is its last."""

    prefix: tuple[T, ...]

    @property
    def item(self) -> T:
        """The item under suspicion."""
        return self.prefix[-1]


class Bench(Protocol[T]):
    """What a judge asks; each answer is about the last good state with some items on top."""

    def merge(self, items: Sequence[T]) -> tuple[T, ...]:
        """Return those of `items` that merge, one after the other, in that order."""

    def red(self, *probes: tuple[T, ...]) -> list[bool]:
        """Tell of each probe whether the tests are red with its items; all may run at once."""

    def start_red(self) -> bool:
        """Tell whether the last good state itself is red; from then on only more than that is."""

    def red_again(self, items: tuple[T, ...], suspect: Suspect[T]) -> bool:
        """Run the tests anew on `items`, the last of which is the suspect."""

    def red_on_their_own(self, items: tuple[T, ...]) -> tuple[T, ...]:
        """Return the items whose own test is red with all `items` in place."""


@dataclass(slots=True)
class Verdict(Generic[T]):
    """What became of a batch; an item in none of the first four lists is to be merged later."""

    accepted: tuple[T, ...] = ()  # in the order in which they were merged and found green
    blamed: list[Suspect[T]] = field(default_factory=list)
    failing: list[T] = field(default_factory=list)  # by their own test
    conflicting: list[T] = field(default_factory=list)  # suspects that do not merge any more
    flaky: list[Suspect[T]] = field(default_factory=list)  # red once, green when run again
    suspects: list[Suspect[T]] = field(default_factory=list)  # all that were set aside


class Judge(Generic[T]):
    """Finds the culprits of one batch with about log2 of its length test runs each."""

    def __init__(self, bench: Bench[T], *, workers: int = 1) -> None:
        """Take the bench; up to `workers` probes of one bisection are asked for at once."""
        self._bench = bench
        self._workers = workers
        self._start_known = False
        self._verdict: Verdict[T] = Verdict()

    def judge(self, batch: Sequence[T]) -> Verdict[T]:
        """Return who of `batch` is accepted and who is to blame."""
        items = tuple(batch)
        while True:
            good = self._confirm(*self._clear(items))
            failing = self._bench.red_on_their_own(good) if good else ()
            if not failing:
                self._verdict.accepted = good
                return self._verdict
            self._verdict.failing += failing
            items = tuple(each for each in good if each not in failing)

    def _clear(self, batch: tuple[T, ...]) -> tuple[tuple[T, ...], list[Suspect[T]]]:
        """Set suspects aside until what is left is green."""
        items, green, suspects = self._bench.merge(batch), 0, list[Suspect[T]]()
        while items and self._bench.red(items)[0]:
            nothing_is_green = not green and (len(items) == 1 or bool(suspects))
            if nothing_is_green and not self._start_known:
                self._start_known = True
                if self._bench.start_red():  # the suspects were judged by the wrong measure
                    return self._clear(batch)
            size = self._smallest_red_prefix(items, green)
            suspects.append(Suspect(items[:size]))
            green = size - 1
            items = self._bench.merge(items[:green] + items[size:])
        self._verdict.suspects += suspects
        return items, suspects

    def _confirm(self, good: tuple[T, ...], suspects: list[Suspect[T]]) -> tuple[T, ...]:
        """Test each suspect once more on top of what is green, and return what is green then."""
        for suspect in suspects:
            joined = self._bench.merge((*good, suspect.item))
            if joined != (*good, suspect.item):
                self._verdict.conflicting.append(suspect.item)
            elif self._bench.red_again(joined, suspect):
                self._verdict.blamed.append(suspect)
            else:
                self._verdict.flaky.append(suspect)
                good = joined
        return good

    def _smallest_red_prefix(self, items: tuple[T, ...], green: int) -> int:
        """Return a length at which `items` turn red; they are green at `green`, red in whole."""
        low, high = green, len(items)
        while high - low > 1:
            sizes = next_sizes(low, high, self._workers)
            answers = self._bench.red(*(items[:size] for size in sizes))
            red = dict(zip(sizes, answers, strict=True))
            while high - low > 1 and (middle := (low + high) // 2) in red:
                low, high = (low, middle) if red[middle] else (middle, high)
        return high


def next_sizes(low: int, high: int, count: int) -> list[int]:
    """Return up to `count` of the lengths that a bisection from `low` to `high` may ask next.

    Nearest first: the middle, then those of both halves.  So the path of a bisection with many
    workers is that with one, and so is its end, whatever the tests are like.
    """
    ranges, sizes = deque([(low, high)]), list[int]()
    while ranges and len(sizes) < count:
        low, high = ranges.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            sizes.append(middle)
            ranges += [(low, middle), (middle, high)]
    return sizes
