"""The checks of the second act: a flawless one passes, and each flaw fails the check for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.succession_facts import (
    FIRST_COMMIT,
    LOST_COMMIT,
    OLD,
    SECOND_COMMIT,
    flawless_succession,
)
from voidlux_site.demo.succession_checks import run_succession_checks

Facts = dict[str, Any]


def failed(facts: Facts) -> list[str]:
    return [check.name for check in run_succession_checks(facts) if not check.ok]


def text_of(facts: Facts, name: str) -> str:
    return next(check.text for check in run_succession_checks(facts) if check.name == name)


def test_a_flawless_succession_passes_every_check() -> None:
    facts = flawless_succession()

    assert failed(facts) == []
    assert text_of(facts, "emperor") == (
        "andromeda-2 is the one emperor of 2 members and the Seneschal, in term 2; andromeda was "
        "killed in term 1 and follows now"
    )
    assert text_of(facts, "taken over") == (
        "1 goal with 2 subtasks completed: 1 merged before the kill, 1 taken from the dead node "
        "and done again by another"
    )
    assert text_of(facts, "session") == (
        "the browser at http://127.0.0.1:9090 logged in once and kept its cookie over the change; "
        "of 40 looks none was refused, the longest wait was 3.4 s"
    )


def two_emperors(facts: Facts) -> None:
    facts["members"][0].update(standing="emperor", emperor=OLD, term=1)


def two_in_one_term(facts: Facts) -> None:
    facts["members"][0]["standing"] = "emperor"


def no_emperor(facts: Facts) -> None:
    for member in facts["members"]:
        member.update(standing="candidate", emperor=None, term=None)


def the_address_leads_elsewhere(facts: Facts) -> None:
    facts["seneschal"].update(emperor=OLD, term=1)


def a_goal_is_left(facts: Facts) -> None:
    facts["goals"][0]["status"] = "in_progress"


def a_subtask_is_left(facts: Facts) -> None:
    facts["goals"][0]["subtasks"][1]["status"] = "failed"


def done_by_the_dead(facts: Facts) -> None:
    facts["goals"][0]["subtasks"][1]["assigned_node"] = OLD


def killed_too_early(facts: Facts) -> None:
    facts["killed"]["merged"] = []


def it_knows_nothing_of_the_end(facts: Facts) -> None:
    facts["members"][0]["goals"] = dict.fromkeys(facts["members"][0]["goals"], "in_progress")


def merged_twice(facts: Facts) -> None:
    facts["goals"][0]["remote"]["merges"].append(SECOND_COMMIT)


def never_merged(facts: Facts) -> None:
    facts["goals"][0]["remote"]["merges"].remove(FIRST_COMMIT)


def another_attempt_merged_too(facts: Facts) -> None:
    facts["goals"][0]["remote"]["merges"].append(LOST_COMMIT)


def an_old_fence(facts: Facts) -> None:
    facts["goals"][0]["remote"]["fence"].update(term=1, node_id=OLD)


def no_fence(facts: Facts) -> None:
    facts["goals"][0]["remote"]["fence"].update(term=None, node_id=None, head=None)


def a_fence_of_another_push(facts: Facts) -> None:
    facts["goals"][0]["remote"]["fence"]["head"] = FIRST_COMMIT


def logged_out(facts: Facts) -> None:
    facts["browser"]["after"].update(path="/login", cookie="")


def logged_in_again(facts: Facts) -> None:
    facts["browser"].update(logins=2)


def another_cookie(facts: Facts) -> None:
    facts["browser"]["after"]["cookie"] = "cd" * 8


def an_error_page(facts: Facts) -> None:
    facts["browser"]["after"]["status"] = 503


def the_goal_is_not_seen(facts: Facts) -> None:
    facts["browser"]["goals"] = dict.fromkeys(facts["browser"]["goals"], "in_progress")


def closed_otherwise(facts: Facts) -> None:
    facts["browser"]["live"][0]["close_code"] = 1006


def never_came_again(facts: Facts) -> None:
    facts["browser"]["live"].pop()


def came_again_without_looking(facts: Facts) -> None:
    facts["browser"]["live"][1]["resync"] = False


def a_commit_is_lost(facts: Facts) -> None:
    facts["killed"]["kept"] = {FIRST_COMMIT: False}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (two_emperors, ["emperor"]),
        (two_in_one_term, ["emperor"]),
        (no_emperor, ["emperor"]),
        (the_address_leads_elsewhere, ["emperor", "fence", "live"]),
        (a_goal_is_left, ["taken over"]),
        (a_subtask_is_left, ["taken over"]),
        (done_by_the_dead, ["taken over"]),
        (killed_too_early, ["taken over"]),
        (it_knows_nothing_of_the_end, ["shown"]),
        (merged_twice, ["once"]),
        (never_merged, ["once"]),
        (another_attempt_merged_too, ["once"]),
        (an_old_fence, ["fence"]),
        (no_fence, ["fence"]),
        (a_fence_of_another_push, ["fence"]),
        (logged_out, ["session"]),
        (logged_in_again, ["session"]),
        (another_cookie, ["session"]),
        (an_error_page, ["session"]),
        (the_goal_is_not_seen, ["session"]),
        (closed_otherwise, ["live"]),
        (never_came_again, ["live"]),
        (came_again_without_looking, ["live"]),
        (a_commit_is_lost, ["kept"]),
    ],
)
def test_a_flaw_fails_its_check(spoil: Callable[[Facts], None], expected: list[str]) -> None:
    facts = flawless_succession()

    spoil(facts)

    assert failed(facts) == expected


def test_an_emperor_that_is_killed_and_comes_back_as_emperor_is_no_succession() -> None:
    facts = flawless_succession()
    for member, standing in zip(facts["members"], ("emperor", "follower"), strict=True):
        member.update(standing=standing, emperor=OLD, term=1)
    facts["seneschal"].update(emperor=OLD, term=1)

    assert "emperor" in failed(facts)


def test_what_the_killed_node_pushed_in_its_last_moment_counts() -> None:
    facts = flawless_succession()
    done_by_the_dead(facts)
    facts["killed"]["pushed"]["task/c2c2c2c2"] = SECOND_COMMIT
    facts["killed"]["kept"][SECOND_COMMIT] = True

    assert failed(facts) == []
    assert "0 taken from the dead node" in text_of(facts, "taken over")


def test_a_wait_is_told_with_what_was_refused() -> None:
    facts = flawless_succession()
    facts["browser"]["looks"].update(refused=2, otherwise=["503"], longest_s=12.0)

    assert failed(facts) == []
    assert text_of(facts, "session").endswith(
        "of 42 looks 2 were refused (503), the longest wait was 12.0 s"
    )
