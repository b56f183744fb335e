"""Reviews over the API and on the dashboard: what a reviewer is shown, and each verdict."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest

from swarm.models import Review, Task
from swarm.states import TaskStatus
from tests.support.factories import NOW, make_review, make_subtask, make_task
from tests.support.web_clients import bearer_client, operator_client, post_json

pytestmark = pytest.mark.django_db

API = "/api/swarm/reviews"
EVIL = "<script>alert(1)</script>"
ABSENT = UUID(int=7)


def _review(**columns: Any) -> Review:
    goal = make_task("Goal", TaskStatus.IN_PROGRESS)
    task = make_subtask(
        *(goal, 1, "Count the planets", TaskStatus.PENDING_REVIEW, NOW),
        attempt=1,
        commit="fe" * 20,
        acceptance_criteria="All eight.",
    )
    return make_review(task, **columns)


def _fresh(review: Review) -> tuple[Review, Task]:
    found = Review.objects.select_related("task").get(id=review.id)
    return found, found.task


def _text(response: Any) -> str:
    assert response.status_code == 200, response.content
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_reviews_are_listed_by_state_in_pages() -> None:
    waiting = [_review().id.hex for _ in range(3)]
    accepted = _review(state="accepted", by="command", why_human="")
    client = bearer_client()

    first = client.get(f"{API}?state=waiting&limit=2").json()
    second = client.get(f"{API}?state=waiting&limit=2&cursor={first['next_cursor']}").json()

    shown = [each["id"] for each in first["items"] + second["items"]]
    assert (sorted(shown), second["next_cursor"]) == (sorted(waiting), None)
    assert "diff" not in first["items"][0]
    [only] = client.get(f"{API}?state=accepted").json()["items"]
    assert (only["id"], only["by"]) == (accepted.id.hex, "command")
    assert len(client.get(API).json()["items"]) == 4


@pytest.mark.parametrize("query", ["state=open", "limit=0", "cursor=x"])
def test_a_wrong_query_is_refused(query: str) -> None:
    assert bearer_client().get(f"{API}?{query}").status_code == 422


def test_a_review_is_shown_with_what_its_reviewer_needs() -> None:
    review = _review()

    found = bearer_client().get(f"{API}/{review.id}").json()

    assert found == {
        "id": review.id.hex,
        "task_id": review.task_id.hex,
        "goal_id": review.task.parent_id.hex,
        "title": "Count the planets",
        "attempt": 1,
        "generation": 1,
        "commit": "fe" * 20,
        "state": "waiting",
        "by": "",
        "reasons": "",
        "why_human": "this node has a person review each commit",
        "opinion_by": "",
        "opinion": "",
        "tests_passed": None,
        "diff_chars": len(review.diff),
        "changed_paths": ["planets"],
        "created_at": "2026-05-04T12:00:00Z",
        "decided_at": None,
        "instructions": "",
        "acceptance_criteria": "All eight.",
        "merged_commit": "ce" * 20,
        "diff": review.diff,
        "diff_is_cut": False,
        "test_run": None,
    }


@pytest.mark.parametrize("body", [None, {}, {"reasons": "well counted"}])
def test_a_commit_is_accepted(body: Any) -> None:
    review = _review()

    answer = post_json(bearer_client(), f"{API}/{review.id}/accept", body)

    assert answer.status_code == 200, answer.content
    assert (answer.json()["state"], answer.json()["by"]) == ("accepted", "human:api-token")
    found, task = _fresh(review)
    assert found.reasons == (body or {}).get("reasons", "")
    assert task.status == "pending_review", "the gate is who moves it on"


def test_a_commit_is_rejected_with_reasons() -> None:
    review = _review()

    answer = post_json(bearer_client(), f"{API}/{review.id}/reject", {"reasons": "It is nine."})

    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    _, task = _fresh(review)
    assert (task.status, task.feedback) == (
        "pending",
        "The review rejected fefefefe:\n\nIt is nine.",
    )


@pytest.mark.parametrize(
    "body",
    [
        *(None, {}, {"reasons": ""}, {"reasons": " \n "}, {"reasons": "x" * 6_001}, {"reasons": 3}),
        {"reasons": "no", "by": "somebody else"},
    ],
)
def test_a_rejection_without_proper_reasons_changes_nothing(body: Any) -> None:
    review = _review()

    answer = post_json(bearer_client(), f"{API}/{review.id}/reject", body)

    assert answer.status_code in {400, 422}
    found, task = _fresh(review)
    assert (found.state, task.status) == ("waiting", "pending_review")


@pytest.mark.parametrize("state", ["accepted", "rejected", "dropped"])
@pytest.mark.parametrize("verdict", ["accept", "reject"])
def test_a_decided_review_is_not_decided_again(state: str, verdict: str) -> None:
    review = _review(state=state, by="human:ada", why_human="", decided_at=NOW)

    answer = post_json(bearer_client(), f"{API}/{review.id}/{verdict}", {"reasons": "late"})

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
    assert answer.json()["detail"] == (
        f"review {review.id} is {state} and cannot become {verdict}ed"
    )
    assert _fresh(review)[0].by == "human:ada"


@pytest.mark.parametrize("path", [f"{API}/{ABSENT}", f"{API}/{ABSENT}/accept"])
def test_an_unknown_review_is_404(path: str) -> None:
    client = bearer_client()

    answer = post_json(client, path, {}) if path.endswith("accept") else client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_attention_list_leads_to_the_review() -> None:
    review = _review()
    client = operator_client()

    text = _text(client.get("/parts/attention"))

    for piece in ("Needs you 1", "Count the planets", "not tested", "1 file changed", "Accept"):
        assert piece in text, piece
    dialog = _text(client.get(f"/reviews/{review.id}"))
    for piece in ("Review: Count the planets", "+eight", "All eight.", "Reject with these reasons"):
        assert piece in dialog, piece
    facts = _text(client.get(f"/tasks/{review.task_id}/facts"))
    assert "Waits for a person: this node has a person review each commit" in facts


def test_a_review_that_its_command_is_at_needs_nobody() -> None:
    _review(why_human="")

    assert "Needs you" not in _text(operator_client().get("/parts/attention"))


def test_the_operator_accepts_on_the_dashboard() -> None:
    review = _review()

    answer = operator_client().post(f"/reviews/{review.id}/accept")

    assert answer.status_code == 204
    saved = json.loads(answer.headers["HX-Trigger"])["voidlux:saved"]
    assert saved["message"] == "Count the planets is accepted"
    found, _ = _fresh(review)
    assert (found.state, found.by) == ("accepted", "human:operator")


def test_the_operator_rejects_on_the_dashboard() -> None:
    review = _review()
    client = operator_client()

    empty = client.post(f"/reviews/{review.id}", {"reasons": " "})
    answer = client.post(f"/reviews/{review.id}", {"reasons": "It is nine."})

    assert (empty.status_code, answer.status_code) == (422, 204)
    assert b"This field is required." in empty.content
    found, task = _fresh(review)
    assert (found.by, found.reasons, task.status) == ("human:operator", "It is nine.", "pending")


def test_a_verdict_that_comes_too_late_is_shown_as_such() -> None:
    review = _review(state="dropped", why_human="", decided_at=NOW)
    client = operator_client()

    accepted = client.post(f"/reviews/{review.id}/accept")
    rejected = client.post(f"/reviews/{review.id}", {"reasons": "no"})

    assert (accepted.status_code, rejected.status_code) == (409, 422)
    assert b"is dropped and cannot become accepted" in accepted.content


def test_what_a_seller_wrote_is_escaped() -> None:
    review = _review(diff=EVIL, diff_chars=len(EVIL), why_human=EVIL, reasons=EVIL)
    client = operator_client()

    pages = [f"/reviews/{review.id}", f"/tasks/{review.task_id}/facts", "/parts/attention"]

    for page in pages:
        assert EVIL.encode() not in client.get(page).content
