"""Reviews in the gate: what waits, what a verdict does, and what a verdict never does."""

from __future__ import annotations

import pytest
from django.conf import settings

from p2p.clock import now_utc
from swarm.errors import NotEmperor, WrongState
from swarm.gate.reports import _begin_merging
from swarm.git.command import run_git
from swarm.models import Job, Review, Task, TestRun
from swarm.review import services
from swarm.services import goals
from swarm.services.lifecycle import requeue_task
from swarm.states import JobStatus
from tests.support.gate_goals import a_goal, after_gate, pushed, report, report_commit
from tests.support.git_remote import GitRemote
from tests.support.reviewing import review_of, reviewed_by

pytestmark = pytest.mark.django_db(transaction=True)

GRACE = services.human("grace")


@pytest.fixture
def by_human(monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed_by(monkeypatch, "human")


def test_without_a_reviewer_there_are_no_reviews(remote: GitRemote) -> None:
    goal = a_goal(remote, "One")
    report(goal, 1, remote, {"one": "1\n"})

    assert after_gate(goal) == ["completed"]

    assert Review.objects.count() == 0


def test_a_verified_commit_waits_with_its_diff_and_its_tests(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One,Two")
    task = report(goal, 1, remote, {"one": "1\n"})
    red = report(goal, 2, remote, {"two": "BUG\n"})

    assert after_gate(goal) == ["pending_review", "pending_review"]

    review = review_of(task)
    assert (review.state, review.commit, review.attempt) == ("waiting", task.commit, 1)
    assert review.why_human == "this node has a person review each commit"
    assert review.changed_paths == ["one"]
    assert review.diff.endswith("+++ b/one\n@@ -0,0 +1 @@\n+1\n")
    assert (review.diff_chars, review.diff_is_cut) == (len(review.diff), False)
    assert review.test_run is not None
    assert (review.test_run.passed, review.test_run.commit) == (True, review.merged_commit)
    red_run = review_of(red).test_run
    assert red_run is not None and not red_run.passed
    assert pushed(goal, remote) is None
    assert Job.objects.filter(kind="review").count() == 0


def test_an_accepted_commit_is_merged_and_not_tested_again(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    Job.objects.all().delete()

    services.accept(review_of(task).id, by=GRACE, now=now_utc())

    assert Job.objects.get(kind=goals.GATE, status=JobStatus.QUEUED).key == goal.id.hex
    assert after_gate(goal) == ["completed"]
    review = review_of(task)
    assert (review.state, review.by, review.reasons) == ("accepted", "human:grace", "")
    assert review.decided_at is not None
    assert TestRun.objects.count() == 1
    assert pushed(goal, remote) == goal.merged_commit == review.merged_commit


def test_a_rejected_commit_is_made_anew_with_the_reasons(remote: GitRemote, by_human: None) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    services.reject(review_of(task).id, by=GRACE, reasons="Name the lens.", now=now_utc())

    task.refresh_from_db()
    assert (task.status, task.attempt) == ("pending", 1)
    assert task.feedback == f"The review rejected {task.commit[:8]}:\n\nName the lens."
    assert task.error == f"{task.commit[:8]} is rejected by human:grace: Name the lens."
    report(goal, 1, remote, {"lens": "1\n"})
    assert after_gate(goal) == ["pending_review"]
    assert review_of(task).attempt == 2
    assert list(Review.objects.values_list("state", flat=True)) == ["rejected", "waiting"]


def test_the_last_rejected_attempt_fails_the_task(remote: GitRemote, by_human: None) -> None:
    goal = a_goal(remote, "One")
    for content in "123":
        task = report(goal, 1, remote, {"one": content})
        after_gate(goal)
        services.reject(review_of(task).id, by=GRACE, reasons="no", now=now_utc())

    task.refresh_from_db()
    goal.refresh_from_db()
    assert (task.status, goal.status) == ("failed", "failed")


def test_a_rejected_commit_that_is_reported_again_goes_back_again(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    services.reject(review_of(task).id, by=GRACE, reasons="no", now=now_utc())
    branch = f"refs/heads/task/{task.id8}-2"
    run_git(["update-ref", branch, task.commit], cwd=remote.path)
    report_commit(Task.objects.get(id=task.id), task.commit)

    assert after_gate(goal) == ["pending"]

    assert Review.objects.count() == 1


def test_what_is_pushed_after_the_review_began_is_not_merged(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    run_git(["update-ref", "-d", f"refs/heads/{task.git_branch}"], cwd=remote.path)
    remote.push(task.git_branch, {"evil": "1\n"}, start=task.commit)

    services.accept(review_of(task).id, by=GRACE, now=now_utc())

    assert after_gate(goal) == ["completed"]
    files = run_git(["ls-tree", "--name-only", goal.merged_commit], cwd=remote.path).stdout
    assert files.split() == ["README", "one"]


def test_a_verdict_on_one_commit_never_counts_for_another(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    first = review_of(task)
    requeue_task(task.id, reason="again", now=now_utc())
    report(goal, 1, remote, {"two": "2\n"})

    with pytest.raises(WrongState, match="is dropped and cannot become accepted"):
        services.accept(first.id, by=GRACE, now=now_utc())
    assert after_gate(goal) == ["pending_review"]

    assert review_of(task).commit != first.commit
    assert list(Review.objects.values_list("state", flat=True)) == ["dropped", "waiting"]


def test_an_accepted_commit_that_is_replaced_before_the_gate_runs_is_reviewed_anew(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    services.accept(review_of(task).id, by=GRACE, now=now_utc())
    requeue_task(task.id, reason="again", now=now_utc())
    report(goal, 1, remote, {"two": "2\n"})

    assert after_gate(goal) == ["pending_review"]

    assert list(Review.objects.values_list("state", flat=True)) == ["accepted", "waiting"]


def test_a_task_that_is_cancelled_drops_its_review(remote: GitRemote, by_human: None) -> None:
    goal = a_goal(remote, "One,Two")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    goals.cancel_task(task.id, reason="no need", now=now_utc())

    review = review_of(task)
    assert (review.state, review.why_human) == ("dropped", "")
    with pytest.raises(WrongState):
        services.reject(review.id, by=GRACE, reasons="late", now=now_utc())
    task.refresh_from_db()
    assert task.status == "cancelled"


def test_a_review_is_decided_once(remote: GitRemote, by_human: None) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    services.accept(review_of(task).id, by=GRACE, reasons="good", now=now_utc())

    with pytest.raises(WrongState, match="is accepted and cannot become rejected"):
        services.reject(review_of(task).id, by="human:ada", reasons="no", now=now_utc())

    assert (review_of(task).by, review_of(task).reasons) == ("human:grace", "good")


def test_a_commit_that_does_not_merge_is_not_reviewed(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One,Two")
    report(goal, 1, remote, {"README": "one\n"})
    after_gate(goal)
    reviewed_by(monkeypatch, "human")
    report(goal, 2, remote, {"README": "two\n"})

    assert after_gate(goal) == ["completed", "pending"]

    assert Review.objects.count() == 0
    assert goal.subtasks.get(number=2).error.startswith("conflicts with the integration branch")


def test_one_commit_that_waits_does_not_hold_up_the_others(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One,Two")
    report(goal, 1, remote, {"one": "1\n"})
    second = report(goal, 2, remote, {"two": "2\n"})
    after_gate(goal)

    services.accept(review_of(second).id, by=GRACE, now=now_utc())

    assert after_gate(goal) == ["pending_review", "completed"]


def test_a_reviewer_that_is_switched_off_holds_nothing_up(
    remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed_by(monkeypatch, "human")
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)

    reviewed_by(monkeypatch, "")

    assert after_gate(goal) == ["completed"]
    assert review_of(task).state == "dropped"


def test_without_a_test_command_the_review_has_no_test_run(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One", test_command="")
    task = report(goal, 1, remote, {"one": "1\n"})

    after_gate(goal)

    assert review_of(task).test_run is None


def test_a_long_diff_is_cut_and_says_so(
    remote: GitRemote, by_human: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.review.changes.REVIEW_DIFF_CHARS_MAX", 1_000)
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "line\n" * 1_000})

    after_gate(goal)

    review = review_of(task)
    assert (len(review.diff), review.diff_is_cut) == (1_000, True)
    assert review.diff_chars > 6_000


def test_a_worker_that_dies_between_two_reviews_opens_each_once(
    remote: GitRemote, by_human: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One,Two")
    report(goal, 1, remote, {"one": "1\n"})
    report(goal, 2, remote, {"two": "2\n"})
    with monkeypatch.context() as dying:
        opened = services.open_review

        def once(review: Review) -> bool:
            opened(review)
            raise KeyboardInterrupt

        dying.setattr("swarm.review.opening.open_review", once)
        with pytest.raises(KeyboardInterrupt):
            after_gate(goal)
    assert Review.objects.count() == 1

    assert after_gate(goal) == ["pending_review", "pending_review"]

    assert list(Review.objects.values_list("task__number", flat=True)) == [1, 2]
    assert TestRun.objects.count() == 2, "what was tested before is not tested again"


def test_a_commit_that_was_replaced_while_the_gate_looked_is_not_merged_unseen(
    remote: GitRemote, by_human: None
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    seen = Task.objects.get(id=task.id)
    requeue_task(task.id, reason="again", now=now_utc())
    report(goal, 1, remote, {"two": "2\n"})

    _begin_merging(seen, [], "accepted")

    assert Task.objects.get(id=task.id).status == "pending_review"


def test_only_the_emperor_decides(
    remote: GitRemote, by_human: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = a_goal(remote, "One")
    task = report(goal, 1, remote, {"one": "1\n"})
    after_gate(goal)
    worker = settings.ENVIRONMENT.model_copy(update={"role": "worker"})
    monkeypatch.setattr(settings, "ENVIRONMENT", worker)

    for decide in (services.accept, services.reject):
        with pytest.raises(NotEmperor):
            decide(review_of(task).id, by=GRACE, reasons="so", now=now_utc())

    assert review_of(task).state == "waiting"
