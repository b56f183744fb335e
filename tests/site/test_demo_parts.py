"""The demo's parts without nodes: its API client, its repository, its goal and its worktrees."""

from __future__ import annotations

import io
import subprocess
import tempfile
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from p2p.protocol.errors import DomainError, ExternalError
from swarm.git.committing import commit_all
from swarm.git.pushing import push_branch
from swarm.git.repository import Repository
from swarm.git.worktrees import add_worktree
from swarm.outline import parse_outline
from voidlux_site.demo.client import NodeClient
from voidlux_site.demo.repository import create_remote, run_product, run_tests
from voidlux_site.demo.show import Show
from voidlux_site.demo.story import GOAL_FILE, ORDERS, PLANS
from voidlux_site.demo.worktrees import describe_leftovers, leftover_worktrees


def client(answer: httpx.Response | Exception, seen: list[httpx.Request]) -> NodeClient:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return NodeClient("http://node", "secret", httpx.MockTransport(handle))


def test_the_client_shows_its_token_and_returns_json() -> None:
    seen: list[httpx.Request] = []

    answer = client(httpx.Response(200, json={"balance": 5}), seen).get("/wallet")

    assert answer == {"balance": 5}
    assert str(seen[0].url) == "http://node/api/swarm/wallet"
    assert seen[0].headers["Authorization"] == "Bearer secret"


def test_the_client_follows_pages_to_their_end() -> None:
    pages = iter(
        [{"items": [{"id": 1}], "next_cursor": "abc"}, {"items": [{"id": 2}], "next_cursor": None}]
    )
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        return httpx.Response(200, json=next(pages))

    items = NodeClient("http://node", "t", httpx.MockTransport(handle)).items("/tasks", parent="x")

    assert items == [{"id": 1}, {"id": 2}]
    assert asked == ["parent=x&limit=200", "parent=x&limit=200&cursor=abc"]


def test_a_problem_becomes_a_domain_error() -> None:
    problem = httpx.Response(409, json={"code": "no_idle_agents", "detail": "0 are idle"})

    with pytest.raises(DomainError, match="answered 409: 0 are idle") as caught:
        client(problem, []).post("/tributes", {"task_count": 1})

    assert (caught.value.code, caught.value.status) == ("no_idle_agents", 409)


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(503, text="busy"), httpx.ConnectError("refused"), httpx.ReadTimeout("slow")],
)
def test_a_node_that_cannot_answer_may_be_asked_again(answer: httpx.Response | Exception) -> None:
    with pytest.raises(ExternalError) as caught:
        client(answer, []).get("/wallet")

    assert caught.value.retryable
    assert not client(answer, []).is_healthy()


def test_the_goal_is_a_valid_outline_with_enough_to_do_at_once() -> None:
    items = parse_outline(GOAL_FILE.read_text("utf-8")).items
    independent = [item for item in items if not item.after]

    assert len(items) == 7
    # One execution stays unused, so that the demo has something to give back.
    assert len(independent) + 1 == PLANS[0].agents + sum(ORDERS.values())


def test_the_remote_starts_green(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)

    head = remote.clone("main", tmp_path / "clone")
    tests = run_tests(tmp_path / "clone", head)

    assert (head, remote.branches()) == (remote.base_commit, {"main": remote.base_commit})
    assert (tests.green, tests.tests_ran, tests.exit_code) == (True, 1, 0)


def test_the_subtasks_of_the_goal_build_what_they_promise(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)
    work = tmp_path / "clone"
    remote.clone("main", work)
    say = tmp_path / "say"
    say.write_text('test "$1" != ask || echo 90\n')
    blocks = [item.shell for item in parse_outline(GOAL_FILE.read_text("utf-8")).items]

    run_blocks(blocks, work, say, attempt=1)
    first = run_tests(work, "HEAD")
    run_blocks(blocks, work, say, attempt=2)
    second = run_tests(work, "HEAD")

    assert (first.green, second.green, second.tests_ran) == (False, True, 12)
    assert "test_median_of_an_even_number_of_values" in first.output
    assert run_product(work).splitlines() == [
        "readings  6",
        "mean      20.67",
        "median    20.75",
        "95 %      22.50",
        "silent    4 min 00 s from second 180",
    ]


def run_blocks(blocks: list[str], folder: Path, say: Path, *, attempt: int) -> None:
    told = {"VOIDLUX_SAY": str(say), "VOIDLUX_FEEDBACK": "", "VOIDLUX_ATTEMPT": str(attempt)}
    for block in blocks:
        subprocess.run(
            ["sh", "-eu", "-c", f"sleep() {{ :; }}\n{block}"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", **told},
            check=True,
        )


def test_a_clean_home_has_no_leftovers(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)
    home = tmp_path / "home"
    (home / "worktrees" / ".merge" / "integrate").mkdir(parents=True)
    Repository(str(remote.path), home).ensure()

    assert leftover_worktrees(home, remote.path) == []


def test_a_worktree_is_told_with_what_is_not_pushed(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)
    home = tmp_path / "home"
    clone = Repository(str(remote.path), home)
    clone.ensure()
    path = home / "worktrees" / "a1"
    add_worktree(clone, path, "task/a1", remote.base_commit)
    (path / "new.txt").write_text("work")

    before = describe_leftovers(home, remote.path)
    commit_all(path, "work", "Test <test@example.invalid>")
    push_branch(clone, "task/a1")

    assert before == [{"worktree": "a1", "unpushed": ["uncommitted ?? new.txt"]}]
    assert describe_leftovers(home, remote.path) == [{"worktree": "a1", "unpushed": []}]


def test_files_that_no_clone_knows_count_as_unpushed(tmp_path: Path) -> None:
    remote = create_remote(tmp_path)
    home = tmp_path / "home"
    Repository(str(remote.path), home).ensure()
    stray = home / "worktrees" / "stray"
    stray.mkdir(parents=True)
    (stray / "work.txt").write_text("work")

    leftovers = describe_leftovers(home, remote.path)

    assert [each["worktree"] for each in leftovers] == ["stray"]
    assert leftovers[0]["unpushed"] != []


@pytest.mark.parametrize("keep", [False, True])
def test_only_a_demo_that_is_kept_stays_up_and_keeps_its_folder(
    keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stayed: list[object] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Show, "_tell", lambda self, nodes, folder: 0)
    monkeypatch.setattr(Show, "_stay", lambda self, nodes: stayed.append(nodes))

    code = Show(Console(file=io.StringIO()), keep=keep).run()

    assert (code, len(stayed)) == (0, int(keep))
    assert len(list(tmp_path.iterdir())) == int(keep)
