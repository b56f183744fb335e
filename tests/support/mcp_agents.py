"""Agents of a real node as their CLI is: a client of the SDK with the token of their run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.deals import Deal, gate_file, submit
from tests.support.git_remote import GitRemote
from tests.support.nodes import RealNode
from tests.support.waiting import wait_for


class RefusedCall(AssertionError):
    """A tool answered with an error; the text is what the agent reads."""


@dataclass(frozen=True)
class McpAgent:
    """One run's access to its node."""

    url: str
    token: str
    task_id: str
    attempt_id: str = ""

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool about the own task and return its structured result."""
        return await self.call_as_is(tool, task_id=self.task_id, **arguments)

    async def call_as_is(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool with exactly these arguments; RefusedCall with the text of its error."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=70) as http,
            Client(streamable_http_client(self.url, http_client=http), mode="legacy") as client,
        ):
            result = await client.call_tool(tool, arguments)
        text = "".join(getattr(each, "text", "") for each in result.content)
        if result.is_error:
            raise RefusedCall(text.removeprefix(f"Error executing tool {tool}: "))
        assert result.structured_content is not None, text
        return dict(result.structured_content)

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """Return the error that a call about the own task is answered with."""
        try:
            answered = await self.call(tool, **arguments)
        except RefusedCall as refused:
            return str(refused)
        raise AssertionError(f"{tool} was not refused: {answered}")


@dataclass(frozen=True)
class Work:
    """A goal whose subtasks run until they are let go, and the agents that run them."""

    deal: Deal
    agents: list[McpAgent]
    go: Path

    def attempt(self, number: int = 1) -> dict[str, Any]:
        """Return the attempt of an agent as the node that runs it shows it."""
        wanted = self.agents[number - 1].attempt_id
        rows = self.deal.buyer.items("/attempts")
        return next(row for row in rows if row["id"] == wanted)


async def begin_work(
    node: RealNode, remote: GitRemote, folder: Path, *, count: int = 1, then: str = ""
) -> Work:
    """Submit a goal whose agents write a file and then wait, and return them with their access.

    `then` is what each runs after it was let go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    go = folder / "go"
    block = f"{gate_file(go)}; {then}" if then else gate_file(go)
    deal = await submit(node, remote.path, *[block] * count, test_command="")
    await wait_for(lambda: deal.statuses() == ["in_progress"] * count)
    return Work(deal, [access_of(node, task["id"]) for task in deal.subtasks()], go)


def access_of(node: RealNode, task_id: str) -> McpAgent:
    """Return the access of the newest run of a task on a node."""
    attempt = next(row for row in node.items("/attempts") if row["task_id"] == task_id)
    found = json.loads((node.home / "runs" / attempt["id"] / "mcp.json").read_text())
    return McpAgent(found["url"], found["token"], task_id, attempt["id"])
