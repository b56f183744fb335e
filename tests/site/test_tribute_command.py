"""`manage.py tribute`: what it asks of the node's API, and what it prints."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from voidlux_site.demo.client import NodeClient
from voidlux_site.management.commands import tribute

ID = "1" * 32
TRIBUTE = {
    "id": ID,
    "status": "pending",
    "from_node_id": "a" * 32,
    "to_node_id": "b" * 32,
    "task_count": 2,
    "total_cost": 14,
    "policy": "execution",
    "reason": "",
    "executions": [
        {
            "task_id": "2" * 32,
            "run": 3,
            "title": "Part 1",
            "status": "open",
            "commit": "c" * 40,
            "payment": None,
            "reason": "",
        }
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Any]]:
    """Let a made-up node answer, and return what it is asked."""
    seen: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        path = request.url.path.removeprefix("/api/swarm")
        seen.append((request.method, path, body))
        if path.endswith("/reject"):
            problem = {"code": "wrong_state", "detail": "it is accepted"}
            return httpx.Response(409, json=problem)
        if request.method == "GET" and path == "/tributes":
            return httpx.Response(200, json={"items": [TRIBUTE], "next_cursor": None})
        return httpx.Response(200, json=TRIBUTE)

    client = NodeClient("http://node", "token", httpx.MockTransport(answer))
    monkeypatch.setattr(tribute, "running_node", lambda: client)
    return seen


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], ("GET", "/tributes", None)),
        (["list", "--status", "pending"], ("GET", "/tributes", None)),
        (["show", ID], ("GET", f"/tributes/{ID}", None)),
        (
            ["request", "9" * 32, "8" * 32, "--count", "2"],
            (
                "POST",
                "/tributes",
                {"offering_id": "9" * 32, "goal_id": "8" * 32, "task_count": 2},
            ),
        ),
        (["accept", ID, "--remember"], ("POST", f"/tributes/{ID}/accept", {"remember": True})),
        (
            ["cancel", ID, "--reason", "late", "--task", "2" * 32],
            ("POST", f"/tributes/{ID}/cancel", {"reason": "late", "task_ids": ["2" * 32]}),
        ),
    ],
)
def test_each_action_is_one_call(
    asked: list[tuple[str, str, Any]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    wanted: tuple[str, str, Any],
) -> None:
    call_command("tribute", *words)

    assert asked == [wanted]
    assert ID in capsys.readouterr().out


def test_json_is_the_whole_of_what_the_node_says(
    asked: list[tuple[str, str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("tribute", "show", ID, "--json")

    assert json.loads(capsys.readouterr().out) == [TRIBUTE]


def test_a_refusal_is_one_line(asked: list[tuple[str, str, Any]]) -> None:
    with pytest.raises(CommandError, match=r"answered 409: it is accepted$"):
        call_command("tribute", "reject", ID)
