"""An agent whose tool has used up its allowance: paused, passed over, and at work again after."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.processes.conftest import MakeNode
from tests.support.deals import UNITTEST, Deal, small_repository
from tests.support.fake_tool import FakeTool
from tests.support.nodes import RealNode
from tests.support.waiting import wait_for

pytestmark = pytest.mark.faults

MCP = '\n[mcp]\nenvironment = { FAKE_MCP_URL = "{url}", FAKE_MCP_TOKEN = "{token}" }\n'
COMMIT = (
    "git -c user.name=a -c user.email=a@b.invalid commit -q --allow-empty -m nothing "
    "&& touch done.txt && git add done.txt"
)
WINDOW_S = 12


def a_goal(node: RealNode, repository: Path) -> Deal:
    """Submit a goal with one subtask that takes a prompt."""
    body = {
        "description": "# Goal\n\n- [ ] Part\n  Do it.\n",
        "repository": str(repository),
        "test_command": UNITTEST,
    }
    return Deal(node, node.post("/tasks", body)["id"])


async def agent_where(node: RealNode, agent_id: str, **wanted: Any) -> dict[str, Any]:
    """Wait until the agent shows these values."""

    def look() -> dict[str, Any] | None:
        shown: dict[str, Any] = node.get(f"/agents/{agent_id}")
        return shown if all(shown[key] == value for key, value in wanted.items()) else None

    return await wait_for(look)


async def test_an_agent_waits_for_its_usage_window_while_another_takes_the_next_task(
    make_node: MakeNode, tmp_path: Path
) -> None:
    node = make_node("node", agents="0")
    fake = FakeTool(tmp_path / "fake")
    fake.install(node.home, MCP)
    remote = small_repository(tmp_path / "git")
    node.start()
    until = int(time.time()) + WINDOW_S
    fake.behave(exhausted=f"The allowance is used up until {until}")
    ada = node.post("/agents", {"name": "ada", "tool": "fake"})
    first = a_goal(node, remote.path)

    blocked = await agent_where(node, ada["id"], status="blocked", rule="allowance")

    assert blocked["source"] == "screen"
    assert blocked["evidence"].startswith(f"The allowance is used up until {until} (until 20")
    assert datetime.fromisoformat(blocked["paused_until"]).timestamp() == until
    assert blocked["paused_reason"] == f"fake says: The allowance is used up until {until}"
    await wait_for(lambda: first.subtasks()[0]["status"] == "in_progress")
    fake.behave(commands=[COMMIT], claim=True)
    bob = node.post("/agents", {"name": "bob", "tool": "fake"})
    second = a_goal(node, remote.path)
    assert (await second.ended())["status"] == "completed"
    attempts = {row["task_id"]: row["agent"] for row in node.items("/attempts")}
    assert attempts[second.subtasks()[0]["id"]] == "bob"

    assert (await first.ended())["status"] == "completed"

    assert time.time() >= until
    assert fake.prompts()[-1] == "Go on."
    resumed = await agent_where(node, ada["id"], paused_until=None)
    assert resumed["paused_reason"] == ""
    told = [reason for _, reason in first.reasons() if "usage window of ada" in reason]
    assert len(told) == 1 and told[0].endswith(f"The allowance is used up until {until}")
    assert first.subtasks()[0]["attempt"] == 1
    node.api.delete(f"/agents/{bob['id']}").raise_for_status()
    third = a_goal(node, remote.path)
    assert (await third.ended())["status"] == "completed"
