"""A forge, a repository whose remote is reached by an ssh-like URL, and a goal in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pydantic import SecretStr

from p2p.local import LocalNode, acting_as, local_node
from swarm import jobs as runner
from swarm.forge.models import PullRequest
from swarm.gate.gate import run_gate
from swarm.gate.preparation import prepare_goal
from swarm.models import Job, Task
from swarm.services import goals, jobs
from swarm.services.transitions import move_task
from swarm.states import Actor, JobStatus, TaskStatus
from tests.support.forge_server import ForgeServer, running_forge
from tests.support.forge_server.state import PROJECT, TOKEN, ForgeState
from tests.support.git_remote import GitRemote

NOW = datetime.now(UTC)
SHELL = "  ```sh\n  true\n  ```\n"
SetEnvironment = Callable[..., None]


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> SetEnvironment:
    """Give the node other settings."""

    def change(**fields: Any) -> None:
        changed = settings.ENVIRONMENT.model_copy(update=fields)
        monkeypatch.setattr(settings, "ENVIRONMENT", changed)

    return change


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRemote]:
    """A remote on disk that git finds under `git@127.0.0.1:acme/widgets.git`."""
    jobs.nudge_with(lambda _: None)
    made = GitRemote(tmp_path)
    made.push("main", {"README": "hello\n"})
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "{made.path}"]\n\tinsteadOf = git@127.0.0.1:{PROJECT}.git\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    home = tmp_path / "home"
    home.mkdir()
    node = local_node()
    with acting_as(LocalNode(home, node.identity, node.network, node.swarm)):
        yield made
    jobs.nudge_with(runner.nudge_worker)


@pytest.fixture
def forge(remote: GitRemote) -> Iterator[ForgeServer]:
    with running_forge(ForgeState(remote.refs)) as server:
        yield server


@pytest.fixture(params=["github", "gitlab"])
def kind(
    request: pytest.FixtureRequest, forge: ForgeServer, set_environment: SetEnvironment
) -> str:
    """Each test runs once with GitHub and once with GitLab."""
    use(request.param, forge, set_environment)
    return str(request.param)


@pytest.fixture
def github(forge: ForgeServer, set_environment: SetEnvironment) -> str:
    use("github", forge, set_environment)
    return "github"


def use(kind: str, forge: ForgeServer, set_environment: SetEnvironment) -> None:
    """Point the node at the forge as one of its kinds."""
    set_environment(
        **{f"{kind}_url": forge.url, f"{kind}_token": SecretStr(TOKEN), "forge_timeout_s": 2}
    )


def done_goal(remote: GitRemote, **fields: Any) -> Task:
    """Let a goal with one subtask come through the gate, and return it."""
    request = goals.GoalRequest(
        description=f"# Greet\n\nAll of it matters.\n\n- [ ] Say hello | @all\n{SHELL}",
        repository=f"git@127.0.0.1:{PROJECT}.git",
        test_command="test -f one",
        **fields,
    )
    goal = goals.create_goal(request, now=NOW)
    prepare_goal(goal)
    goal.refresh_from_db()
    finish(goal, remote, {"one": "1\n"})
    return goal


def finish(goal: Task, remote: GitRemote, files: dict[str, str | None]) -> None:
    """Push and report every subtask of a goal, then run the gate."""
    for task in goal.subtasks.order_by("number"):
        commit = remote.push(f"task/{task.id8}", files, start=goal.base_commit)
        columns = {"attempt": 1, "assigned_agent": "home-1"}
        move_task(task.id, TaskStatus.CLAIMED, by=Actor.DISPATCHER, reason="r", now=NOW, **columns)
        report = {"git_branch": f"task/{task.id8}", "commit": commit}
        move_task(
            task.id, TaskStatus.PENDING_REVIEW, by=Actor.REPORT, reason="r", now=NOW, **report
        )
    run_gate(goal)
    goal.refresh_from_db()
    assert goal.status == TaskStatus.COMPLETED, goal.error


def run_jobs(*kinds: str) -> list[str]:
    """Run each waiting job of these kinds once, whenever it is due; returns what was run."""
    rows = Job.objects.filter(status=JobStatus.QUEUED, kind__in=kinds).order_by("id")
    ran = []
    for job in list(rows):
        Job.objects.filter(id=job.id).update(due_at=NOW - timedelta(days=1))
        claimed = jobs.claim(job.id, now=datetime.now(UTC))
        if claimed is not None:
            runner._run(claimed)
            ran.append(job.kind)
    return ran


def pull_of(goal: Task) -> PullRequest:
    """Return a goal's pull request as it is now."""
    return PullRequest.objects.get(goal=goal)
