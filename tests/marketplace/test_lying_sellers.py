"""Sellers that report what they did not do, on a real remote: none of it is paid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.models import Execution
from swarm.gate.reports import verify_reports
from swarm.git.command import run_git
from swarm.git.names import attempt_branch
from swarm.git.repository import Repository
from swarm.models import Attempt, Task
from swarm.services import goals
from swarm.states import Actor
from tests.support.bargaining import (
    hired,
    pass_on,
    subtask,
)
from tests.support.cluster import Cluster
from tests.support.git_remote import GitRemote
from tests.support.trading import GRANT, PRICE, Market, outline


@pytest.fixture
def remote(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> GitRemote:
    """A real remote, and a gate that lives at the cluster's time."""
    for module in ("reports", "blame"):
        monkeypatch.setattr(f"swarm.gate.{module}.now_utc", lambda: cluster.now)
    made = GitRemote(tmp_path)
    made.push("main", {"README": "hello\n"})
    return made


class Lies:
    """A trade of two subtasks on a real remote, paid as soon as that shows their commits."""

    def __init__(self, cluster: Cluster, remote: GitRemote) -> None:
        self.remote = remote
        self.base = remote.refs()["refs/heads/main"]
        self.market = Market.open(cluster, agents=3)
        with cluster.acting(self.market.buyer):
            request = goals.GoalRequest(description=outline(2), repository=str(remote.path))
            self.goal = goals.create_goal(request, now=cluster.now)
            goals.store_plan(
                self.goal.id, base_branch="main", base_commit=self.base, now=cluster.now
            )
        self.market.goal = lambda **_: self.goal  # type: ignore[method-assign]
        hired(self.market, count=3, per_run=True)

    def branch(self, number: int, run: int = 1) -> str:
        return attempt_branch(subtask(self.market, number).id, run)

    def claim(self, number: int, commit: str) -> None:
        """Report a commit for a subtask, and let the buyer verify it."""
        market, cluster = self.market, self.market.cluster
        with cluster.acting(market.seller):
            attempt = Attempt.objects.get(title=f"Part {number}", status="queued")
            market._end(attempt, commit, False)
        pass_on(market)
        with cluster.acting(market.buyer):
            repository = Repository(str(self.remote.path), market.buyer.local.home)
            repository.ensure()
            verify_reports(Task.objects.get(id=self.goal.id), repository)
        pass_on(market)

    def earned(self) -> int:
        return self.market.wallet(self.market.seller)[0] - GRANT


def _nothing(lies: Lies) -> str:
    return "c" * 40


def _another_than_is_shown(lies: Lies) -> str:
    first = lies.remote.push(lies.branch(2), {"a": "1\n"}, start=lies.base)
    lies.remote.push(lies.branch(2), {"a": "2\n"}, start=lies.base)
    return first


def _of_the_other_subtask(lies: Lies) -> str:
    commit = lies.remote.push(lies.branch(1), {"a": "1\n"}, start=lies.base)
    lies.claim(1, commit)
    _copy(lies, commit)
    return commit


def _half_of_the_other_subtask(lies: Lies) -> str:
    half = lies.remote.push(lies.branch(1), {"a": "1\n"}, start=lies.base)
    lies.claim(1, lies.remote.push(lies.branch(1), {"b": "1\n"}, start=half))
    _copy(lies, half)
    return half


def _copy(lies: Lies, commit: str) -> None:
    run_git(["branch", "-f", lies.branch(2), commit], cwd=lies.remote.path)


@pytest.mark.parametrize(
    ("lie", "honest", "reason"),
    [
        (_nothing, 0, "the remote shows no such branch"),
        (_another_than_is_shown, 0, "the remote shows"),
        (_of_the_other_subtask, PRICE, "was reported for 'Part 1' before"),
        (_half_of_the_other_subtask, PRICE, "the branch of another task"),
    ],
)
def test_a_lying_seller_is_not_paid_for_the_lie(
    cluster: Cluster, remote: GitRemote, lie: Callable[[Lies], str], honest: int, reason: str
) -> None:
    lies = Lies(cluster, remote)

    lies.claim(2, lie(lies))

    assert lies.earned() == honest
    with cluster.acting(lies.market.buyer):
        execution = Execution.objects.get(title="Part 2")
        assert execution.status == "refused"
        assert reason in execution.reason
    lies.market.check_books()


def test_the_commit_that_a_run_began_with_is_no_result(cluster: Cluster, remote: GitRemote) -> None:
    lies = Lies(cluster, remote)
    _copy(lies, lies.base)

    lies.claim(2, lies.base)

    assert lies.earned() == 0
    with cluster.acting(lies.market.buyer):
        assert "adds nothing to its base" in Execution.objects.get(title="Part 2").reason


def test_one_commit_is_not_paid_for_two_runs(cluster: Cluster, remote: GitRemote) -> None:
    lies = Lies(cluster, remote)
    market = lies.market
    commit = remote.push(lies.branch(1), {"a": "1\n"}, start=lies.base)
    lies.claim(1, commit)
    assert lies.earned() == PRICE
    with cluster.acting(market.buyer):
        red(Task.objects.get(number=1, parent__isnull=False), cluster)
    assert market.dispatch() == 1
    pass_on(market)
    run_git(["branch", "-f", lies.branch(1, 2), commit], cwd=remote.path)

    lies.claim(1, commit)

    assert lies.earned() == PRICE
    market.check_books()


def red(task: Task, cluster: Cluster) -> None:
    goals.requeue_or_fail(
        task, by=Actor.GATE, reason="red", feedback="red", evidence={}, now=cluster.now
    )
