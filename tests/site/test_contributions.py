"""The page of contributions and the API of pull requests."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from p2p.clock import now_utc
from swarm.forge.models import PullRequest
from swarm.forge.services import LOOK_AT_PULL, OPEN_PULL
from swarm.models import Job, Task
from swarm.states import TaskStatus
from tests.support.factories import make_task
from tests.support.seeded_node import seed_node
from tests.support.seeded_pulls import FAILED_ERROR, FORGE, make_pull
from tests.support.web_clients import bearer_client, operator_client, post_json

API = "/api/swarm/pull-requests"


def _text(path: str) -> str:
    html = operator_client().get(path).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def _pull(state: str) -> PullRequest:
    return PullRequest.objects.get(state=state)


def _get(path: str) -> Any:
    response = bearer_client().get(path)
    assert response.status_code == 200, response.content
    return response.json()


def test_contributions_show_link_project_date_state_and_completion(db: None) -> None:
    seed_node(now_utc())

    html = operator_client().get("/contributions").content.decode()
    text = _text("/contributions")

    assert f'<a href="{FORGE}/team/greetings/pull/12" rel="noopener noreferrer"' in html
    for piece in (
        *("Contributions", "Greet in two languages open", "team/greetings #12", "checks: green"),
        *("2 of 2 subtasks merged (100 %)", "1 of 2 subtasks merged (50 %)"),
        *("round 1 of review: 1 comment became work", "Greet by name failed", FAILED_ERROR),
        *("(3 tries)", "Say goodbye as well branch", "the branch is the result"),
    ):
        assert piece in text, piece
    assert "Review 1 of Greet" not in text, "a round after review is part of its contribution"
    assert re.search(r"\d{1,2} [A-Z][a-z]{2} \d{4}", text)


def test_the_page_is_linked_and_a_stranger_is_sent_to_log_in(db: None, client: Any) -> None:
    assert b'<a href="/contributions">Contributions</a>' in operator_client().get("/").content
    own = operator_client().get("/contributions").content
    assert b'<a href="/contributions" aria-current="page">' in own
    assert client.get("/contributions").headers["Location"] == "/login"


def test_without_contributions_the_page_says_what_they_are(db: None) -> None:
    assert "No contributions yet." in _text("/contributions")


def test_what_a_forge_wrote_is_escaped(db: None) -> None:
    evil = "<script>alert(1)</script>"
    goal = make_task(evil, TaskStatus.COMPLETED, integration_commit="beef" * 10)
    make_pull(goal, now=now_utc(), url='https://x/"onclick="y', error=evil, note=evil)

    html = operator_client().get("/contributions").content.decode()

    assert "<script>alert" not in html
    assert 'href="https://x/&quot;onclick=&quot;y"' in html


def test_a_failed_pull_request_needs_a_person_and_is_retried_from_there(db: None) -> None:
    seed_node(now_utc())
    assert "Pull request failed" in _text("/parts/attention")

    response = operator_client().post(f"/pull-requests/{_pull('failed').id}/retry")

    assert response.status_code == 204
    assert PullRequest.objects.get(title="Greet by name").state == "waiting"
    assert Job.objects.filter(kind=OPEN_PULL).count() == 1
    assert "Pull request failed" not in _text("/parts/attention")


def test_an_open_one_is_looked_at_from_the_page(db: None) -> None:
    seed_node(now_utc())

    assert operator_client().post(f"/pull-requests/{_pull('open').id}/sync").status_code == 204

    assert Job.objects.filter(kind=LOOK_AT_PULL).count() == 1


def test_the_api_lists_shows_retries_and_syncs(db: None) -> None:
    seed_node(now_utc())
    open_id, failed_id = _pull("open").id.hex, _pull("failed").id.hex

    assert [each["id"] for each in _get(f"{API}?state=open")["items"]] == [open_id]
    assert {each["id"] for each in _get(API)["items"]} == {open_id, failed_id}
    whole = _get(f"{API}/{open_id}")
    assert (whole["number"], whole["url"]) == (12, f"{FORGE}/team/greetings/pull/12")
    assert [each["round"] for each in whole["follow_ups"]] == [1]
    assert [(each["author"], each["line"]) for each in whole["comments"]] == [("grace", 3)]
    assert post_json(bearer_client(), f"{API}/{failed_id}/retry", {}).json()["state"] == "waiting"
    assert post_json(bearer_client(), f"{API}/{open_id}/sync", {}).status_code == 200
    assert post_json(bearer_client(), f"{API}/{open_id}/retry", {}).status_code == 409
    assert post_json(bearer_client(), f"{API}/{failed_id}/sync", {}).status_code == 409
    assert bearer_client().get(f"{API}/{uuid.uuid4()}").status_code == 404
    assert bearer_client().get(f"{API}?state=lost").status_code == 422


def test_a_goal_says_where_its_work_goes(db: None) -> None:
    seed_node(now_utc())
    goal = _pull("open").goal
    after_review = Task.objects.get(title="Review 1 of Greet")

    shown = _get(f"/api/swarm/tasks/{goal.id}")["contribution"]
    followed = _get(f"/api/swarm/tasks/{after_review.id}")["contribution"]

    assert (shown["forge"], shown["pull_request"]["number"]) == ("github", 12)
    assert (followed["follows"], followed["round"]) == (goal.id.hex, 1)
    subtask = goal.subtasks.first()
    assert subtask is not None
    assert _get(f"/api/swarm/tasks/{subtask.id}")["contribution"] is None


@pytest.mark.parametrize("status", [TaskStatus.IN_PROGRESS, TaskStatus.FAILED])
def test_only_a_completed_goal_may_want_a_pull_request(db: None, status: TaskStatus) -> None:
    goal = make_task("goal", status)

    assert post_json(bearer_client(), API, {"goal_id": goal.id.hex}).status_code == 409


def test_a_bare_remote_gets_no_pull_request(db: None) -> None:
    goal = make_task("goal", TaskStatus.COMPLETED)

    refused = post_json(bearer_client(), API, {"goal_id": goal.id.hex})

    assert (refused.status_code, refused.json()["code"]) == (422, "no_forge")


def test_auto_merge_is_wished_for_with_the_goal(db: None) -> None:
    body = {"description": "- [ ] one\n", "repository": "/srv/x.git", "auto_merge": True}

    wished = post_json(bearer_client(), "/api/swarm/tasks", body).json()
    other = post_json(bearer_client(), "/api/swarm/tasks", {**body, "auto_merge": None}).json()

    assert Task.objects.get(id=wished["id"]).auto_merge is True
    assert Task.objects.get(id=other["id"]).auto_merge is False


@pytest.mark.parametrize(("choice", "kept"), [("yes", True), ("no", False), ("", False)])
def test_auto_merge_is_chosen_in_the_dialog(db: None, choice: str, kept: bool) -> None:
    fields = {"description": "- [ ] one\n", "repository": "/srv/x.git", "auto_merge": choice}

    assert operator_client().post("/goals/new", fields).status_code == 204

    assert Task.objects.get().auto_merge is kept
