"""Reviews by a command in the gate: its verdicts, its failures, and the end of its worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from p2p.clock import now_utc
from swarm.models import Job, Task, TaskEvent
from swarm.review import services
from swarm.review.jobs import _ask
from swarm.services import jobs
from swarm.states import JobStatus
from tests.support.gate_goals import NOW, a_goal, after_gate, report
from tests.support.git_remote import GitRemote
from tests.support.reviewing import review_of, reviewed_by, run_reviews

pytestmark = pytest.mark.django_db(transaction=True)

ACCEPT = """cat > /dev/null; echo '{"verdict": "accept", "reasons": "well made"}'"""
REJECT = """cat > /dev/null; echo '{"verdict": "reject", "reasons": "no test of the lens"}'"""
GRACE = services.human("grace")


def a_task_for_review(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch, command: str
) -> tuple[Task, Task]:
    """Return a goal and its only subtask, which waits for the verdict of a command."""
    reviewed_by(monkeypatch, "command", command)
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    return goal, task


def test_a_command_that_accepts_lets_the_gate_merge(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed_by(monkeypatch, "command", ACCEPT)
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})

    assert after_gate(goal) == ["pending_review"]
    assert review_of(task).why_human == ""
    job = Job.objects.get(kind="review")
    assert (job.key, job.lane) == (review_of(task).id.hex, f"review:{task.id.hex}")
    assert run_reviews() == 1

    assert after_gate(goal) == ["completed"]
    review = review_of(task)
    assert (review.state, review.by, review.reasons) == ("accepted", "command", "well made")


def test_a_command_that_rejects_sends_the_task_back(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, task = a_task_for_review(remote, monkeypatch, REJECT)

    run_reviews()

    task.refresh_from_db()
    assert (task.status, task.attempt) == ("pending", 1)
    assert task.feedback.endswith("\n\nno test of the lens")
    assert review_of(task).by == "command"


def test_the_command_is_asked_about_the_task_its_diff_and_its_tests(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked.json"
    reviewed_by(monkeypatch, "command", f"cat > {asked}")
    goal = a_goal(remote, "One", test_command="echo all 3 lenses are clear")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    run_reviews()

    review = review_of(task)
    assert json.loads(asked.read_text()) == {
        "task": {
            "id": task.id.hex,
            "title": "One",
            "instructions": "true\n",
            "acceptance_criteria": "",
            "attempt": 1,
        },
        "commit": task.commit,
        "changed_paths": ["one"],
        "diff": review.diff,
        "diff_chars": len(review.diff),
        "diff_is_cut": False,
        "test": {
            "command": "echo all 3 lenses are clear",
            "passed": True,
            "failing_tests": [],
            "output_tail": "all 3 lenses are clear\n",
        },
    }


def test_a_command_without_a_verdict_leaves_it_to_a_person(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed_by(monkeypatch, "command", "echo no key >&2; exit 4")
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    run_reviews()

    review = review_of(task)
    why = "the review command gave no verdict: it ended with 4: no key"
    assert (review.state, review.why_human) == ("waiting", why)
    assert after_gate(goal) == ["pending_review"]
    last = TaskEvent.objects.filter(task=task).last()
    assert last is not None
    assert (last.source, last.target) == ("pending_review", "pending_review")
    assert last.reason == f"the review waits for a person: {why}"
    services.accept(review.id, by=GRACE, now=now_utc())
    assert after_gate(goal) == ["completed"]


def test_a_review_whose_job_fails_for_good_waits_for_a_person(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed_by(monkeypatch, "command", ACCEPT)
    monkeypatch.setattr("swarm.gate.testrun.SUPERVISOR", Path("/nonexistent/supervise.py"))
    goal = a_goal(remote, "One", test_command="")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    for _ in range(10):
        Job.objects.filter(kind="review").update(due_at=NOW)
        run_reviews()

    review = review_of(task)
    assert review.state == "waiting"
    assert review.why_human == ("the review failed: the supervisor of the review command was ended")


def test_the_job_of_a_worker_that_died_is_run_again(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    reviewed_by(monkeypatch, "command", f"echo x >> {count}; {ACCEPT}")
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    left = tmp_path / "home" / "reviews" / review_of(task).id.hex
    left.mkdir(parents=True)
    (left / "errors").write_text("half")
    assert jobs.claim(Job.objects.get(kind="review").id, now=now_utc()) is not None
    assert run_reviews() == 0

    jobs.recover_all(now_utc())
    run_reviews()

    assert review_of(task).state == "accepted"
    assert count.read_text() == "x\n"
    assert not left.exists()


def test_a_verdict_that_comes_after_a_persons_changes_nothing(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, task = a_task_for_review(remote, monkeypatch, REJECT)
    asking = services.get_review(review_of(task).id)
    services.accept(asking.id, by=GRACE, now=now_utc())

    _ask(asking)

    assert (review_of(task).state, review_of(task).by) == ("accepted", "human:grace")
    assert Job.objects.get(kind="review").status == JobStatus.QUEUED
    run_reviews()
    assert Job.objects.get(kind="review").status == JobStatus.DONE
    assert after_gate(goal) == ["completed"]
