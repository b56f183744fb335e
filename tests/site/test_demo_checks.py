"""The demo's checks: a flawless story passes, and each flaw fails the one check that is for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.demo_facts import BASE, TASK, flawless_facts
from voidlux_site.demo.checks import run_checks

Facts = dict[str, Any]


def failed(facts: Facts) -> list[str]:
    return [check.name for check in run_checks(facts) if not check.ok]


def test_a_flawless_story_passes_every_check() -> None:
    texts = {check.name: check.text for check in run_checks(flawless_facts())}

    assert failed(flawless_facts()) == []
    assert texts["tests"] == "12 tests are green in a fresh clone at ffffffff"
    assert texts["question"] == "“Report” asked, was answered tabs, and went on 0.5 s later"
    assert texts["bisection"] == (
        "a red batch was bisected: “Median” was to blame, went back and came back right; "
        "2 test runs in all"
    )
    assert texts["conflict"] == (
        "“Report” met other work in README.md, went back and merged the next time"
    )
    assert texts["crash"] == (
        "process 4711 was killed at work on “Report”; the next agent went on from what it had left"
    )


def goal_failed(facts: Facts) -> None:
    facts["goal"].update(status="failed", error="the tests are red")


def suite_red(facts: Facts) -> None:
    facts["remote"]["tests"]["exit_code"] = 1


def suite_empty(facts: Facts) -> None:
    facts["remote"]["tests"]["tests_ran"] = 0


def other_commit_tested(facts: Facts) -> None:
    facts["remote"]["tests"]["commit"] = BASE


def no_branch(facts: Facts) -> None:
    facts["remote"].update(tests=None, head="")


def commit_not_integrated(facts: Facts) -> None:
    facts["remote"]["integrated"].remove(TASK)


def no_batch_searched(facts: Facts) -> None:
    facts["evidence"]["merge_runs"].pop(0)


def searched_alone(facts: Facts) -> None:
    facts["evidence"]["merge_runs"][0]["tasks"] = [TASK]


def culprit_not_corrected(facts: Facts) -> None:
    facts["evidence"]["merge_runs"][1]["tasks"] = ["0" * 32]


def no_conflict(facts: Facts) -> None:
    facts["subtasks"][1]["events"].pop(-2)


def nobody_asked(facts: Facts) -> None:
    facts["subtasks"][1]["question"] = None


def nobody_answered(facts: Facts) -> None:
    facts["subtasks"][1]["events"].pop(2)


def answered_in_vain(facts: Facts) -> None:
    facts["subtasks"][1]["events"].pop(3)


def asked_without_waiting(facts: Facts) -> None:
    facts["subtasks"][1]["events"][1]["target"] = "in_progress"
    facts["subtasks"][1]["events"][2]["target"] = "in_progress"


def nobody_died(facts: Facts) -> None:
    facts["subtasks"][1]["runs"][0].update(status="succeeded", error="")


def another_failure(facts: Facts) -> None:
    facts["subtasks"][1]["runs"][0]["error"] = "the block ended with 1"


def death_untold(facts: Facts) -> None:
    facts["subtasks"][1]["events"][0]["evidence"]["code"] = "exit_code"


def begun_anew(facts: Facts) -> None:
    facts["subtasks"][1]["runs"][0]["kept"] = False


def never_tried_again(facts: Facts) -> None:
    facts["subtasks"][1]["runs"].pop()


def unpushed_work(facts: Facts) -> None:
    facts["nodes"][1]["worktrees"] = [{"worktree": "a1", "unpushed": ["uncommitted ?? x"]}]


def job_in_trouble(facts: Facts) -> None:
    facts["nodes"][0]["troubled_jobs"] = 1


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (goal_failed, "goal"),
        (suite_red, "tests"),
        (suite_empty, "tests"),
        (other_commit_tested, "tests"),
        (no_branch, "tests"),
        (commit_not_integrated, "merged"),
        (no_batch_searched, "bisection"),
        (searched_alone, "bisection"),
        (culprit_not_corrected, "bisection"),
        (no_conflict, "conflict"),
        (nobody_asked, "question"),
        (nobody_answered, "question"),
        (answered_in_vain, "question"),
        (asked_without_waiting, "question"),
        (nobody_died, "crash"),
        (another_failure, "crash"),
        (death_untold, "crash"),
        (begun_anew, "crash"),
        (never_tried_again, "crash"),
        (unpushed_work, "work"),
        (job_in_trouble, "quiet"),
    ],
)
def test_a_flaw_fails_its_check(spoil: Callable[[Facts], None], expected: str) -> None:
    facts = flawless_facts()

    spoil(facts)

    assert failed(facts) == [expected]


def test_an_unfinished_subtask_proves_nothing() -> None:
    facts = flawless_facts()
    facts["subtasks"][1]["status"] = "pending"

    assert failed(facts) == ["goal", "conflict", "question", "crash"]


def test_worktrees_that_are_pushed_may_stay() -> None:
    facts = flawless_facts()
    facts["nodes"][1]["worktrees"] = [{"worktree": "a1", "unpushed": []}]

    assert failed(facts) == []
