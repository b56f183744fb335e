from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from marketplace.models import SellingPolicy, Tribute, Wallet
from p2p.clock import now_utc
from p2p.local import local_node
from swarm.models import Agent, Task
from swarm.states import TaskStatus
from tests.support.factories import BUYER, make_agent, make_offering, make_task, make_tribute
from tests.support.web_clients import operator_client

OUTLINE = "# Greet\n- [ ] Say hello\n  ```sh\n  echo hello > hello.txt\n  ```\n"


def _saved(response: Any) -> tuple[str, list[str]]:
    assert response.status_code == 204, response.content
    detail = json.loads(response.headers["HX-Trigger"])["voidlux:saved"]
    return detail["message"], detail["parts"]


def _reasons(response: Any) -> list[str]:
    html = response.content.decode()
    found = re.findall(r'class="reason"[^>]*>(?:<p>)?([^<]+)', html)
    return [text.strip() for text in found if text.strip()]


NOBODY = "12345678-9abc-4def-8123-456789abcdef"


@pytest.mark.parametrize(
    "path",
    [
        *("/goals/new", "/agents/new", "/selling"),
        *(f"/tasks/{NOBODY}/cancel", f"/agents/{NOBODY}/remove"),
        *("/selling/off", f"/offerings/{NOBODY}/tribute"),
        *(f"/tributes/{NOBODY}/{verb}" for verb in ("accept", "reject", "cancel")),
    ],
)
def test_a_stranger_can_do_nothing(db: None, path: str) -> None:
    assert Client().post(path, {}).headers["Location"] == "/login"


def test_actions_need_the_csrf_token(db: None) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    client = operator_client(enforce_csrf_checks=True)

    assert client.post(f"/tasks/{goal.id}/cancel").status_code == 403
    assert Task.objects.get().status == TaskStatus.IN_PROGRESS


def test_the_goal_dialog_offers_an_example_that_is_a_goal(db: None) -> None:
    client = operator_client()
    html = client.get("/goals/new").content.decode()
    example = re.search(r'id="example-text">(.*?)</pre>', html, re.DOTALL)
    assert example is not None
    outline = example[1].replace("&gt;", ">").replace("&quot;", '"')

    response = client.post("/goals/new", {"description": outline, "repository": "/srv/r.git"})

    assert _saved(response) == ("Greet in two languages is submitted", ["tasks"])
    assert Task.objects.get().repository == "/srv/r.git"


def test_a_refused_goal_shows_why_and_keeps_what_was_typed(db: None) -> None:
    response = operator_client().post(
        "/goals/new", {"description": "- [x] hello", "repository": "/r"}
    )

    assert response.status_code == 422
    assert len(_reasons(response)) == 1
    assert b"hello</textarea>" in response.content
    assert Task.objects.count() == 0


def test_a_goal_without_a_repository_names_the_field(db: None) -> None:
    response = operator_client().post("/goals/new", {"description": OUTLINE})

    assert response.status_code == 422
    assert _reasons(response) == ["This field is required."]


def test_a_goal_is_cancelled(db: None) -> None:
    goal = make_task("goal", TaskStatus.IN_PROGRESS)

    response = operator_client().post(f"/tasks/{goal.id}/cancel")

    message, parts = _saved(response)
    assert message == "goal is cancelled"
    assert {"tasks", "tributes", "attention"} <= set(parts)
    assert Task.objects.get().error == "cancelled on the dashboard"


def test_a_refused_action_becomes_a_notice(db: None) -> None:
    goal = make_task("goal", TaskStatus.COMPLETED)

    response = operator_client().post(f"/tasks/{goal.id}/cancel")

    assert response.status_code == 409
    assert response.headers["HX-Retarget"] == "#notice"
    assert b"is completed and cannot become cancelled" in response.content


def test_an_agent_is_added_and_removed(db: None) -> None:
    client = operator_client()

    added = client.post(
        "/agents/new", {"name": "a-1", "tool": "shell", "capabilities": "python, testing"}
    )
    agent = Agent.objects.get()
    removed = client.post(f"/agents/{agent.id}/remove")

    assert _saved(added)[0] == "a-1 is registered"
    assert agent.capabilities == ["python", "testing"]
    assert _saved(removed)[0] == "a-1 is removed"
    assert Agent.objects.count() == 0


def test_a_taken_name_is_shown_in_the_dialog(db: None) -> None:
    make_agent("a-1")

    response = operator_client().post("/agents/new", {"name": "a-1", "tool": "shell"})

    assert (response.status_code, _reasons(response)) == (
        422,
        ["an agent &#x27;a-1&#x27; exists already"],
    )


def test_idle_agents_are_sold_and_withdrawn(db: None) -> None:
    make_agent("a-1")
    client = operator_client()

    sold = client.post("/selling/on")
    html = client.get("/parts/offerings").content.decode()
    assert 'hx-post="/selling/off"' in html
    withdrawn = client.post("/selling/off")

    assert _saved(sold)[0] == "Selling is on"
    assert "This node sells 1 agent<" in html
    assert _saved(withdrawn)[0] == "This node sells no more"
    assert not SellingPolicy.objects.get().selling


def test_a_tribute_is_requested_for_the_chosen_goal(db: None) -> None:
    Wallet.objects.create(id=1, balance=10)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    make_task("over", TaskStatus.COMPLETED)
    offering = make_offering(now=now_utc())
    path = f"/offerings/{offering.id}/tribute"
    client = operator_client()

    dialog = client.get(path).content.decode()
    response = client.post(path, {"goal": goal.id.hex, "task_count": 2})

    assert re.findall(r"<option[^>]*>([^<]+)", dialog) == [f"goal ({goal.id8})"]
    assert 'data-price="2"' in dialog
    assert {"tributes", "market-tributes", "wallet", "ledger"} <= set(_saved(response)[1])
    assert Tribute.objects.get().goal_id == goal.id


def test_missing_funds_are_shown_in_the_dialog(db: None) -> None:
    Wallet.objects.create(id=1, balance=1)
    goal = make_task("goal", TaskStatus.IN_PROGRESS)
    offering = make_offering(now=now_utc())

    response = operator_client().post(
        f"/offerings/{offering.id}/tribute", {"goal": goal.id.hex, "task_count": 2}
    )

    assert response.status_code == 422
    assert len(_reasons(response)) == 1
    assert Tribute.objects.count() == 0


def test_without_goals_the_tribute_dialog_says_so(db: None) -> None:
    offering = make_offering(now=now_utc())

    response = operator_client().get(f"/offerings/{offering.id}/tribute")

    assert _reasons(response) == ["There is no open goal to buy tasks for: submit a goal first."]


def test_a_vanished_offering_is_a_notice(db: None) -> None:
    response = operator_client().get(f"/offerings/{NOBODY}/tribute")

    assert response.status_code == 404
    assert response.headers["HX-Retarget"] == "#notice"


def test_a_waiting_tribute_is_rejected_with_a_reason(db: None) -> None:
    tribute = make_tribute(
        now=now_utc(), from_node_id=BUYER, to_node_id=local_node().node_id, task_count=1
    )
    client = operator_client()

    dialog = client.get(f"/tributes/{tribute.id}/reject")
    response = client.post(f"/tributes/{tribute.id}/reject", {"reason": "not this week"})

    assert b"The buyer sees this sentence." in dialog.content
    message, parts = _saved(response)
    assert message == "The tribute is rejected"
    assert {"tributes", "market-queue", "attention", "waiting"} <= set(parts)
    stored = Tribute.objects.get()
    assert (stored.status, stored.reason) == ("rejected", "not this week")
