"""Pull requests across a change of emperor: found again by branch, never opened twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.forge import opening
from swarm.forge.models import FollowUp, PullRequest, ReviewComment
from swarm.forge.services import DELIVER, LOOK_AT_PULL, OPEN_PULL
from swarm.models import Job, Task
from swarm.states import JobStatus
from tests.support.cluster import Cluster, make_template
from tests.support.forge_server import ForgeServer
from tests.support.forge_server.state import TOKEN
from tests.support.git_remote import GitRemote
from tests.support.handing_over import Killed, Pair, run_waiting
from tests.swarm.forge.conftest import NOW, done_goal, finish

pytestmark = pytest.mark.faults

CREATE = {"github": r"/pulls$", "gitlab": r"/merge_requests$"}


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: object) -> Path:
    path = tmp_path_factory.mktemp("template") / "node.sqlite3"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        make_template(path)
    return path


@pytest.fixture(params=["github", "gitlab"])
def pair(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    template_database: Path,
    forge: ForgeServer,
    django_db_blocker: object,
) -> Iterator[Pair]:
    """Two members that speak to one forge, once of each kind."""
    kind = request.param
    environment = {f"{kind}_url": forge.url, f"{kind}_token": SecretStr(TOKEN)}
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        cluster = Cluster(folder=tmp_path, template=template_database)
        yield Pair.open(cluster, **environment, forge_timeout_s=2)
        cluster.close()


def done_at_old(pair: Pair, remote: GitRemote, **fields: Any) -> Task:
    with pair.at(pair.old):
        return done_goal(remote, **fields)


def open_at_old(pair: Pair) -> Job:
    with pair.at(pair.old):
        [job] = run_waiting(OPEN_PULL)
    return job


def pull_at_new(pair: Pair) -> PullRequest:
    with pair.at(pair.new):
        return PullRequest.objects.select_related("goal").get()


@pytest.mark.parametrize("killed", ["before its request", "after its request", "after its row"])
def test_the_next_emperor_opens_the_pull_request_or_finds_it(
    killed: str,
    pair: Pair,
    forge: ForgeServer,
    remote: GitRemote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goal = done_at_old(pair, remote)

    def dies(*_: object, **__: object) -> None:
        raise Killed

    targets = {"before its request": "_made_sure", "after its request": "services.record_seen"}
    if killed in targets:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(f"swarm.forge.opening.{targets[killed]}", dies)
            open_at_old(pair)
    else:
        open_at_old(pair)
    assert len(forge.state.pulls) == (0 if killed == "before its request" else 1)
    pair.tell()

    assert pair.take_over() == 2
    with pair.at(pair.new):
        [job] = run_waiting(OPEN_PULL)

    assert job.status == JobStatus.DONE
    assert [pull.head for pull in forge.state.pulls] == [f"integrate/{goal.id8}"]
    pull = pull_at_new(pair)
    assert (pull.state, pull.number, pull.head_commit) == ("open", 7, goal.merged_commit)
    assert pull.goal.result == pull.url != ""
    with pair.at(pair.new):
        assert Job.objects.filter(kind=LOOK_AT_PULL, status=JobStatus.QUEUED).count() == 1


def test_an_old_emperor_that_slept_opens_nothing(
    pair: Pair, forge: ForgeServer, remote: GitRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = done_at_old(pair, remote)
    pair.tell()
    original, asleep = opening.forge_for, []

    def sleeping(pull: PullRequest) -> Any:
        answer = original(pull)
        if not asleep:
            asleep.append(True)
            pair.take_over()
            with pair.at(pair.new):
                run_waiting(OPEN_PULL)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(opening, "forge_for", sleeping)
        job = open_at_old(pair)

    assert (job.status, job.attempts) == (JobStatus.DONE, 0)
    assert job.error.startswith(f"refs/voidlux/gate/{goal.id8} says term 2 of")
    assert len(forge.state.pulls) == 1
    assert len([each for each in forge.made("POST") if "note" not in each]) == 1
    with pair.at(pair.old):
        assert PullRequest.objects.get().state == "waiting"
        assert PullRequest.objects.get().error == ""


def test_an_old_emperor_merges_nothing_and_makes_no_work_of_comments(
    pair: Pair, forge: ForgeServer, remote: GitRemote
) -> None:
    done_at_old(pair, remote, auto_merge=True)
    open_at_old(pair)
    pair.tell()
    pair.take_over()
    with pair.at(pair.new):
        run_waiting(OPEN_PULL)
    forge.state.comment("grace", "Say it in Latin too.")
    forge.state.runs, forge.state.pipeline = [("completed", "success")], "success"

    with pair.at(pair.old):
        PullRequest.objects.update(head_pushed_at=NOW - timedelta(minutes=5))
        [job] = run_waiting(LOOK_AT_PULL)

    assert (job.status, job.attempts) == (JobStatus.DONE, 0)
    assert job.error.startswith("refs/voidlux/gate/")
    assert [pull.state for pull in forge.state.pulls] == ["open"]
    with pair.at(pair.old):
        assert FollowUp.objects.count() == 0


def with_a_round(pair: Pair, forge: ForgeServer, remote: GitRemote) -> tuple[Task, Task]:
    """Return a goal of the old emperor whose pull request got a comment, and the work of it."""
    goal = done_at_old(pair, remote)
    open_at_old(pair)
    forge.state.comment("grace", "Say it in Latin too.")
    with pair.at(pair.old):
        run_waiting(LOOK_AT_PULL)
        after_review = FollowUp.objects.select_related("goal").get().goal
        finish(after_review, remote, {"latin": "salve\n"})
    return goal, after_review


@pytest.mark.parametrize("delivered", [False, True])
def test_a_round_of_review_is_delivered_and_its_comments_become_no_second_one(
    delivered: bool, pair: Pair, forge: ForgeServer, remote: GitRemote
) -> None:
    goal, after_review = with_a_round(pair, forge, remote)
    if delivered:
        with pair.at(pair.old):
            run_waiting(DELIVER)
    pair.tell()

    assert pair.take_over() == 4
    with pair.at(pair.new):
        # The round's row needs the pull request's, which comes first.
        assert [job.status for job in run_waiting(OPEN_PULL, DELIVER)] == [JobStatus.DONE] * 2
        assert [job.status for job in run_waiting(OPEN_PULL)] == [JobStatus.DONE]
        run_waiting(LOOK_AT_PULL)

    assert remote.refs()[f"refs/heads/integrate/{goal.id8}"] == after_review.merged_commit
    with pair.at(pair.new):
        follow_up = FollowUp.objects.get()
        assert (follow_up.round, follow_up.goal_id) == (1, after_review.id)
        assert follow_up.delivered_commit == after_review.merged_commit
        assert ReviewComment.objects.get().follow_up_id == follow_up.id
        pull = PullRequest.objects.get()
        assert (pull.state, pull.head_commit) == ("open", after_review.merged_commit)
        assert Task.objects.filter(parent__isnull=True).count() == 2
    assert len(forge.state.pulls) == 1


def test_an_old_emperor_delivers_no_round(
    pair: Pair, forge: ForgeServer, remote: GitRemote
) -> None:
    goal, _ = with_a_round(pair, forge, remote)
    pair.tell()
    pair.take_over()
    with pair.at(pair.new):
        run_waiting(OPEN_PULL)
    before = remote.refs()

    with pair.at(pair.old):
        [job] = run_waiting(DELIVER)
        assert FollowUp.objects.get().ended_at is None

    assert (job.status, job.attempts) == (JobStatus.DONE, 0)
    assert job.error.startswith(f"refs/voidlux/gate/{goal.id8} says term 2 of")
    assert remote.refs() == before
