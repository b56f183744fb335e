"""The emperor of three nodes dies at each stage of a goal: another one ends it, and ends it once.

All of it happens in one life of three homes: whoever was killed is started again and follows, and
the next test kills whoever is emperor then. Each stage is one that a node has reached, seen in its
API or by a file, while whatever would carry it further waits.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.deals import UNITTEST, gate_file
from tests.support.fake_tool import FakeTool
from tests.support.llm_server import LlmServer, answer, running_llm, stalled
from tests.support.nodes import DATABASE, HOST, RealNode
from tests.support.planning import plan, subtask
from tests.support.trio import QUICK, Trio
from tests.support.waiting import is_alive, wait_for

pytestmark = [pytest.mark.timeout(300), pytest.mark.faults]

MCP = '\n[mcp]\nenvironment = { FAKE_MCP_URL = "{url}", FAKE_MCP_TOKEN = "{token}" }\n'
COMMIT = "echo far > telescope.txt"
MODEL_S = 120.0  # the client library takes a busy machine long to load
# Accepts all but what a test waits for: `judged` is decided on late, `by-hand` never.
REVIEW = """question=$(cat)
case "$question" in
  *judged*) echo asked >> {folder}/asked; {wait} ;;
  *by-hand*) exit 1 ;;
esac
echo '{{"verdict": "accept", "reasons": "fine"}}'
"""
# The first push of integrated work tells its pid and waits, before or after the ref has moved.
HOLD_ONCE = """#!/bin/sh
while read -r _ _ ref; do
  case "$ref" in refs/heads/integrate/*) mkdir {once} 2>/dev/null && {{
    echo $PPID > {pid}.part; mv {pid}.part {pid}; {wait}; }} ;; esac
done
exit 0
"""


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmServer]:
    """The language model that all nodes ask; it has nothing to say by itself."""
    with running_llm("ollama", []) as running:
        yield running


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, llm: LlmServer) -> Iterator[Trio]:
    """Three nodes that live, and are killed, through all tests of this module."""
    folder = tmp_path_factory.mktemp("failover")
    script = folder / "review.sh"
    script.write_text(REVIEW.format(folder=folder, wait=gate_file(folder / "go-review")))
    made = Trio.open(
        folder,
        reviewer="command",
        review_command=f"sh {script}",
        llm_provider=llm.provider,
        llm_model="qwen3:32b",
        llm_host=HOST,
        llm_port=str(llm.port),
    )
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
async def trio(nodes: Trio) -> Trio:
    """All three up, with one emperor and every agent free, as each test finds them."""
    for node in nodes.nodes:
        node.resume()
    await nodes.settled()
    return nodes


async def lose(trio: Trio, emperor: RealNode) -> RealNode:
    """Kill the emperor and return who takes over."""
    emperor.crash()
    return await trio.emperor_of(trio.others(emperor))


async def bring_back(trio: Trio, lost: RealNode, heir: RealNode, goal_id: str) -> None:
    """Start who was killed: it follows, and finds the goal done once, as all before it."""
    lost.start()
    assert await trio.emperor_of(trio.nodes) is heir
    await trio.assert_done_once(goal_id, heir)
    trio.assert_nothing_ran_since()


async def test_killed_while_a_model_plans(trio: Trio, llm: LlmServer) -> None:
    emperor = await trio.settled()
    third = trio.others(emperor)[0]
    fake = FakeTool(trio.fresh("fake"))
    fake.install(third.home, MCP)
    fake.behave(commands=[COMMIT], claim=True)
    third.post("/agents", {"name": "ada", "tool": "fake", "capabilities": ["optics"]})
    await wait_for(lambda: any("optics" in a["capabilities"] for a in emperor.items("/agents")))
    llm.replies[:] = [
        stalled('{"subtasks": ['),
        answer(plan(subtask("lens", capabilities=["optics"]))),
    ]
    goal_id = emperor.post(
        "/tasks",
        {
            "description": "Make the telescope see further.",
            "repository": str(trio.remote.path),
            "test_command": UNITTEST,
        },
    )["id"]
    await wait_for(lambda: llm.requests, MODEL_S)

    heir = await lose(trio, emperor)

    await wait_for(lambda: len(llm.requests) == 2, MODEL_S)
    await trio.completed(goal_id, trio.others(emperor))
    [task] = trio.subtasks(heir, goal_id)
    assert (task["title"], task["attempt"]) == ("Do lens", 1)
    assert trio.remote.text(task["commit"], "telescope.txt") == "far\n"
    await bring_back(trio, emperor, heir, goal_id)
    assert (len(llm.requests), len(trio.subtasks(emperor, goal_id))) == (2, 1)
    outcomes = {node: [call["outcome"] for call in node.items("/llm/calls")] for node in trio.nodes}
    assert (outcomes[emperor], outcomes[heir]) == (["failed"], ["answered"])


async def test_killed_while_agents_of_all_three_work(trio: Trio) -> None:
    emperor = await trio.settled()
    go, runs = trio.fresh("go-work"), trio.fresh("runs")
    runs.mkdir()
    blocks = [(node, f"echo run >> {runs / trio.at(node)}; {gate_file(go)}") for node in trio.nodes]
    goal_id = trio.submit(emperor, blocks)
    at_work = ["in_progress"] * 3
    await wait_for(
        lambda: all(trio.statuses(node, goal_id) == at_work for node in trio.nodes), 60.0
    )

    heir = await lose(trio, emperor)

    await wait_for(lambda: trio.statuses(heir, goal_id) == at_work)
    emperor.start()
    assert await trio.emperor_of(trio.nodes) is heir
    go.touch()
    await trio.assert_done_once(goal_id, heir)
    trio.assert_nothing_ran_since()
    assert {path.name: path.read_text() for path in runs.iterdir()} == {
        trio.at(node): "run\n" for node in trio.nodes
    }
    assert [task["attempt"] for task in trio.subtasks(heir, goal_id)] == [1, 1, 1]


async def test_killed_while_a_command_reviews(trio: Trio) -> None:
    emperor = await trio.settled()
    asked = trio.fresh("asked")
    goal_id = trio.submit(emperor, [(trio.others(emperor)[0], "echo judged > part.txt")])
    await wait_for(asked.exists, 60.0)
    assert trio.statuses(emperor, goal_id) == ["pending_review"]

    heir = await lose(trio, emperor)

    await wait_for(lambda: asked.read_text() == "asked\nasked\n", 60.0)
    (trio.folder / "go-review").touch()
    await bring_back(trio, emperor, heir, goal_id)
    assert asked.read_text() == "asked\nasked\n"


async def test_killed_while_a_person_is_waited_for(trio: Trio) -> None:
    emperor = await trio.settled()
    goal_id = trio.submit(emperor, [(trio.others(emperor)[0], "echo by-hand > part.txt")])
    await wait_for(lambda: waiting_for_person(emperor), 60.0)

    heir = await lose(trio, emperor)

    await wait_for(lambda: waiting_for_person(heir), 60.0)
    emperor.start()
    await trio.emperor_of(trio.nodes)
    [review_id] = waiting_for_person(heir)
    heir.post(f"/reviews/{review_id}/accept")
    await trio.assert_done_once(goal_id, heir)
    trio.assert_nothing_ran_since()
    assert [waiting_for_person(node) for node in trio.nodes] == [[], [], []]


def waiting_for_person(node: RealNode) -> list[str]:
    waiting = node.items("/reviews?state=waiting")
    return [each["id"] for each in waiting if each["why_human"]]


async def test_killed_in_the_tests_of_the_merged_result(trio: Trio) -> None:
    emperor = await trio.settled()
    go, pids = trio.fresh("go-tests"), trio.fresh("pids")
    # Once for the review and once merged is the same commit, and so the same test.
    goal_id = trio.submit(
        emperor,
        [(trio.others(emperor)[0], "true")],
        test_command=f"echo $$ >> {pids}; {gate_file(go)}; {UNITTEST}",
    )
    await wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"), 60.0)

    heir = await lose(trio, emperor)

    await wait_for(lambda: len(pids.read_text().splitlines()) == 2, 60.0)
    go.touch()
    await bring_back(trio, emperor, heir, goal_id)


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
async def test_killed_in_the_push_of_the_merged_result(trio: Trio, hook: str) -> None:
    emperor = await trio.settled()
    go, pid = trio.fresh(f"go-{hook}"), trio.fresh(f"pid-{hook}")
    path = trio.remote.path / "hooks" / hook
    once = trio.fresh(f"once-{hook}")
    path.write_text(HOLD_ONCE.format(once=once, pid=pid, wait=gate_file(go)))
    path.chmod(0o755)
    goal_id = trio.submit(emperor, [(trio.others(emperor)[0], "true")])
    await wait_for(pid.exists, 60.0)
    branch = f"refs/heads/integrate/{goal_id[:8]}"
    arrived = trio.remote.refs().get(branch)
    assert (arrived is None) == (hook == "pre-receive")

    heir = await lose(trio, emperor)

    await trio.completed(goal_id, trio.others(emperor))
    before = trio.remote.refs()
    assert arrived in (None, before[branch])
    go.touch()  # what was on its way when its emperor died goes on now
    await wait_for(lambda: not is_alive(int(pid.read_text())))
    path.unlink()
    assert trio.remote.refs() == before
    await bring_back(trio, emperor, heir, goal_id)


async def test_an_emperor_that_was_paused_steps_down_in_the_middle_of_its_merge(
    trio: Trio,
) -> None:
    emperor = await trio.settled()
    once, go = trio.fresh("once-paused"), trio.fresh("go-paused")
    goal_id = trio.submit(
        emperor,
        [(trio.others(emperor)[0], "true")],
        test_command=f"if mkdir {once}; then {gate_file(go)}; fi; {UNITTEST}",
    )
    await wait_for(once.exists, 60.0)

    emperor.pause()
    heir = await trio.emperor_of(trio.others(emperor))
    await trio.completed(goal_id, trio.others(emperor))
    before = trio.remote.refs()
    emperor.resume()

    assert await trio.emperor_of(trio.nodes) is heir
    go.touch()
    await trio.assert_done_once(goal_id, heir)
    await wait_for(lambda: not gates_at_work(emperor))
    assert trio.remote.refs() == before
    trio.assert_nothing_ran_since()


def gates_at_work(node: RealNode) -> list[tuple[str]]:
    """Return the gates that a node has yet to end, from its database."""
    with closing(sqlite3.connect(f"file:{node.home / DATABASE}?mode=ro", uri=True)) as database:
        waiting = "SELECT key FROM swarm_job WHERE kind = 'gate' AND ended_at IS NULL"
        return database.execute(waiting).fetchall()


async def test_a_goal_that_is_submitted_elsewhere_reaches_whoever_is_emperor(trio: Trio) -> None:
    emperor = await trio.settled()
    first, second = trio.others(emperor)
    through_member = trio.submit(first, [(second, "true")])
    assert trio.goal(emperor, through_member)["emperor_node_id"] == emperor.node_id
    await trio.completed(through_member, trio.nodes)

    emperor.crash()
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {
        "description": trio.outline([(second, "true")]),
        "repository": str(trio.remote.path),
        "test_command": UNITTEST,
    }
    refused = first.api.post("/tasks", json=body, headers=key)
    assert refused.status_code == 503
    longest_s = float(QUICK["emperor_stale_s"]) + float(QUICK["candidacy_s"])
    assert 1 <= int(refused.headers["Retry-After"]) <= longest_s + 1
    made = await wait_for(
        lambda: (
            again
            if (again := first.api.post("/tasks", json=body, headers=key)).status_code != 503
            else None
        )
    )
    assert made.status_code == 201
    heir = await trio.emperor_of((first, second))
    assert made.json()["emperor_node_id"] == heir.node_id
    await bring_back(trio, emperor, heir, made.json()["id"])
