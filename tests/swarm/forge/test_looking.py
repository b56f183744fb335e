"""Open pull requests are looked at: state, checks, and merged by themselves when asked to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swarm.errors import WrongState
from swarm.forge import services
from swarm.forge.models import PullRequest
from swarm.forge.services import LOOK_AT_PULL, OPEN_PULL
from swarm.models import Job, Task
from swarm.states import JobStatus
from tests.support.forge_server import ForgeServer
from tests.support.git_remote import GitRemote
from tests.swarm.forge.conftest import NOW, SetEnvironment, done_goal, pull_of, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)

MERGE = {"github": r"/merge$", "gitlab": r"/merge$"}


def opened(remote: GitRemote, auto_merge: bool = False) -> Task:
    goal = done_goal(remote, auto_merge=auto_merge)
    run_jobs(OPEN_PULL)
    # Long enough ago for checks to have appeared.
    PullRequest.objects.update(head_pushed_at=NOW - timedelta(minutes=5))
    return goal


def set_checks(forge: ForgeServer, kind: str, colour: str) -> None:
    if kind == "gitlab":
        forge.state.pipeline = {"green": "success", "red": "failed", "pending": "running"}[colour]
    else:
        run = {"green": ("completed", "success"), "red": ("completed", "failure")}
        forge.state.runs = [("completed", "skipped"), run.get(colour, ("in_progress", None))]


def next_look_s(pull: PullRequest) -> int:
    job = Job.objects.get(kind=LOOK_AT_PULL, status=JobStatus.QUEUED)
    assert pull.looked_at is not None
    return round((job.due_at - pull.looked_at).total_seconds())


@pytest.mark.parametrize("colour", ["green", "red", "pending"])
def test_checks_are_shown_and_without_auto_merge_nothing_is_merged(
    kind: str, forge: ForgeServer, remote: GitRemote, colour: str
) -> None:
    goal = opened(remote)
    set_checks(forge, kind, colour)

    assert run_jobs(LOOK_AT_PULL) == [LOOK_AT_PULL]

    assert (pull_of(goal).state, pull_of(goal).checks) == ("open", colour)
    assert forge.made("PUT") == []


def test_looks_become_rarer_until_there_is_news(
    kind: str, forge: ForgeServer, remote: GitRemote, set_environment: SetEnvironment
) -> None:
    set_environment(pull_request_look_s=50)
    goal = opened(remote)
    waits = []
    for _ in range(4):
        waits.append(next_look_s(pull_of(goal)))
        run_jobs(LOOK_AT_PULL)
    set_checks(forge, kind, "green")
    run_jobs(LOOK_AT_PULL)
    waits.append(next_look_s(pull_of(goal)))

    # The first look finds out that there are no checks, which is news on GitHub.
    assert waits in ([15, 15, 30, 50, 15], [15, 30, 50, 50, 15])


def test_commit_statuses_count_as_checks(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote)
    seen = []
    for states in ([], ["success"], ["success", "pending"], ["success", "failure"]):
        forge.state.statuses = states
        run_jobs(LOOK_AT_PULL)
        seen.append(pull_of(goal).checks)

    assert seen == ["none", "green", "pending", "red"]


def test_a_token_that_may_not_read_checks_knows_nothing_of_them(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote, auto_merge=True)
    said = {"message": "Resource not accessible by personal access token"}
    forge.state.fail("GET", r"/check-runs$", 403, said)

    run_jobs(LOOK_AT_PULL)

    assert (pull_of(goal).state, pull_of(goal).checks) == ("open", "unknown")
    assert pull_of(goal).note == "not merged by itself: the token may not read the checks"


def test_with_auto_merge_green_checks_merge_the_proved_commit(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote, auto_merge=True)
    set_checks(forge, kind, "pending")
    run_jobs(LOOK_AT_PULL)
    assert (pull_of(goal).state, pull_of(goal).note) == ("open", "the merge waits for the checks")

    set_checks(forge, kind, "green")
    run_jobs(LOOK_AT_PULL)

    pull = pull_of(goal)
    assert (pull.state, pull.note) == ("merged", "")
    assert pull.ended_at is not None
    assert forge.state.pulls[0].state == "merged"
    assert not Job.objects.filter(kind=LOOK_AT_PULL, status=JobStatus.QUEUED).exists()


def test_red_checks_are_never_merged(kind: str, forge: ForgeServer, remote: GitRemote) -> None:
    goal = opened(remote, auto_merge=True)
    set_checks(forge, kind, "red")

    run_jobs(LOOK_AT_PULL)

    assert (pull_of(goal).state, pull_of(goal).note) == ("open", "not merged: the checks are red")
    assert forge.made("PUT") == []


def test_checks_are_given_time_to_appear(kind: str, forge: ForgeServer, remote: GitRemote) -> None:
    goal = opened(remote, auto_merge=True)
    PullRequest.objects.update(head_pushed_at=NOW + timedelta(minutes=5))
    run_jobs(LOOK_AT_PULL)
    assert pull_of(goal).note == "the merge waits for checks to appear"

    PullRequest.objects.update(head_pushed_at=NOW - timedelta(minutes=5))
    run_jobs(LOOK_AT_PULL)

    assert pull_of(goal).state == "merged"


def test_what_somebody_else_pushed_is_not_merged_by_itself(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote, auto_merge=True)
    set_checks(forge, kind, "green")
    moved = remote.push(f"integrate/{goal.id8}", {"more": "m\n"})

    run_jobs(LOOK_AT_PULL)

    pull = pull_of(goal)
    assert (pull.state, pull.forge_commit) == ("open", moved)
    assert pull.note == (
        f"not merged by itself: its head {moved[:8]} is not the proved "
        f"commit {pull.head_commit[:8]}"
    )
    assert forge.made("PUT") == []


@pytest.mark.parametrize(("status", "says"), [(405, "not mergeable"), (409, "was modified")])
def test_a_forge_that_will_not_merge_says_why(
    kind: str, forge: ForgeServer, remote: GitRemote, status: int, says: str
) -> None:
    goal = opened(remote, auto_merge=True)
    set_checks(forge, kind, "green")
    forge.state.fail("PUT", MERGE[kind], status, {"message": f"it {says}"})

    run_jobs(LOOK_AT_PULL)

    assert pull_of(goal).state == "open"
    assert pull_of(goal).note.startswith("not merged: ") and says in pull_of(goal).note
    run_jobs(LOOK_AT_PULL)
    assert pull_of(goal).state == "merged"


def test_a_worker_that_dies_after_the_merge_finds_it_merged(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote, auto_merge=True)
    set_checks(forge, kind, "green")
    forge.state.fail("PUT", MERGE[kind], 500, {"message": "oops"}, after_effect=True)

    run_jobs(LOOK_AT_PULL)
    assert pull_of(goal).state == "open"
    run_jobs(LOOK_AT_PULL)

    assert pull_of(goal).state == "merged"
    assert len(forge.made("PUT")) == 1


@pytest.mark.parametrize("state", ["closed", "merged"])
def test_what_people_do_at_the_forge_is_seen(
    kind: str, forge: ForgeServer, remote: GitRemote, state: str
) -> None:
    goal = opened(remote)
    forge.state.pulls[0].state = state

    run_jobs(LOOK_AT_PULL)

    assert pull_of(goal).state == state
    assert not Job.objects.filter(kind=LOOK_AT_PULL, status=JobStatus.QUEUED).exists()


def test_one_that_cannot_be_seen_any_more_is_failed_and_looked_at_again_on_retry(
    kind: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote)
    path = {"github": r"/pulls/7$", "gitlab": r"/merge_requests/7$"}[kind]
    forge.state.fail("GET", path, 404, {"message": "Not Found"})
    run_jobs(LOOK_AT_PULL)
    assert pull_of(goal).state == "failed"
    assert "answered 404 to a look at" in pull_of(goal).error

    services.retry_pull(pull_of(goal).id, now=NOW)
    run_jobs(LOOK_AT_PULL)

    assert (pull_of(goal).state, pull_of(goal).error) == ("open", "")


def test_sync_brings_the_next_look_forward(
    github: str, forge: ForgeServer, remote: GitRemote
) -> None:
    goal = opened(remote)

    services.sync_pull(pull_of(goal).id, now=NOW)

    assert Job.objects.get(kind=LOOK_AT_PULL, status=JobStatus.QUEUED).due_at == NOW
    forge.state.pulls[0].state = "closed"
    run_jobs(LOOK_AT_PULL)
    with pytest.raises(WrongState):
        services.sync_pull(pull_of(goal).id, now=NOW)
