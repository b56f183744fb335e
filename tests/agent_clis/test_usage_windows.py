"""Each real program is told by its provider that its usage window is exhausted."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_homes import AgentNode, set_up
from tests.support.deals import UNITTEST, small_repository
from tests.support.model_server.server import Refusal, running_model
from tests.support.waiting import wait_for

HOUR_S = 3600
BLOCKED_S = 150.0
GOAL = "# Greet\n\n- [ ] Write the greeting\n  Write greeting.py.\n"


def refusal_of(tool: str, ends_at: int, now: int) -> Refusal:
    """What the provider of a tool's own plan answers: a window that ends at an epoch second."""
    if tool == "claude":
        headers = {
            "anthropic-ratelimit-unified-status": "rejected",
            "anthropic-ratelimit-unified-reset": str(ends_at),
            "anthropic-ratelimit-unified-representative-claim": "five_hour",
            "x-should-retry": "false",
        }
        error = {"type": "rate_limit_error", "message": "This would exceed your rate limit."}
        return Refusal(429, headers, {"type": "error", "error": error})
    if tool == "codex":
        limit = {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": ends_at}
        return Refusal(429, {}, {"error": {**limit, "message": "The usage limit has been reached"}})
    quota = {"type": "insufficient_quota", "message": "You exceeded your current quota."}
    return Refusal(429, {"retry-after": str(ends_at - now)}, {"error": quota})


def sign_in_to_a_plan(home: Path) -> None:
    """Let Claude Code use a subscription's token: with a key of the API it has no windows."""
    path = home / "tools" / "claude.env"
    path.write_text(path.read_text().replace("ANTHROPIC_API_KEY=", "CLAUDE_CODE_OAUTH_TOKEN="))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("tool", "rule", "early_s", "late_s"),
    [
        ("claude", "usage_limit", 0, 60),
        ("codex", "usage_limit", 0, 60),
        ("opencode", "retrying", 60, 120),
    ],
    ids=["claude", "codex", "opencode"],
)
async def test_the_agent_is_paused_until_its_provider_serves_it_again(
    tmp_path: Path, programs: Path, tool: str, rule: str, early_s: int, late_s: int
) -> None:
    now = int(time.time())
    ends_at = now // HOUR_S * HOUR_S + 3 * HOUR_S  # claude rounds to hours
    node = AgentNode(tmp_path / "node", programs)
    try:
        with running_model([], refusal_of(tool, ends_at, now)) as model:
            set_up(tool, node.home, model.url)
            if tool == "claude":
                sign_in_to_a_plan(node.home)
            node.start()
            agent = node.post("/agents", {"name": tool, "tool": tool})
            remote = small_repository(tmp_path / "git")
            body = {"description": GOAL, "repository": str(remote.path), "test_command": UNITTEST}
            goal = node.post("/tasks", body)

            try:
                shown = await wait_for(lambda: blocked_by(node, agent["id"], rule), BLOCKED_S)
            except AssertionError as failure:
                seen = node.get(f"/agents/{agent['id']}/explain")
                lines = [str(failure), str(seen["considered"]), *seen["screen"]]
                raise AssertionError("\n".join(lines)) from None

            paused_until = datetime.fromisoformat(shown["paused_until"])
            end = datetime.fromtimestamp(ends_at, UTC)
            assert end - timedelta(seconds=early_s) <= paused_until
            assert paused_until <= end + timedelta(seconds=late_s)
            assert shown["source"] == "screen" and shown["dialog"] is None
            [task] = node.items(f"/tasks/{goal['id']}/subtasks")
            assert task["status"] in ("claimed", "in_progress")
            told = [each["reason"] for each in node.items(f"/tasks/{task['id']}/events")]
            assert sum("usage window" in reason for reason in told) == 1
    finally:
        node.end()


def blocked_by(node: AgentNode, agent_id: str, rule: str) -> dict[str, Any] | None:
    """Return the agent once a rule blocks it; the folder's trust is given on the way."""
    shown = node.get(f"/agents/{agent_id}/explain")
    if shown["status"] == "blocked" and shown["rule"] == "trust_folder":
        shown_id = shown["dialog"]["id"]
        dialog = {"dialog": "trust_folder", "id": shown_id, "choice": "yes"}
        node.api.post(f"/agents/{agent_id}/dialog", json=dialog)
    agent: dict[str, Any] = node.get(f"/agents/{agent_id}")
    return agent if agent["rule"] == rule and agent["dialog"] is None else None
