"""What an operator sees of worktrees and does with them, by command and over REST."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from swarm.agents.places import run_dir_of, worktree_of
from swarm.evidence_files import KEPT, prune_files
from swarm.git.committing import commit_all
from swarm.git.repository import Repository
from swarm.git.upkeep import tidy
from swarm.git.worktrees import add_worktree
from swarm.models import Attempt, TestRun
from swarm.states import AttemptStatus, TaskStatus, TestRunState
from swarm.worktrees.hooks import Hook
from swarm.worktrees.trust import note_seen
from tests.support.factories import make_agent, make_attempt, make_task
from tests.support.git_remote import GitRemote
from voidlux_site.access import api_token

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHOR = "Agent <agent@example.invalid>"


def an_attempt(repo: Repository, base: str, status: AttemptStatus) -> Attempt:
    """Store an attempt whose worktree holds a commit and a new file, both unpushed."""
    task = make_task("Write it", TaskStatus.IN_PROGRESS, attempt=1, generation=1)
    attempt = make_attempt(task, make_agent("one"), status=status, repository=repo.url)
    add_worktree(repo, worktree_of(attempt), attempt.branch, base)
    (worktree_of(attempt) / "done.txt").write_text("done")
    commit_all(worktree_of(attempt), "done", AUTHOR)
    (worktree_of(attempt) / "new.txt").write_text("new")
    return attempt


def run(*arguments: str) -> Any:
    """Run the command and return what it prints as JSON."""
    out = StringIO()
    call_command("worktrees", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_list_says_what_is_at_stake(repo: Repository, base: str) -> None:
    attempt = an_attempt(repo, base, AttemptStatus.FAILED)

    [row] = run()

    assert (row["title"], row["branch"], row["kind"]) == ("Write it", attempt.branch, "attempt")
    assert row["task_id"] == attempt.task_id.hex
    assert row["at_stake"][0] == "uncommitted ?? new.txt"
    assert row["at_stake"][1].endswith(" done")
    assert (row["in_use"], row["rescue_refs"]) == (False, [])


def test_rescue_pushes_and_leaves_the_worktree(
    repo: Repository, remote: GitRemote, base: str
) -> None:
    attempt = an_attempt(repo, base, AttemptStatus.WORKING)

    [row] = run("rescue", attempt.branch)

    assert row["outcome"] == "rescued" and set(row["refs"]) <= set(remote.refs())
    assert (worktree_of(attempt) / "new.txt").exists()
    assert run()[0]["rescue_refs"] == row["refs"]


def test_clean_removes_what_nobody_works_in(repo: Repository, base: str, home: Path) -> None:
    attempt = an_attempt(repo, base, AttemptStatus.FAILED)

    [row] = run("clean")

    assert (row["outcome"], len(row["refs"])) == ("removed", 1)
    assert not worktree_of(attempt).exists()


def test_clean_keeps_what_is_in_use_or_no_worktree(repo: Repository, base: str, home: Path) -> None:
    attempt = an_attempt(repo, base, AttemptStatus.WORKING)
    aside = home / "worktrees" / "task-x.aside-1"
    aside.mkdir(parents=True)
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("worktrees", "clean", "--json", stdout=out)

    assert ended.value.code == 1
    assert [row["outcome"] for row in json.loads(out.getvalue())] == ["kept", "kept"]
    assert worktree_of(attempt).exists() and aside.exists()


def test_a_worktree_that_is_not_there_is_refused_in_one_line(repo: Repository) -> None:
    with pytest.raises(CommandError, match="there is no worktree 'nothing'"):
        run("clean", "nothing")


def test_hooks_are_shown_trusted_and_distrusted(repo: Repository) -> None:
    note_seen(repo, [Hook("setup", "npm ci", 1.0)], now=NOW)

    assert [(row["text"], row["trusted"]) for row in run("hooks")] == [("npm ci", False)]
    assert run("trust", repo.own_dir.name)[0]["trusted"] is True
    assert run("hooks")[0]["trusted"] is True
    run("distrust", repo.url)
    assert run("hooks")[0]["trusted"] is False


def test_files_are_included_by_command(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=1")

    [row] = run("include", repo.url, str(tmp_path / "env"), "--as", ".env")

    assert Path(row["file"]).read_text() == "A=1"


def test_the_api_lists_and_decides_with_the_text_at_hand(
    repo: Repository, base: str, client: Client
) -> None:
    an_attempt(repo, base, AttemptStatus.FAILED)
    hook = Hook("setup", "npm ci", 1.0)
    note_seen(repo, [hook], now=NOW)
    headers = {"Authorization": f"Bearer {api_token()}"}

    def post(path: str, **body: str) -> Any:
        url = f"/api/swarm/worktrees/{path}"
        return client.post(url, body, content_type="application/json", headers=headers)

    listed = client.get("/api/swarm/worktrees", headers=headers).json()
    assert [row["title"] for row in listed["items"]] == ["Write it"]
    assert post("hooks/trust", repository=repo.url, digest="").status_code == 422
    assert post("hooks/trust", repository=repo.url, digest="f" * 64).status_code == 404
    assert post("hooks/trust", repository=repo.url, digest=hook.digest).status_code == 200
    shown = client.get("/api/swarm/worktrees/hooks", headers=headers).json()["items"]
    assert [(row["text"], row["trusted"]) for row in shown] == [("npm ci", True)]
    assert [row["outcome"] for row in post("clean").json()["items"]] == ["removed"]
    assert client.get("/api/swarm/worktrees").status_code == 401


def test_upkeep_packs_and_deletes_no_object(
    repo: Repository, base: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for number in range(3):
        (tree / "work.txt").write_text(str(number))
        made.append(commit_all(tree, f"work {number}", AUTHOR))
    repo.git("update-ref", "refs/heads/task/0a1b2c3d", base)
    monkeypatch.setattr("swarm.git.upkeep.LOOSE_MAX", 1)
    monkeypatch.setattr("swarm.git.upkeep.PACKS_MAX", 0)

    assert tidy(repo) is True
    assert tidy(repo) is True

    assert [repo.has_commit(commit) for commit in made] == [True, True, True]
    assert len(list((repo.path / "objects" / "pack").glob("*.pack"))) <= 2


def test_old_runs_go_and_those_of_unfinished_attempts_stay(
    repo: Repository, base: str, home: Path
) -> None:
    open_one = an_attempt(repo, base, AttemptStatus.WORKING)
    old, new = home / "runs" / uuid.uuid4().hex, home / "runs" / uuid.uuid4().hex
    foreign = home / "runs" / "notes"
    for each in (old, new, run_dir_of(open_one), foreign):
        each.mkdir(parents=True)
    ago_s = (NOW - KEPT - timedelta(days=1)).timestamp()
    for each in (old, run_dir_of(open_one), foreign):
        os.utime(each, (ago_s, ago_s))
    os.utime(new, (NOW.timestamp(), NOW.timestamp()))

    assert prune_files(NOW) == 1

    assert not old.exists()
    assert new.exists() and run_dir_of(open_one).exists() and foreign.exists()


def test_the_oldest_goes_first_where_there_is_too_much(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.evidence_files.RUNS_MB_MAX", 2.5)
    folders = [home / "runs" / uuid.uuid4().hex for _ in range(4)]
    for age, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "output.log").write_bytes(b"x" * 1024 * 1024)
        at_s = NOW.timestamp() - age
        os.utime(folder, (at_s, at_s))

    assert prune_files(NOW) == 2

    assert [folder.exists() for folder in folders] == [True, True, False, False]


def test_logs_of_goals_that_have_not_ended_stay(home: Path) -> None:
    open_goal = make_task("Open", TaskStatus.IN_PROGRESS)
    ended_goal = make_task("Ended", TaskStatus.COMPLETED)
    folder = home / "logs" / "tests"
    folder.mkdir(parents=True)
    ago_s = (NOW - KEPT - timedelta(days=1)).timestamp()
    for goal in (open_goal, ended_goal):
        path = folder / f"{goal.id8}-abc-def.log"
        path.write_text("log")
        os.utime(path, (ago_s, ago_s))
        TestRun.objects.create(
            goal=goal,
            commit="a" * 40,
            command="make",
            state=TestRunState.PASSED,
            passed=True,
            duration_ms=1,
            log_path=str(path.relative_to(home)),
            at=NOW,
        )

    assert prune_files(NOW) == 1

    kept = TestRun.objects.exclude(log_path="").values_list("goal__title", flat=True)
    assert list(kept) == ["Open"]


def test_beyond_their_size_logs_of_open_goals_go_but_never_that_of_a_running_test(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = make_task("Open", TaskStatus.IN_PROGRESS)
    folder = home / "logs" / "tests"
    folder.mkdir(parents=True)
    for number, state in enumerate((TestRunState.RUNNING, TestRunState.FAILED, "failed", "failed")):
        path = folder / f"{goal.id8}-{number}.log"
        path.write_bytes(b"x" * 1_000_000)
        at_s = NOW.timestamp() + number
        os.utime(path, (at_s, at_s))
        TestRun.objects.create(
            goal=goal,
            commit=f"{number}" * 40,
            command="make",
            state=state,
            log_path=str(path.relative_to(home)),
            at=NOW,
        )
    monkeypatch.setattr("swarm.evidence_files.TEST_LOGS_MB_MAX", 1.5)

    assert prune_files(NOW) == 2

    assert sorted(path.name[9:] for path in folder.iterdir()) == ["0.log", "3.log"]
    assert TestRun.objects.exclude(log_path="").count() == 2
