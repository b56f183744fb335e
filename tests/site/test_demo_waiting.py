"""What the demo says when it waited in vain, and what it runs beside the story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import httpx
import pytest

from p2p.protocol.errors import DomainError, ExternalError
from tests.support.demo_facts import GOAL, tribute
from voidlux_site.demo.client import NodeClient
from voidlux_site.demo.failures import NodeDied
from voidlux_site.demo.following import Follower
from voidlux_site.demo.names import Names
from voidlux_site.demo.nodes import Nodes
from voidlux_site.demo.waiting import StoryFailed, blame_the_dead, wait_for


class NobodyDied:
    """Stands for nodes that all run."""

    def require_alive(self) -> None:
        """Nothing has ended."""


def wait(condition: Callable[[], object], seen: Callable[[], str]) -> object:
    nodes = cast(Nodes, NobodyDied())
    return wait_for("the goal to end", 0, condition, nodes=nodes, seen=seen)


def unreachable() -> str:
    raise ExternalError("GET /status: refused", retryable=True)


def test_a_value_is_returned_as_soon_as_it_is_there() -> None:
    assert wait(lambda: "done", lambda: "unused") == "done"


def test_waiting_in_vain_names_what_was_awaited_and_what_was_seen() -> None:
    with pytest.raises(StoryFailed) as caught:
        wait(lambda: None, lambda: "the goal is merging")

    assert str(caught.value) == "waited 0 s for the goal to end; seen: the goal is merging"


@pytest.mark.parametrize("condition", [unreachable, lambda: None])
def test_a_node_that_does_not_answer_is_what_was_seen(condition: Callable[[], object]) -> None:
    with pytest.raises(StoryFailed) as caught:
        wait(condition, unreachable)

    assert str(caught.value) == "waited 0 s for the goal to end; GET /status: refused"


class Dying:
    """Stands for a node whose end is seen at the second look only."""

    looks = 0

    def require_alive(self) -> None:
        """Raise NodeDied from the second look on."""
        self.looks += 1
        if self.looks > 1:
            raise NodeDied("buyer", -9, "the last line")


def test_a_node_that_is_just_dying_is_named() -> None:
    with pytest.raises(NodeDied, match="node buyer ended with -9"):
        blame_the_dead(cast(Nodes, Dying()))


def test_a_refusal_ends_the_waiting_at_once() -> None:
    def refused() -> object:
        raise DomainError("wrong_state", "it is over")

    with pytest.raises(DomainError, match="it is over"):
        wait(refused, lambda: "")


def event(number: int, target: str, reason: str) -> dict[str, Any]:
    at = f"2030-01-01T00:00:0{number}Z"
    return {"id": number, "at": at, "source": "pending", "target": target, "reason": reason}


def test_the_story_tells_what_is_given_back_and_no_warning_before_there_is_work() -> None:
    claimed = "hired from andromeda under tribute 7d7d7d7d"
    rows: dict[str, Any] = {
        f"/tasks/{GOAL}": {"id": GOAL, "parent_id": None, "updated_at": "1", "status": "merging"},
        f"/tasks/{GOAL}/subtasks": {"items": [], "next_cursor": None},
        f"/tasks/{GOAL}/events": {
            "items": [
                event(1, "claimed", f"{claimed}; may meet 'Mean' in README.md"),
                event(2, "merging", "the remote shows it; may meet 'Mean' in README.md"),
            ],
            "next_cursor": None,
        },
        "/tributes": {"items": [tribute()], "next_cursor": None},
        "/wallet": {"balance": 1, "held": 0},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=rows[request.url.path.removeprefix("/api/swarm")])

    api = NodeClient("http://node", "t", httpx.MockTransport(answer))
    started_at = datetime.fromisoformat("2030-01-01T00:00:00Z")
    news = Follower(GOAL, [("helios", api)], Names(), started_at).poll().news

    assert [(each.status, each.text) for each in news][:3] == [
        ("claimed", claimed),
        ("merging", "the remote shows it; may meet 'Mean' in README.md"),
        (
            "completed",
            "2 tasks at 12 VOID from 55555555: 1 of 1 executions accepted, "
            "1 not used and given back",
        ),
    ]
