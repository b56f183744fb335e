"""Elections and offices that are broken on purpose do not get past the simulation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarm.election.machine import Effect, Election, Standing
from swarm.replication.messages import Term
from tests.simulation.election.claims import Broken
from tests.simulation.election.world import SOUND, Variant, run_seed

SEEDS = range(40)

Follow = Callable[[Election, Term, float], list[Effect]]
_FOLLOW: Follow = Election._follow


def compare_no_terms(self: Election, term: Term) -> bool:
    """Broken: whoever was heard last is followed."""
    return False


def stay_in_office(self: Election, term: Term, now_s: float) -> list[Effect]:
    """Broken: an emperor stays what it is, whoever else is one."""
    return [] if self.standing is Standing.EMPEROR else _FOLLOW(self, term, now_s)


def run_some(expected: str, variant: Variant = SOUND) -> None:
    with pytest.raises(Broken, match=expected):
        for seed in SEEDS:
            run_seed(seed, variant)


def test_an_election_that_compares_no_terms_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Election, "_outranked_by_known", compare_no_terms)
    run_some(r"began twice|after the heal these act", Variant(terms_compared=False))


def test_an_emperor_that_does_not_step_down_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Election, "_follow", stay_in_office)
    run_some(r"after the heal these act: \['\w+', '\w+'")


def test_a_remote_without_a_fence_is_caught() -> None:
    run_some(r"was pushed under term \d+ of \w+ after \d+ of \w+ began", Variant(fenced=False))


def test_a_push_without_a_lease_is_caught() -> None:
    run_some(r"was pushed under|lost what was merged|holds", Variant(leased=False))


def test_a_gate_that_does_what_is_pushed_once_more_is_caught() -> None:
    run_some(r"holds more than one result of", Variant(attributed=False))


def test_a_failure_names_the_seed_that_replays_it() -> None:
    with pytest.raises(Broken) as failure:
        for seed in SEEDS:
            run_seed(seed, Variant(fenced=False))

    text = str(failure.value)
    number = text.rsplit(" --first ", 1)[1]
    assert text.startswith(f"seed {number}, ")
    with pytest.raises(Broken) as again:
        run_seed(int(number), Variant(fenced=False))
    assert str(again.value) == text


def test_a_seed_is_the_same_run_each_time() -> None:
    first, second, other = run_seed(3), run_seed(3), run_seed(4)
    assert first == second
    assert first.digest != other.digest
