"""The passive view: bounded, fair to its sources, and patient with who does not answer."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from p2p.discovery.candidates import Candidates, Contact, Kind
from p2p.protocol import limits

OWN = "0" * 32


def contact(number: int, host: str = "192.0.2.7") -> Contact:
    return Contact(f"{number:032x}", host, 7101)


def contacts(*numbers: int) -> list[Contact]:
    return [contact(number) for number in numbers]


def view(jitter: float = 0.5) -> Candidates:
    return Candidates("f" * 32, jitter=lambda: jitter)


def taken(candidates: Candidates, wanted: int, now: float, *linked: int) -> set[int]:
    ids = {f"{n:032x}" for n in linked}
    return {int(each.node_id, 16) for each in candidates.take(wanted, linked=ids, now=now)}


def test_oneself_is_never_a_candidate() -> None:
    candidates = Candidates(OWN, jitter=random.random)

    assert candidates.add(Kind.PEX, "x", [Contact(OWN, "192.0.2.7", 1)], 0.0) == 0
    assert len(candidates) == 0


def test_only_as_many_are_dialled_as_links_are_missing() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "x", contacts(*range(1, 11)), 0.0)

    assert taken(candidates, 0, 0.0) == set()
    assert taken(candidates, -3, 0.0) == set()
    assert taken(candidates, 3, 0.0) == {1, 2, 3}
    assert taken(candidates, 3, 1.0) == set()  # three are under way
    assert taken(candidates, 5, 1.0) == {4, 5}


def test_linked_nodes_are_not_dialled() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "x", contacts(1, 2, 3), 0.0)
    candidates.forget(f"{2:032x}")

    assert taken(candidates, 8, 0.0, 1) == {3}
    assert len(candidates) == 2


def test_a_node_with_many_addresses_is_dialled_at_one_of_them() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "x", [contact(1, f"192.0.2.{n}") for n in range(1, 6)], 0.0)

    first = candidates.take(8, linked=(), now=0.0)
    second = candidates.take(8, linked=(), now=limits.DIAL_UNDER_WAY_S)

    assert [each.host for each in (*first, *second)] == ["192.0.2.1", "192.0.2.2"]


def test_hearing_again_shortens_no_wait() -> None:
    candidates = view()
    dials = []
    for second in range(120):
        candidates.add(Kind.PEX, "x", contacts(1), float(second))
        if taken(candidates, 8, float(second)):
            dials.append(second)

    assert dials == [0, 15, 45, 105]


def test_the_longest_wait_is_an_hour() -> None:
    candidates = view()
    candidates.add(Kind.KNOWN, "", contacts(1), 0.0)
    now, dials = 0.0, []
    while now < 80_000.0:
        if taken(candidates, 8, now):
            dials.append(now)
        now += 15.0

    waits = [after - before for before, after in pairwise(dials)]
    assert waits[:9] == [15, 30, 60, 120, 240, 480, 960, 1920, 3600]
    assert set(waits[9:]) == {3600}


@pytest.mark.parametrize(
    ("kind", "life_s"), [(Kind.PEX, 3600.0), (Kind.UDP, 3600.0), (Kind.KNOWN, 86_400.0)]
)
def test_who_is_not_heard_of_any_more_is_forgotten(kind: Kind, life_s: float) -> None:
    candidates = view()
    candidates.add(kind, "x", contacts(1, 2), 0.0)
    candidates.add(kind, "x", contacts(2), 10.0)

    assert taken(candidates, 8, life_s) == {2}
    assert len(candidates) == 1


def test_who_was_dialled_least_comes_first() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "x", contacts(1, 2), 0.0)
    taken(candidates, 8, 0.0)
    candidates.add(Kind.PEX, "x", contacts(3), 20.0)

    assert taken(candidates, 1, 20.0) == {3}


def test_a_source_keeps_its_newest_thirty() -> None:
    candidates = view()
    for n in range(1, 10_001):
        candidates.add(Kind.PEX, "liar", contacts(n), float(n) / 10_000)

    assert len(candidates) == 30
    assert candidates.contacts() == contacts(*range(9_971, 10_001))


def test_who_was_dialled_in_vain_makes_room_first() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "x", contacts(*range(1, 31)), 0.0)
    candidates.take(1, linked=(), now=1.0)
    candidates.add(Kind.PEX, "x", contacts(*range(2, 31)), 2.0)
    candidates.add(Kind.PEX, "x", contacts(31), 3.0)

    assert contact(1) not in candidates.contacts()
    assert contact(2) in candidates.contacts()


def test_liars_take_room_from_each_other_and_not_from_the_honest() -> None:
    candidates = view()
    candidates.add(Kind.PEX, "honest", contacts(1, 2, 3), 0.0)
    candidates.add(Kind.KNOWN, "", contacts(4), 0.0)
    number = 100
    for n in range(100):
        candidates.add(Kind.UDP, f"host {n}", contacts(*range(number, number + 5)), 1.0)
        number += 5
    for n in range(20):
        candidates.add(Kind.PEX, f"liar {n}", contacts(*range(number, number + 30)), 1.0)
        number += 30

    assert len(candidates) == 1 + 40 + 120
    assert set(contacts(1, 2, 3, 4)) <= set(candidates.contacts())


def test_the_whole_view_holds_at_most_two_hundred() -> None:
    assert sum(kind.size_max for kind in Kind) == 200
    rng = random.Random(5)
    candidates = Candidates(OWN, jitter=rng.random)
    for step in range(3_000):
        kind = rng.choice(list(Kind))
        source = f"source {rng.randrange(40)}"
        candidates.add(kind, source, contacts(*rng.sample(range(1, 5_000), 5)), float(step))
        if step % 7 == 0:
            candidates.take(8, linked=(), now=float(step))
        assert len(candidates) <= 200
