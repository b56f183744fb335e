"""Every tool, called by the SDK's client as an agent of a real node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.deals import small_repository
from tests.support.git_remote import GitRemote
from tests.support.mcp_agents import McpAgent, Work, access_of, begin_work
from tests.support.nodes import HOST, RealNode
from tests.support.waiting import wait_for

TOOLS = [
    "agent_ready",
    "task_progress",
    "task_needs_input",
    "task_answer",
    "task_complete",
    "task_failed",
    "task_plan",
]
UNTYPEABLE = {"\x1b[201~rm -rf": "control_character", "   ": "empty", "x" * 4001: "invalid"}
NOWHERE = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A node with agents for all tests of this module."""
    running = RealNode(tmp_path_factory.mktemp("mcp") / "node", agents="6")
    try:
        yield running.start()
    finally:
        running.end()


@pytest.fixture
def remote(tmp_path: Path) -> GitRemote:
    return small_repository(tmp_path / "git")


@pytest.fixture
async def work(node: RealNode, remote: GitRemote, tmp_path: Path) -> Work:
    """One agent at work, which ends when it is let go."""
    return await begin_work(node, remote, tmp_path / "work")


async def test_an_agent_learns_its_task(work: Work) -> None:
    [agent] = work.agents
    told = await agent.call_as_is("agent_ready")
    assert told["task_id"] == work.deal.subtasks()[0]["id"]
    assert (told["title"], told["attempt"], told["generation"]) == ("Part 1", 1, 1)
    assert told["planning"] is False
    assert told["branch"] == f"task/{told['task_id'][:8]}"
    work.go.touch()
    await work.deal.ended()


async def test_progress_is_shown_and_its_usage_summed(work: Work) -> None:
    [agent] = work.agents
    await agent.call("task_progress", note="reads\nthe code", percent=40, tokens_in=900)
    await agent.call("task_progress", note="writes", tokens_out=100, cost_usd=0.25)
    [task] = work.deal.subtasks()
    assert task["progress"] == "writes"
    assert (task["budget"]["tokens_used"], task["budget"]["cost_used_usd"]) == (1000, 0.25)
    work.go.touch()
    await work.deal.ended()


async def test_done_is_a_claim_that_the_gate_proves(work: Work) -> None:
    [agent] = work.agents
    said = await agent.call("task_complete", summary="Wrote part 1.")
    assert said["next"].endswith("End your turn.")
    again = await agent.call("task_complete", summary="Wrote part 1, again.")
    assert again["task_id"] == agent.task_id
    assert "already_said" in await agent.refusal("task_failed", reason="no, wait")
    assert work.deal.statuses() == ["in_progress"]
    work.go.touch()
    goal = await work.deal.ended()
    assert goal["status"] == "completed"
    assert work.deal.subtasks()[0]["result"] == "Wrote part 1."


async def test_a_commit_that_the_branch_does_not_hold_is_no_result(
    work: Work, remote: GitRemote
) -> None:
    [agent] = work.agents
    assert "bad_commit" in await agent.refusal("task_complete", summary="x", commit="HEAD~1")
    await agent.call("task_complete", summary="done", commit=NOWHERE)
    work.go.touch()
    await wait_for(lambda: work.attempt()["status"] == "failed")
    error = work.attempt()["error"]
    assert error == f"the agent named {NOWHERE}, which {work.attempt()['branch']} does not hold"
    await work.deal.ended()


async def test_an_agent_that_gives_up_is_ended_and_its_reason_kept(work: Work) -> None:
    [agent] = work.agents
    await agent.call("task_failed", reason="the interface\x1b[31m is missing")
    await wait_for(lambda: work.attempt()["status"] == "failed")
    assert work.attempt()["error"] == "the agent gave up: the interface is missing"
    [task] = work.deal.subtasks()
    assert task["attempt"] == 2 or task["error"].endswith("the interface is missing")
    ended = await agent.refusal("task_complete", summary="after all")
    assert ended.startswith("attempt_ended: your token is for attempt 1 (generation 1) of task ")
    work.go.touch()
    await work.deal.ended()


async def test_a_question_is_answered_by_a_person_and_fetched(work: Work, node: RealNode) -> None:
    [agent] = work.agents
    asked = await agent.call("task_needs_input", question="Tabs?", choices=["tabs", "spaces"])
    assert asked["number"] == 1
    [task] = work.deal.subtasks()
    assert task["status"] == "waiting_input"
    assert (task["question"]["text"], task["question"]["choices"]) == ("Tabs?", ["tabs", "spaces"])
    assert task["question"]["open"] is True
    waiting = asyncio.create_task(agent.call("task_answer", wait_s=30))
    assert "already_asking" in await agent.refusal("task_needs_input", question="Really?")

    node.post(f"/tasks/{agent.task_id}/answer", {"text": "spaces\r\nfour of them"})

    answered = await waiting
    assert (answered["answered"], answered["answer"]) == (True, "spaces\nfour of them")
    assert work.deal.statuses() == ["in_progress"]
    again = node.api.post(f"/tasks/{agent.task_id}/answer", json={"text": "tabs"})
    assert (again.status_code, again.json()["code"]) == (409, "not_asking")
    assert (await agent.call("task_needs_input", question="And names?"))["number"] == 2
    work.go.touch()
    assert (await work.deal.ended())["status"] == "completed"


async def test_a_run_over_its_budget_is_interrupted_and_the_operator_decides(
    work: Work, node: RealNode
) -> None:
    [agent] = work.agents
    path = f"/tasks/{agent.task_id}"
    node.post(f"{path}/budget", {"token_limit": 1000, "on_budget": "ask"})
    await agent.call("task_progress", note="thinks", tokens_in=1500)
    await wait_for(lambda: node.get(path)["status"] == "waiting_input")
    assert work.attempt()["error"] == "1,500 tokens used, the task's limit is 1,000"
    assert node.get(path)["question"]["choices"] == ["continue", "stop"]
    work.go.touch()
    node.post(f"{path}/answer", {"text": "continue"})
    assert (await work.deal.ended())["status"] == "completed"
    shown = node.get(path)
    assert (shown["attempt"], shown["budget"]["token_limit"]) == (2, 2500)


async def test_a_token_speaks_for_its_own_task_only(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    work = await begin_work(node, remote, tmp_path / "two", count=2)
    first, second = work.agents
    refusal = await replace(first, task_id=second.task_id).refusal("task_failed", reason="mine")
    assert refusal.startswith("other_task: your token is for attempt 1 (generation 1) of task ")
    assert first.task_id in refusal
    assert work.deal.statuses() == ["in_progress"] * 2
    unknown = await replace(first, task_id="f" * 32).refusal("task_progress", note="x")
    assert unknown.startswith("other_task: ")
    work.go.touch()
    assert (await work.deal.ended())["status"] == "completed"


@pytest.mark.parametrize("token", ["", "vlx_" + "A" * 43, "x" * 5000])
def test_without_a_token_of_ours_nothing_is_told(node: RealNode, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.post(mcp_url(node), json=call("agent_ready"), headers={**HEADERS, **headers})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_the_operators_token_is_no_agents_token(node: RealNode) -> None:
    token = (node.home / "api-token").read_text().strip()
    headers = {**HEADERS, "Authorization": f"Bearer {token}"}
    assert httpx.post(mcp_url(node), json=call("agent_ready"), headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_hosts_and_the_pages_of_other_sites_are_refused(
    node: RealNode, headers: dict[str, str], status: int
) -> None:
    answer = httpx.post(mcp_url(node), json=call("agent_ready"), headers={**HEADERS, **headers})
    assert answer.status_code == status


def test_only_post_is_served(node: RealNode) -> None:
    answer = httpx.get(mcp_url(node))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_bad_input_is_told_and_changes_nothing(work: Work) -> None:
    [agent] = work.agents
    long = await agent.refusal("task_needs_input", question="?" * 100_000)
    assert "too_long: question has 100000 characters, at most 4000" in long
    assert "empty" in await agent.refusal("task_needs_input", question="\x1b[2J\x00 \n")
    many = await agent.refusal("task_needs_input", question="Which?", choices=["a"] * 9)
    assert "at most 8" in many
    assert "empty" in await agent.refusal("task_progress", note="")
    assert "less than or equal to 100" in await agent.refusal(
        "task_progress", note="x", percent=101
    )
    assert "greater than or equal to 0" in await agent.refusal(
        "task_progress", note="x", tokens_in=-1
    )
    assert "not_asking" in await agent.refusal("task_answer")
    assert "not_planning" in await agent.refusal("task_plan", subtasks=[subtask("a")])
    assert "Field required" in await agent.refusal("task_complete")
    assert work.deal.statuses() == ["in_progress"]
    cleaned = await agent.call("task_needs_input", question="\x1b]0;title\x07Go \x1b[1mon\x1b[0m?")
    assert cleaned["number"] == 1
    assert work.deal.subtasks()[0]["question"]["text"] == "Go on?"
    work.go.touch()
    await work.deal.ended()


async def test_an_answer_that_cannot_be_typed_is_refused(work: Work, node: RealNode) -> None:
    [agent] = work.agents
    await agent.call("task_needs_input", question="Go on?")
    path = f"/tasks/{agent.task_id}/answer"
    for text, code in UNTYPEABLE.items():
        refused = node.api.post(path, json={"text": text})
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert work.deal.subtasks()[0]["question"]["open"] is True
    work.go.touch()
    await work.deal.ended()


async def test_twenty_calls_at_once_are_all_answered(work: Work) -> None:
    [agent] = work.agents
    notes = [agent.call("task_progress", note=f"step {n}", tokens_in=1) for n in range(20)]
    answers = await asyncio.gather(*notes)
    assert {answer["generation"] for answer in answers} == {1}
    assert work.deal.subtasks()[0]["budget"]["tokens_used"] == 20
    work.go.touch()
    await work.deal.ended()


async def test_a_question_goes_when_its_task_is_cancelled(work: Work, node: RealNode) -> None:
    [agent] = work.agents
    await agent.call("task_needs_input", question="Go on?")
    waiting = asyncio.create_task(agent.refusal("task_answer", wait_s=30))
    node.post(f"/tasks/{work.deal.goal_id}/cancel", {"reason": "not needed"})
    assert "cancelled (goal cancelled: not needed)" in await waiting
    late = node.api.post(f"/tasks/{agent.task_id}/answer", json={"text": "yes"})
    assert (late.status_code, late.json()["code"]) == (409, "not_asking")


async def test_an_unknown_task_cannot_be_answered(node: RealNode) -> None:
    answer = node.api.post(f"/tasks/{'0' * 32}/answer", json={"text": "yes"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_goal_without_an_outline_is_planned_by_an_agent(
    node: RealNode, remote: GitRemote, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    block = f"while [ ! -e {go} ]; do sleep 0.05; done"
    text = f"# Two modules\n\nWrite them.\n\n```sh\n{block}\n```\n"
    goal = node.post("/tasks", {"description": text, "repository": str(remote.path)})
    assert (goal["title"], goal["status"]) == ("Two modules", "planning")
    path = f"/tasks/{goal['id']}"
    waits = "waits for an agent with the capability 'planner'; this node has none that is free"
    await wait_for(lambda: node.get(path)["progress"] == waits)
    node.post("/agents", {"name": "architect", "capabilities": ["planner"]})
    await wait_for(lambda: node.get(path)["progress"] == "architect plans")
    await wait_for(lambda: [a for a in attempts_of(node, goal["id"]) if a["status"] == "working"])
    planner = access_of(node, goal["id"])
    assert (await planner.call_as_is("agent_ready"))["planning"] is True
    assert "planning: a plan is wanted" in await planner.refusal("task_complete", summary="x")
    await refuse_bad_plans(planner)
    assert node.get(path)["status"] == "planning"

    planned = await planner.call(
        "task_plan",
        subtasks=[
            subtask("one", shell="echo 'V = 1' > one.py", acceptance_criteria=["one.py exists"]),
            subtask("two", shell="echo 'V = 2' > two.py", depends_on=["one"], complexity="small"),
        ],
    )

    assert planned["subtasks"] == 2
    await wait_for(lambda: node.get(path)["status"] == "completed")
    [one, two] = node.items(f"{path}/subtasks")
    shown = node.get(f"/tasks/{one['id']}")
    assert shown["instructions"] == "Do one."
    assert (shown["acceptance_criteria"], shown["complexity"]) == ("- one.py exists", "medium")
    assert (two["number"], two["status"]) == (2, "completed")
    assert [a["status"] for a in attempts_of(node, goal["id"])] == ["succeeded"]
    assert not go.exists()
    worktrees = node.home / "worktrees"
    await wait_for(lambda: not list(worktrees.glob(f"task-{goal['id'][:8]}*")))
    assert str(go) not in "".join(map(command_line, node.terminal_processes()))


async def test_a_planner_that_ends_without_a_plan_leaves_the_goal_whole(
    node: RealNode, remote: GitRemote
) -> None:
    text = "# Nothing\n\n```sh\nexit 0\n```\n"
    node.post("/agents", {"name": "mute", "capabilities": ["planner", "mute"]})
    goal = node.post("/tasks", {"description": text, "repository": str(remote.path)})
    path = f"/tasks/{goal['id']}"
    failed = "planning attempt 3 failed: the planner ended without calling task_plan"
    await wait_for(lambda: node.get(path)["error"].startswith(failed))
    assert node.get(path)["status"] == "planning"
    worktrees = node.home / "worktrees"
    await wait_for(lambda: not list(worktrees.glob(f"task-{goal['id'][:8]}*")))
    node.post(f"{path}/cancel")


async def refuse_bad_plans(planner: McpAgent) -> None:
    """Hand in plans that cannot be carried out, and read why."""
    cyclic = [subtask("a", depends_on=["b"]), subtask("b", depends_on=["a"])]
    cases = {
        "subtasks wait for each other: 'a' after 'b' after 'a'": cyclic,
        "subtask 'a' depends on 'x', none of 'a'": [subtask("a", depends_on=["x"])],
        "subtask 'a' depends on itself": [subtask("a", depends_on=["a"])],
        "two subtasks have the id 'a'": [subtask("a"), subtask("a")],
        "0 subtasks, 1 to 8 are allowed": [],
        "9 subtasks, 1 to 8 are allowed": [subtask(f"s{n}") for n in range(9)],
        "500 subtasks, 1 to 8 are allowed": [subtask(f"s{n}") for n in range(500)],
        "Extra inputs are not permitted": [subtask("a", owner="me")],
        "should have at most 200 characters": [subtask("a", title="t" * 201)],
        "String should match pattern": [subtask("a", capabilities=["C++ & more"])],
    }
    for expected, plan in cases.items():
        assert expected in await planner.refusal("task_plan", subtasks=plan)


def command_line(pid: int) -> str:
    """The command line of a process, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def subtask(name: str, **fields: object) -> dict[str, object]:
    """A subtask of a plan."""
    return {"id": name, "title": f"Write {name}", "instructions": f"Do {name}.", **fields}


def attempts_of(node: RealNode, task_id: str) -> list[dict[str, str]]:
    """The attempts of a task on a node."""
    return [row for row in node.items("/attempts") if row["task_id"] == task_id]


HEADERS = {"Accept": "application/json, text/event-stream"}


def mcp_url(node: RealNode) -> str:
    """Where the node's MCP server is."""
    return f"http://{HOST}:{node.http_port}/mcp"


def call(tool: str) -> dict[str, object]:
    """A call of a tool as it is on the wire."""
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {}},
    }
