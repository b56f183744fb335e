"""`gh` is given the right arguments. A small program stands in for it: it shows what we ask and
how we read the answers, not how the real one behaves at a real GitHub."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.forge import services
from swarm.forge.contract import Draft
from swarm.forge.failures import ForgeError
from swarm.forge.gh import GhForge
from swarm.forge.models import PullRequest
from swarm.forge.services import OPEN_PULL
from swarm.forge.states import Checks, PullState
from swarm.models import TaskEvent
from tests.support.git_remote import GitRemote
from tests.swarm.forge.conftest import NOW, SetEnvironment, done_goal, pull_of, run_jobs

HEAD = "a" * 40
ROW = {
    "number": 7,
    "url": "https://127.0.0.1/acme/widgets/pull/7",
    "state": "OPEN",
    "headRefOid": HEAD,
    "headRefName": "integrate/c0ffee12",
    "author": {"login": "swarm-account"},
}
PROGRAM = """#!{python}
import json, os, pathlib, sys
folder = pathlib.Path({folder!r})
stdin = sys.stdin.read()
with (folder / "calls").open("a") as calls:
    secrets = [name for name in os.environ if name.startswith("VOIDLUX_")]
    calls.write(json.dumps({{"args": sys.argv[1:], "stdin": stdin, "secrets": secrets}}) + "\\n")
answers = json.loads((folder / "answers").read_text())
key = next((each for each in answers if " ".join(sys.argv[1:]).startswith(each)), None)
if key is None:
    sys.exit("unknown command")
code, text = answers[key]
print(text, file=sys.stdout if code == 0 else sys.stderr)
sys.exit(code)
"""


class StandIn:
    """A program named `gh` at the front of the path, with answers by how a command begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "gh"
        program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.answers: dict[str, tuple[int, str]] = {"auth status": (0, "Logged in")}
        self.set("pr list", [])

    def set(self, command: str, answer: Any, code: int = 0) -> None:
        """Answer commands that begin so with JSON, or with a text and an exit code."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.answers[command] = (code, text)
        (self.folder / "answers").write_text(json.dumps(self.answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """What it was asked."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VOIDLUX_GITLAB_TOKEN", "glpat-secret")
    return StandIn(folder)


@pytest.fixture
def forge() -> GhForge:
    return GhForge("https://github.example", "acme/widgets", 10)


def test_opening_gives_branches_title_and_body_on_stdin(gh: StandIn, forge: GhForge) -> None:
    gh.set("pr list", [ROW])
    gh.set("pr create", "https://127.0.0.1/acme/widgets/pull/7")

    seen = forge.open(Draft("integrate/c0ffee12", "main", "-rf $(x)", "The body"))

    assert (seen.number, seen.state, seen.head_commit) == (7, PullState.OPEN, HEAD)
    assert gh.calls[0]["args"] == [
        *("pr", "create", "--repo", "github.example/acme/widgets"),
        *("--head", "integrate/c0ffee12", "--base", "main"),
        *("--title", "-rf $(x)", "--body-file", "-"),
    ]
    assert gh.calls[0]["stdin"] == "The body"
    assert gh.calls[1]["args"][:6] == [
        *("pr", "list", "--repo", "github.example/acme/widgets"),
        *("--head", "integrate/c0ffee12"),
    ]
    assert [each["secrets"] for each in gh.calls] == [[], []]


def test_looking_joins_check_runs_and_statuses(gh: StandIn, forge: GhForge) -> None:
    run = {"status": "COMPLETED", "conclusion": "SUCCESS"}
    found = []
    for rollup in (
        [],
        [run, {"state": "SUCCESS"}],
        [run, {"state": "PENDING"}],
        [run, {"status": "IN_PROGRESS", "conclusion": ""}],
        [run, {"state": "FAILURE"}],
        [{"status": "COMPLETED", "conclusion": "TIMED_OUT"}],
    ):
        gh.set("pr view", {**ROW, "statusCheckRollup": rollup})
        found.append(forge.look(7).checks)

    assert found == [
        *(Checks.NONE, Checks.GREEN, Checks.PENDING, Checks.PENDING, Checks.RED, Checks.RED),
    ]


def test_merging_pins_the_head(gh: StandIn, forge: GhForge) -> None:
    gh.set("pr merge", "merged")

    forge.merge(7, HEAD)

    assert gh.calls[0]["args"] == [
        *("pr", "merge", "7", "--repo", "github.example/acme/widgets"),
        *("--merge", "--match-head-commit", HEAD),
    ]


def test_comments_are_read_from_pages_that_follow_each_other(gh: StandIn, forge: GhForge) -> None:
    def comment(number: int, author: str) -> dict[str, Any]:
        return {
            "id": number,
            "user": {"login": author},
            "body": f"words {number}",
            "author_association": "MEMBER",
            "created_at": f"2026-05-04T12:00:0{number}Z",
        }

    gh.set("pr view", {**ROW, "statusCheckRollup": []})
    api = "api --hostname github.example"
    gh.set(f"{api} --paginate repos/acme/widgets/pulls/7", "[]")
    pages = json.dumps([comment(2, "grace")]) + json.dumps([comment(1, "swarm-account")])
    gh.set(f"{api} --paginate repos/acme/widgets/issues/7/comments", pages)
    gh.set(f"{api} repos/acme/widgets/collaborators/grace", {"permission": "write"})

    remarks = forge.remarks(forge.look(7))

    assert [(each.author, each.body, each.may_steer) for each in remarks] == [
        ("grace", "words 2", True)
    ]


@pytest.mark.parametrize(("code", "retryable"), [(1, True), (4, False)])
def test_a_failure_carries_its_words(
    gh: StandIn, forge: GhForge, code: int, retryable: bool
) -> None:
    gh.set("pr view", "could not do it", code)

    with pytest.raises(ForgeError) as failed:
        forge.look(7)

    assert str(failed.value) == f"gh pr view ended with {code}: could not do it"
    assert failed.value.retryable is retryable


@pytest.mark.django_db(transaction=True)
def test_without_a_token_a_goal_goes_by_gh(
    gh: StandIn, remote: GitRemote, set_environment: SetEnvironment
) -> None:
    set_environment(github_url="https://127.0.0.1")
    goal = done_goal(remote)
    assert pull_of(goal).kind == "gh"
    branch = f"integrate/{goal.id8}"
    gh.set("pr list", [{**ROW, "headRefName": branch, "headRefOid": goal.merged_commit}])
    gh.set("pr edit", "edited")

    run_jobs(OPEN_PULL)

    assert (pull_of(goal).state, pull_of(goal).url) == ("open", ROW["url"])


@pytest.mark.django_db(transaction=True)
def test_a_gh_that_is_not_logged_in_leaves_a_bare_remote_and_says_so(
    gh: StandIn, remote: GitRemote, set_environment: SetEnvironment
) -> None:
    set_environment(github_url="https://127.0.0.1")
    goal = done_goal(remote)
    gh.set("auth status", "You are not logged into any GitHub hosts", 1)

    run_jobs(OPEN_PULL)

    assert not PullRequest.objects.exists()
    last = TaskEvent.objects.filter(task=goal).latest("id")
    assert last.reason.startswith("gh is not logged in; no forge is spoken to for this remote")
    gh.set("auth status", "Logged in")
    assert services.request_pull(goal.id, now=NOW).state == PullState.WAITING
