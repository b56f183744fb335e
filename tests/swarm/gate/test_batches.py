"""Batches on real repositories: the cost of a culprit, flaky tests, red bases, refused pushes."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from p2p.protocol.errors import ExternalError
from swarm.gate.batch import trials
from swarm.gate.batch.bench import newly_red
from swarm.gate.evidence import (
    BegunRun,
    CarriedOut,
    abandon_run,
    begin_run,
    carry_out,
    end_run,
)
from swarm.git.command import run_git
from swarm.models import FlakyTest, MergeRun, Task, TestRun
from tests.support.gate_goals import GREEN, a_goal, after_gate, pushed, report, widen
from tests.support.git_remote import GitRemote

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def four_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = settings.ENVIRONMENT.model_copy(update={"test_workers": 4})
    monkeypatch.setattr(settings, "ENVIRONMENT", environment)


def sixteen(remote: GitRemote, culprit: int) -> list[str]:
    goal = a_goal(remote, "Part")
    widen(goal, 16)
    for number in range(1, 17):
        report(goal, number, remote, {str(number): "BUG\n" if number == culprit else "fine\n"})
    return after_gate(goal)


def test_one_culprit_among_16_takes_7_test_runs(remote: GitRemote) -> None:
    statuses = sixteen(remote, 11)

    assert statuses == ["completed"] * 10 + ["pending"] + ["completed"] * 5
    assert TestRun.objects.count() == 7


def test_four_workers_find_the_same_culprit(remote: GitRemote, four_workers: None) -> None:
    statuses = sixteen(remote, 11)

    assert statuses == ["completed"] * 10 + ["pending"] + ["completed"] * 5
    assert TestRun.objects.count() == 1 + 4 + 3 + 2, "two rounds of up to four"


def once_red(marker: Path) -> str:
    """Return a command that is red on its first run and green from then on."""
    return f"test -e {marker} || {{ touch {marker}; false; }}"


def test_a_flaky_test_is_recorded_and_blamed_on_nobody(remote: GitRemote, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    goal = a_goal(remote, "One,Two", once_red(marker))
    report(goal, 1, remote, {"1": "1\n"})
    report(goal, 2, remote, {"2": "2\n"})

    assert after_gate(goal) == ["completed", "completed"]

    # The batch was red; its first half is green, so the second one is tested again.
    runs = list(TestRun.objects.order_by("id"))
    assert [(run.number, run.passed) for run in runs] == [(1, False), (1, True), (2, True)]
    flaky = FlakyTest.objects.get()
    assert (flaky.command, flaky.name) == (goal.test_command, "")
    assert (flaky.flaky_times, flaky.runs_seen, flaky.rate) == (1, 3, pytest.approx(1 / 3))
    assert flaky.runs == [runs[0].id, runs[2].id]
    outcomes = [run.outcome for run in MergeRun.objects.all()]
    assert outcomes == ["split", "suspect", "flaky", "merged"]
    assert goal.status == "completed", "the last run of the commit counts"


def test_a_flaky_test_of_a_subtasks_own_costs_it_nothing(remote: GitRemote, tmp_path: Path) -> None:
    goal = a_goal(remote, "One", "")
    own = once_red(tmp_path / "marker")
    Task.objects.filter(parent=goal).update(test_command=own)
    report(goal, 1, remote, {"1": "1\n"})

    assert after_gate(goal) == ["completed"]

    assert FlakyTest.objects.get().command == own


def with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each line of a run's output be the name of a failing test."""

    def kept(begun: BegunRun, carried_out: CarriedOut) -> TestRun:
        run = end_run(begun, carried_out)
        run.failing_tests = sorted(carried_out.outcome.output_tail.split())
        run.tests_run, run.tests_failed = 9, len(run.failing_tests)
        run.save()
        return run

    monkeypatch.setattr(trials, "end_run", kept)


NAMED = "cat FAILS-* 2>/dev/null; ! ls | grep -q FAILS"


def test_on_a_red_base_whoever_adds_a_failing_test_is_found_by_its_name(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_names(monkeypatch)
    remote.push("main", {"FAILS-old": "test_old\n"})
    goal = a_goal(remote, "One,Two,Three", NAMED)
    report(goal, 1, remote, {"1": "1\n"})
    report(goal, 2, remote, {"FAILS-new": "test_new\n"})
    report(goal, 3, remote, {"3": "3\n"})

    assert after_gate(goal) == ["completed", "pending", "completed"]

    assert goal.base_red
    culprit = goal.subtasks.get(number=2)
    assert culprit.error.endswith("ended with 1; 2 of 9 tests failed: test_new, test_old")
    assert goal.status == "in_progress"


def test_a_flaky_test_is_recorded_by_its_name(
    remote: GitRemote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_names(monkeypatch)
    marker = tmp_path / "marker"
    goal = a_goal(remote, "One", f"test -e {marker} || {{ touch {marker}; echo test_x; false; }}")
    report(goal, 1, remote, {"1": "1\n"})

    assert after_gate(goal) == ["completed"]

    assert [each.name for each in FlakyTest.objects.all()] == ["test_x"]


@pytest.mark.parametrize(
    ("passed", "failing", "base_passed", "base_failing", "red"),
    [
        (True, [], None, [], False),
        (False, [], None, [], True),
        (False, ["a"], True, [], True),
        (False, [], False, [], False),
        (False, ["a"], False, [], False),
        (False, ["a"], False, ["a", "b"], False),
        (False, ["a", "c"], False, ["a", "b"], True),
        (False, [], False, ["a"], True),
        (True, [], False, ["a"], False),
    ],
)
def test_what_is_newly_red(
    passed: bool, failing: list[str], base_passed: bool | None, base_failing: list[str], red: bool
) -> None:
    run = TestRun(passed=passed, failing_tests=failing)
    base = None if base_passed is None else TestRun(passed=base_passed, failing_tests=base_failing)

    assert newly_red(run, base) is red


def test_a_remote_that_refuses_the_push_keeps_what_was_proved(
    remote: GitRemote, tmp_path: Path
) -> None:
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"1": "1\n"})
    hook = remote.path / "hooks" / "update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/heads/integrate/*) echo no; exit 1;; esac\n")
    hook.chmod(0o755)

    with pytest.raises(ExternalError, match="hook declined") as refused:
        after_gate(goal)

    assert refused.value.retryable
    assert goal.subtasks.get().status == "merging"
    assert pushed(goal, remote) is None
    hook.unlink()
    assert after_gate(goal) == ["completed"]
    assert TestRun.objects.count() == 1
    assert [run.outcome for run in MergeRun.objects.all()] == ["unpushed", "merged"]


def test_pushed_merges_name_their_task_and_credit_their_authors(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"1": "1\n"})

    after_gate(goal)

    shown = run_git(["show", "-s", "--format=%B", goal.integration_commit], cwd=remote.path)
    assert shown.stdout.strip().splitlines() == [
        f"Merge {task.git_branch}: One",
        "",
        f"Task: {task.id}",
        "Attempt: 1",
        "Node: ",
        "Co-authored-by: Test <test@example.invalid>",
    ]


def test_a_test_that_cannot_be_started_keeps_the_others_of_its_round(
    remote: GitRemote, four_workers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One,Two,Three,Four")
    for number in range(1, 5):
        report(goal, number, remote, {str(number): "BUG\n" if number == 2 else "fine\n"})
    original, calls = trials.carry_out, []

    def second_fails(begun: BegunRun) -> CarriedOut:
        calls.append(begun.run.commit)
        if len(calls) == 2:
            raise ExternalError("no more processes", retryable=True)
        return original(begun)

    with monkeypatch.context() as patched:
        patched.setattr(trials, "carry_out", second_fails)
        with pytest.raises(ExternalError, match="no more processes"):
            after_gate(goal)
    states = TestRun.objects.values_list("state", flat=True)
    assert sorted(states) == ["failed", "failed", "interrupted", "passed"]

    assert after_gate(goal) == ["completed", "pending", "completed", "completed"]


def test_runs_of_one_commit_are_numbered_and_have_logs_of_their_own(
    remote: GitRemote, tmp_path: Path
) -> None:
    goal = a_goal(remote, "One")
    first = begin_run(goal, "c" * 40, GREEN, tmp_path)
    end_run(first, carry_out(first))

    again = begin_run(goal, "c" * 40, GREEN, tmp_path)
    abandon_run(again)

    assert (first.run.number, again.run.number) == (1, 2)
    assert again.log_path != first.log_path
