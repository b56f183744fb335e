"""The rules of the election, each with the exact effects; time is a number."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from swarm.election.machine import Beat, Election, Proclaim, Stand, Standing, StepDown
from swarm.election.timing import Timing
from swarm.replication.messages import TERM_JUMP_MAX, Term

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
TIMING = Timing(heartbeat_s=10.0, stale_s=30.0, candidacy_s=5.0)


def term(counter: int, node_id: str) -> Term:
    return Term(counter=counter, node_id=node_id)


def machine(node_id: str = B, **options: Any) -> Election:
    facts: dict[str, Any] = {
        "highest": None,
        "in_office": False,
        "eager": False,
        "may_stand": True,
        "now_s": 0.0,
    }
    return Election(node_id, TIMING, **{**facts, **options})


def emperor(counter: int = 3, node_id: str = B) -> Election:
    own = machine(node_id, highest=term(counter, node_id), in_office=True)
    assert own.tick(0.0) == [Beat(term(counter, node_id))]
    return own


def candidate(node_id: str = B) -> Election:
    """One that stands for term 4 since second 30, because A of term 3 fell silent."""
    own = machine(node_id, highest=term(3, A if node_id != A else C))
    own.tick(10.0)
    own.tick(20.0)
    assert own.tick(30.0) == [Stand(term(4, node_id))]
    return own


def ticks(own: Election, from_s: float, until_s: float) -> list[tuple[float, Any]]:
    """Tick it when it wants to be, and return what it did when."""
    done, now_s = [], own.next_due_s(from_s)
    while now_s <= until_s:
        done += [(now_s, effect) for effect in own.tick(now_s)]
        now_s = max(own.next_due_s(now_s), now_s + 0.01)
    return done


def test_an_eager_node_proclaims_the_first_term_at_its_first_tick() -> None:
    own = machine(eager=True)
    assert own.next_due_s(0.0) == 0.0
    assert own.tick(0.0) == [Proclaim(term(1, B))]
    assert (own.standing, own.term, own.emperor_node_id) == (Standing.EMPEROR, term(1, B), B)
    assert own.acts


def test_an_eager_node_begins_above_every_known_term() -> None:
    assert machine(eager=True, highest=term(7, A)).tick(0.0) == [Proclaim(term(8, B))]


def test_an_eager_node_that_hears_an_emperor_first_follows_it() -> None:
    own = machine(eager=True)
    assert own.on_heartbeat(term(2, C), 0.0) == []
    assert ticks(own, 0.0, 29.9) == []
    assert own.emperor_node_id == C


def test_a_term_in_office_goes_on_after_a_restart() -> None:
    own = emperor(3)
    assert (own.standing, own.acts, own.term) == (Standing.EMPEROR, True, term(3, B))
    assert ticks(own, 0.0, 20.0) == [(10.0, Beat(term(3, B))), (20.0, Beat(term(3, B)))]


def test_an_emperor_whose_process_begins_anew_asks_before_it_acts() -> None:
    own = machine(highest=term(3, B), in_office=True, returns=True)
    assert own.tick(0.0) == [Beat(term(3, B))]
    assert not own.acts
    assert own.next_due_s(0.0) == 5.0
    assert own.tick(4.9) == []
    assert not own.acts
    assert own.tick(5.0) == []
    assert own.acts


def test_an_emperor_that_was_replaced_while_its_process_was_gone_never_acts_again() -> None:
    own = machine(highest=term(3, B), in_office=True, returns=True)
    own.tick(0.0)
    assert own.on_heartbeat(term(4, C), 2.0) == [StepDown(term(4, C))]
    assert (own.acts, own.emperor_node_id) == (False, C)


def test_a_term_of_its_own_that_it_left_does_not_go_on() -> None:
    own = machine(highest=term(3, B))
    assert (own.standing, own.emperor_node_id) == (Standing.FOLLOWER, None)
    assert ticks(own, 0.0, 35.0) == [(30.0, Stand(term(4, B))), (35.0, Proclaim(term(4, B)))]


def test_a_worker_without_an_emperor_stands_and_then_proclaims_itself() -> None:
    own = machine()
    assert ticks(own, 0.0, 45.0) == [
        (30.0, Stand(term(1, B))),
        (35.0, Proclaim(term(1, B))),
        (45.0, Beat(term(1, B))),
    ]


def test_each_heartbeat_of_the_highest_term_puts_off_standing() -> None:
    own = machine(highest=term(3, A))
    for now_s in (10.0, 20.0, 30.0, 40.0):
        assert own.tick(now_s) == []
        assert own.on_heartbeat(term(3, A), now_s) == []
    assert own.emperor_node_id == A
    assert ticks(own, 40.0, 70.0) == [(70.0, Stand(term(4, B)))]
    assert own.emperor_node_id is None


def test_a_heartbeat_of_a_lower_term_counts_for_nothing() -> None:
    own = machine(highest=term(3, A))
    own.on_heartbeat(term(2, C), 20.0)
    assert ticks(own, 20.0, 30.0) == [(30.0, Stand(term(4, B)))]


def test_a_known_victory_told_again_is_no_sign_of_life() -> None:
    own = machine()
    assert own.on_victory(term(3, A), 10.0) == []
    assert own.emperor_node_id == A
    assert own.on_victory(term(3, A), 35.0) == []
    assert ticks(own, 35.0, 40.0) == [(40.0, Stand(term(4, B)))]


def test_a_node_that_may_not_stand_never_does() -> None:
    own = machine(may_stand=False, eager=True, highest=term(3, A))
    assert ticks(own, 0.0, 200.0) == []
    assert own.emperor_node_id is None
    assert own.on_candidacy(term(4, C), 200.0) == []
    assert own.on_heartbeat(term(3, A), 200.0, abdicated=True) == []
    assert own.on_heartbeat(term(4, C), 201.0) == []
    assert own.emperor_node_id == C


def test_a_lower_id_that_hears_no_emperor_stands_against_a_higher_one() -> None:
    own = machine(highest=term(3, A))
    assert own.on_candidacy(term(4, C), 2.0) == [Stand(term(4, B))]
    assert ticks(own, 2.0, 7.0) == [(7.0, Proclaim(term(4, B)))]


def test_a_lower_id_that_hears_its_emperor_lets_a_higher_one_stand() -> None:
    own = machine(A, highest=term(3, B))
    own.on_heartbeat(term(3, B), 1.0)
    assert own.on_candidacy(term(4, C), 2.0) == []
    assert (own.standing, own.emperor_node_id) == (Standing.FOLLOWER, B)


def test_a_lower_candidate_tells_a_higher_one_again_that_it_stands() -> None:
    own = candidate(B)
    assert own.on_candidacy(term(4, C), 32.0) == [Stand(term(4, B))]
    assert ticks(own, 32.0, 35.0) == [(35.0, Proclaim(term(4, B)))]


def test_a_candidate_rises_above_the_counter_of_who_knows_more() -> None:
    own = candidate(B)
    assert own.on_candidacy(term(9, C), 32.0) == [Stand(term(9, B))]
    assert ticks(own, 32.0, 35.0) == [(35.0, Proclaim(term(9, B)))]


def test_a_higher_candidate_withdraws_and_waits_for_the_lower_ones_victory() -> None:
    own = candidate(B)
    assert own.on_candidacy(term(4, A), 31.0) == []
    assert own.standing is Standing.FOLLOWER
    assert own.on_candidacy(term(4, C), 32.0) == []
    assert own.on_victory(term(4, A), 36.0) == []
    assert own.emperor_node_id == A
    assert ticks(own, 36.0, 65.9) == []


def test_a_withdrawn_candidate_stands_again_when_no_victory_comes() -> None:
    own = candidate(B)
    own.on_candidacy(term(4, A), 31.0)
    assert ticks(own, 31.0, 46.0) == [(41.0, Stand(term(4, B))), (46.0, Proclaim(term(4, B)))]


def test_a_candidate_follows_an_emperor_that_it_hears_again() -> None:
    own = candidate(B)
    assert own.on_heartbeat(term(3, A), 34.0) == []
    assert (own.standing, own.emperor_node_id) == (Standing.FOLLOWER, A)
    assert ticks(own, 34.0, 63.9) == []


def test_an_emperor_answers_a_candidate_by_a_heartbeat() -> None:
    own = emperor(3)
    assert own.on_candidacy(term(4, A), 2.0) == [Beat(term(3, B))]
    assert own.next_due_s(2.0) == 12.0


def test_an_emperor_answers_a_lower_term_by_a_heartbeat() -> None:
    own = emperor(3)
    assert own.on_heartbeat(term(2, A), 2.0) == [Beat(term(3, B))]
    assert own.on_victory(term(3, C), 2.0) == [Beat(term(3, B))]
    assert own.standing is Standing.EMPEROR


@pytest.mark.parametrize("higher", [term(4, C), term(3, A)])
@pytest.mark.parametrize("heard", ["on_heartbeat", "on_victory"])
def test_an_emperor_steps_down_for_a_higher_term(higher: Term, heard: str) -> None:
    own = emperor(3)
    assert getattr(own, heard)(higher, 2.0) == [StepDown(higher)]
    assert (own.standing, own.acts, own.term) == (Standing.FOLLOWER, False, higher)
    assert ticks(own, 2.0, 31.9) == []


def test_defect_09_two_emperors_that_meet_are_one_at_once() -> None:
    """In the reference neither stepped down: the swarm stayed split after it had healed."""
    low, high = emperor(3, A), emperor(3, B)
    (answer,) = low.on_heartbeat(term(3, B), 1.0)
    assert answer == Beat(term(3, A))
    assert high.on_heartbeat(answer.term, 1.0) == [StepDown(term(3, A))]
    assert (low.emperor_node_id, high.emperor_node_id) == (A, A)


def test_defect_10_an_emperor_that_hears_nobody_stays_in_office() -> None:
    """In the reference it heard no heartbeat but its own, and took itself for gone after 30 s."""
    own = emperor(3)
    beats = [(10.0 * number, Beat(term(3, B))) for number in range(1, 101)]
    assert ticks(own, 0.0, 1000.0) == beats
    assert own.acts


def test_an_emperor_that_was_paused_asks_before_it_acts() -> None:
    own = emperor(3)
    assert own.tick(600.0) == [Beat(term(3, B))]
    assert (own.standing, own.acts) == (Standing.EMPEROR, False)
    assert own.next_due_s(600.0) == 605.0
    assert own.tick(604.9) == []
    assert not own.acts
    assert own.tick(605.0) == []
    assert own.acts


def test_a_paused_emperor_that_is_told_of_another_never_acts_again() -> None:
    own = emperor(3)
    assert own.on_candidacy(term(9, C), 600.0) == [Beat(term(3, B))]
    assert not own.acts
    assert own.on_heartbeat(term(4, C), 600.1) == [StepDown(term(4, C))]
    assert ticks(own, 600.1, 630.0) == []
    assert not own.acts


def test_a_clock_that_runs_backwards_is_a_reason_to_ask_too() -> None:
    own = emperor(3)
    own.tick(10.0)
    assert own.tick(2.0) == [Beat(term(3, B))]
    assert not own.acts
    assert ticks(own, 2.0, 12.0) == [(12.0, Beat(term(3, B)))]
    assert own.acts


def test_a_follower_that_was_paused_waits_anew() -> None:
    own = machine(highest=term(3, A))
    assert own.tick(600.0) == []
    assert ticks(own, 600.0, 630.0) == [(630.0, Stand(term(4, B)))]


def test_a_candidate_that_was_paused_does_not_proclaim() -> None:
    own = candidate(B)
    assert own.tick(600.0) == []
    assert own.standing is Standing.FOLLOWER
    assert ticks(own, 600.0, 629.9) == []


def test_ticks_are_wanted_often_enough_not_to_look_like_a_pause() -> None:
    own = machine(highest=term(3, A))
    assert own.next_due_s(0.0) == 10.0
    assert own.tick(10.0) == []
    assert own.next_due_s(10.0) == 20.0
    assert own.tick(25.0) == []
    assert own.next_due_s(25.0) == 30.0


def test_who_abdicates_leaves_the_office_to_others() -> None:
    own = emperor(3, A)
    assert own.abdicate(4.0) == [Beat(term(3, A), abdicated=True), StepDown(term(3, A))]
    assert (own.standing, own.acts, own.emperor_node_id) == (Standing.FOLLOWER, False, None)
    assert own.on_candidacy(term(4, B), 4.1) == []
    assert ticks(own, 4.1, 63.9) == []
    assert own.abdicate(63.9) == []


def test_who_abdicated_and_has_no_successor_stands_again() -> None:
    own = emperor(3)
    own.abdicate(4.0)
    assert ticks(own, 4.0, 69.0) == [(64.0, Stand(term(4, B))), (69.0, Proclaim(term(4, B)))]


def test_others_stand_at_once_when_the_emperor_abdicates() -> None:
    own = machine(highest=term(3, A))
    own.on_heartbeat(term(3, A), 1.0)
    assert own.on_heartbeat(term(3, A), 4.0, abdicated=True) == [Stand(term(4, B))]
    assert own.on_heartbeat(term(3, A), 4.5, abdicated=True) == []
    assert ticks(own, 4.5, 9.0) == [(9.0, Proclaim(term(4, B)))]


def test_a_lower_emperor_stands_again_when_the_higher_one_abdicates() -> None:
    own = emperor(3)
    effects = own.on_heartbeat(term(5, C), 4.0, abdicated=True)
    assert effects == [StepDown(term(5, C)), Stand(term(6, B))]


def test_an_abdication_of_a_lower_term_moves_nobody() -> None:
    own = machine(highest=term(3, A))
    own.on_heartbeat(term(3, A), 1.0)
    assert own.on_heartbeat(term(2, C), 4.0, abdicated=True) == []
    assert (own.standing, own.emperor_node_id) == (Standing.FOLLOWER, A)


@pytest.mark.parametrize("heard", ["on_heartbeat", "on_victory", "on_candidacy"])
def test_a_term_too_far_ahead_is_ignored(heard: str) -> None:
    own = emperor(3)
    assert getattr(own, heard)(term(3 + TERM_JUMP_MAX + 1, C), 2.0) == []
    assert (own.standing, own.term) == (Standing.EMPEROR, term(3, B))
    assert own.abdicate(2.0) != []
    assert ticks(own, 2.0, 67.0)[-1] == (67.0, Proclaim(term(4, B)))


def test_a_term_as_far_ahead_as_allowed_counts() -> None:
    far = term(3 + TERM_JUMP_MAX, C)
    assert emperor(3).on_heartbeat(far, 2.0) == [StepDown(far)]


def test_a_forgotten_term_of_its_own_is_left_behind() -> None:
    own = emperor(3)
    assert own.on_victory(term(9, B), 2.0) == [Proclaim(term(10, B))]
    assert own.on_victory(term(10, B), 3.0) == []
    follower = machine()
    assert follower.on_victory(term(9, B), 2.0) == []
    assert ticks(follower, 2.0, 35.0)[-1] == (35.0, Proclaim(term(10, B)))


def test_its_own_candidacy_comes_back_without_effect() -> None:
    own = candidate(B)
    assert own.on_candidacy(term(4, B), 31.0) == []
    assert ticks(own, 31.0, 35.0) == [(35.0, Proclaim(term(4, B)))]


def test_a_copy_is_a_machine_of_its_own() -> None:
    own = candidate(B)
    other = copy.copy(own)
    assert other.tick(35.0) == [Proclaim(term(4, B))]
    assert own.standing is Standing.CANDIDATE
    assert own.tick(35.0) == [Proclaim(term(4, B))]


def test_when_nothing_is_due_the_next_tick_is_never_in_the_past() -> None:
    own = machine(may_stand=False)
    own.tick(10.0)
    own.tick(20.0)
    own.tick(30.0)
    assert own.next_due_s(30.0) == 40.0
    assert own.next_due_s(50.0) == 50.0
    assert math.isfinite(own.next_due_s(0.0))
