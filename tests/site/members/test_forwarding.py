"""A write at a member that is not emperor is done by the emperor, or told to come again."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.test import Client

from p2p.clock import now_utc
from swarm.models import KnownTerm, MemberPulse, Task, TaskCopy
from tests.support.swarm_of_three import Swarm
from tests.support.web_clients import bearer_client, operator_client, post_json
from tests.support.wire_of_members import Wire
from voidlux_site.access import api_token
from voidlux_site.forwarding.courier import AnswerLost, Reply, Unreached
from voidlux_site.models import StoredAnswer

API = "/api/swarm"
GOAL = {
    "description": "# Greet\n- [ ] Say hello\n  ```sh\n  true\n  ```\n",
    "repository": "/srv/remote.git",
}
NOBODY = "12345678-9abc-4def-8123-456789abcdef"


def _post(swarm: Swarm, path: str, body: Any, *, node: int = 0, **headers: str) -> Any:
    with swarm.cluster.acting(swarm.workers[node]):
        return post_json(bearer_client(), f"{API}{path}", body, **headers)


def _goals(swarm: Swarm) -> list[Task]:
    with swarm.cluster.acting(swarm.emperor):
        return list(Task.objects.filter(parent__isnull=True).order_by("created_at"))


def test_a_goal_that_is_submitted_at_a_worker_is_the_emperors(swarm: Swarm, wire: Wire) -> None:
    answer = _post(swarm, "/tasks", GOAL)

    [goal] = _goals(swarm)
    assert (answer.status_code, answer.json()["id"]) == (201, goal.id.hex)
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert goal.created_by == swarm.emperor.node_id
    [(address, letter)] = wire.carried
    assert (address, letter.method, letter.path) == (
        "http://127.0.0.1:9091",
        "POST",
        f"{API}/tasks",
    )
    assert json.loads(letter.body) == GOAL
    with swarm.cluster.acting(swarm.workers[0]):
        assert letter.headers["Authorization"] == f"Bearer {api_token()}"
        assert letter.headers["X-VoidLux-Forwarded-By"] == swarm.workers[0].node_id
        assert not Task.objects.exists()


def test_refusals_and_query_come_through_as_they_are(swarm: Swarm, wire: Wire) -> None:
    wrong = _post(swarm, "/tasks", {**GOAL, "repository": "ext::sh"})
    gone = _post(swarm, f"/tasks/{NOBODY}/cancel?a=b%20c&a=%2F", {})

    assert (wrong.status_code, wrong.headers["Content-Type"]) == (422, "application/problem+json")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert wire.paths[1] == f"POST {API}/tasks/{NOBODY}/cancel?a=b%20c&a=%2F"


def test_who_submitted_a_goal_at_a_worker_can_follow_it_there_at_once(
    swarm: Swarm, wire: Wire
) -> None:
    goal_id = _post(swarm, "/tasks", GOAL).json()["id"]

    with swarm.cluster.acting(swarm.workers[0]):
        assert not TaskCopy.objects.filter(id=goal_id).exists()
        shown = [bearer_client().get(f"{API}/tasks/{goal_id}{each}") for each in FOLLOWED]
        unknown = bearer_client().get(f"{API}/tasks/{NOBODY}")
    assert [each.status_code for each in shown] == [200, 200, 200]
    assert shown[0].json()["title"] == "Greet"
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")

    swarm.cluster.now = now_utc()
    swarm.talk()
    wire.carried.clear()
    with swarm.cluster.acting(swarm.workers[0]):
        shown = [bearer_client().get(f"{API}/tasks/{goal_id}{each}") for each in FOLLOWED]
    assert ([each.status_code for each in shown], wire.paths) == ([200, 200, 200], [])


FOLLOWED = ("", "/subtasks", "/events")
WRITES = [
    (f"/tasks/{NOBODY}/cancel", {}),
    (f"/tasks/{NOBODY}/requeue", {}),
    (f"/tasks/{NOBODY}/archive", {}),
    (f"/tasks/{NOBODY}/answer", {"text": "yes"}),
    (f"/tasks/{NOBODY}/budget", {"token_limit": 5}),
    (f"/reviews/{NOBODY}/accept", {}),
    (f"/reviews/{NOBODY}/reject", {"reasons": "no"}),
    ("/pull-requests", {"goal_id": NOBODY}),
    (f"/pull-requests/{NOBODY}/retry", {}),
    (f"/pull-requests/{NOBODY}/sync", {}),
]


@pytest.mark.parametrize(("path", "body"), WRITES)
def test_every_task_write_of_the_api_reaches_the_emperor(
    swarm: Swarm, wire: Wire, path: str, body: Any
) -> None:
    answer = _post(swarm, path, body)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert wire.paths == [f"POST {API}{path}"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"/tasks/{NOBODY}/{verb}" for verb in ("cancel", "requeue", "archive", "answer")),
        *(f"/pull-requests/{NOBODY}/{verb}" for verb in ("retry", "sync")),
        f"/reviews/{NOBODY}/accept",
    ],
)
def test_every_task_write_of_the_dashboard_reaches_the_emperor(
    swarm: Swarm, wire: Wire, path: str
) -> None:
    with swarm.cluster.acting(swarm.workers[0]):
        answer = operator_client().post(path, {"text": "yes"}, headers={"hx-request": "true"})

    assert (answer.status_code, answer.headers["HX-Retarget"]) == (404, "#notice")
    assert wire.paths == [f"POST {path}"]


def test_a_copied_task_is_moved_by_its_emperor(swarm: Swarm, wire: Wire) -> None:
    goal = swarm.goal(1)
    swarm.talk()
    with swarm.cluster.acting(swarm.workers[0]):
        assert TaskCopy.objects.filter(id=goal.id).exists()

    answer = _post(swarm, f"/tasks/{goal.id.hex}/cancel", {"reason": "not needed"})

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert [each.error for each in _goals(swarm)] == ["not needed"]
    assert wire.paths == [f"POST {API}/tasks/{goal.id.hex}/cancel"]


def test_the_evidence_of_a_goal_is_fetched_from_its_emperor(swarm: Swarm, wire: Wire) -> None:
    goal = swarm.goal(1)
    swarm.talk()
    with swarm.cluster.acting(swarm.workers[0]):
        answer = bearer_client().get(f"{API}/tasks/{goal.id.hex}/evidence")

    assert (answer.status_code, answer.json()["goal_id"]) == (200, goal.id.hex)


@pytest.mark.parametrize("as_multipart", [False, True])
def test_a_dialog_of_the_dashboard_is_passed_on(
    swarm: Swarm, wire: Wire, as_multipart: bool
) -> None:
    client = Client(enforce_csrf_checks=True, headers={"hx-request": "true"})
    with swarm.cluster.acting(swarm.workers[0]):
        client.cookies = operator_client().cookies
        found = re.search(r'X-CSRFToken": "(\w+)"', client.get("/").content.decode())
        assert found is not None
        form = "&".join(f"{name}={value}" for name, value in GOAL.items()).replace("\n", "%0A")
        kind = {} if as_multipart else {"content_type": "application/x-www-form-urlencoded"}
        answer = client.post(
            "/goals/new",
            GOAL if as_multipart else form,
            headers={"x-csrftoken": found[1]},
            **kind,  # type: ignore[arg-type]
        )

    assert answer.status_code == 204
    assert json.loads(answer.headers["HX-Trigger"])["voidlux:saved"]["message"] == (
        "Greet is submitted"
    )
    assert [goal.title for goal in _goals(swarm)] == ["Greet"]
    assert "sessionid" not in str(wire.carried[0][1].headers)


def test_a_form_that_the_emperor_shows_again_fits_the_browsers_cookie(
    swarm: Swarm, wire: Wire
) -> None:
    client = Client(enforce_csrf_checks=True, headers={"hx-request": "true"})
    with swarm.cluster.acting(swarm.workers[0]):
        client.cookies = operator_client().cookies
        page = client.get("/").content.decode()
        token = re.search(r'X-CSRFToken": "(\w+)"', page)[1]  # type: ignore[index]
        bad = {**GOAL, "repository": "ext::sh"}
        shown = client.post("/goals/new", bad, headers={"x-csrftoken": token})
        again = re.search(r'csrfmiddlewaretoken" value="(\w+)"', shown.content.decode())
        assert (shown.status_code, shown.cookies) == (422, {})
        assert again is not None
        done = client.post("/goals/new", {**GOAL, "csrfmiddlewaretoken": again[1]})

    assert done.status_code == 204


def test_a_repeated_key_is_one_goal_whoever_is_asked(swarm: Swarm, wire: Wire) -> None:
    key = {"Idempotency-Key": "order 7"}

    answers = [_post(swarm, "/tasks", GOAL, node=node, **key) for node in (0, 1, 0)]
    with swarm.cluster.acting(swarm.emperor):
        StoredAnswer.objects.all().delete()  # the next emperor has none of them
    answers.append(_post(swarm, "/tasks", GOAL, **key))
    other = _post(swarm, "/tasks", {**GOAL, "repository": "/srv/another.git"}, **key)

    [goal] = _goals(swarm)
    assert [(each.status_code, each.json()["id"]) for each in answers] == [(201, goal.id.hex)] * 4
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert UUID(goal.id.hex).version == 5


def test_a_key_that_another_emperor_was_given_is_known_from_its_copy(
    swarm: Swarm, wire: Wire
) -> None:
    key = {"Idempotency-Key": "order 8"}
    first = _post(swarm, "/tasks", GOAL, **key)
    swarm.cluster.now = now_utc()
    swarm.talk()
    successor = swarm.workers[1]
    successor.environment = successor.environment.model_copy(update={"role": "emperor"})

    with swarm.cluster.acting(successor):
        KnownTerm.objects.update_or_create(
            node_id=successor.node_id,
            defaults={"counter": 9, "in_office": True, "known_at": swarm.cluster.now},
        )
        again = post_json(bearer_client(), f"{API}/tasks", GOAL, **key)
        other = post_json(bearer_client(), f"{API}/tasks", {**GOAL, "repository": "/srv/b"}, **key)
        assert not Task.objects.exists()

    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_what_was_passed_on_is_never_passed_on_again(swarm: Swarm, wire: Wire) -> None:
    answer = _post(swarm, "/tasks", GOAL, **{"X-VoidLux-Forwarded-By": "f" * 32})

    assert (answer.status_code, answer.json()["code"]) == (503, "no_emperor")
    assert answer.json()["detail"].startswith("this node was taken for the emperor, which it is")
    assert wire.carried == []


def test_without_an_emperor_the_answer_says_so_and_when_to_come_again(
    swarm: Swarm, wire: Wire
) -> None:
    with swarm.cluster.acting(swarm.workers[0]):
        KnownTerm.objects.all().delete()

    answer = _post(swarm, "/tasks", GOAL)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "35")
    assert answer.json()["detail"] == "no emperor is known: the members of the swarm elect one"
    assert wire.carried == []


@pytest.mark.parametrize(
    ("silent_s", "outlook", "retry_after"),
    [
        (12, "after 30 s of silence the members elect another", {"22", "23", "24"}),
        (31, "the members of the swarm elect one", {"3", "4", "5"}),
        (400, "the members of the swarm elect one", {"1"}),
    ],
)
def test_an_emperor_that_cannot_be_reached_is_waited_for(
    swarm: Swarm, wire: Wire, silent_s: int, outlook: str, retry_after: set[str]
) -> None:
    wire.error = Unreached("connection refused")
    with swarm.cluster.acting(swarm.workers[0]):
        MemberPulse.objects.update_or_create(
            node_id=swarm.emperor.node_id,
            defaults={"seen_at": now_utc() - timedelta(seconds=silent_s), "lamport_ts": 1},
        )

    answer = _post(swarm, "/tasks", GOAL)

    assert (answer.status_code, answer.json()["code"]) == (503, "emperor_unreachable")
    assert answer.headers["Retry-After"] in retry_after
    emperor = swarm.emperor.node_id[:8]
    assert re.fullmatch(
        rf"the emperor {emperor} at http://127.0.0.1:9091 cannot be reached; "
        rf"it was last heard of \d+ s ago: {outlook}",
        answer.json()["detail"],
    )


def test_the_dashboard_shows_a_wait_as_a_notice(swarm: Swarm, wire: Wire) -> None:
    wire.error = Unreached("connection refused")
    with swarm.cluster.acting(swarm.workers[0]):
        answer = operator_client().post("/goals/new", GOAL, headers={"hx-request": "true"})

    assert (answer.status_code, answer.headers["HX-Retarget"]) == (503, "#notice")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"cannot be reached" in answer.content


def test_a_lost_answer_is_not_called_a_failure(swarm: Swarm, wire: Wire) -> None:
    wire.error = AnswerLost("server disconnected")

    answer = _post(swarm, "/tasks", GOAL)

    assert (answer.status_code, answer.json()["code"]) == (502, "answer_lost")
    assert "may be done or not" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, {"content-type": "application/problem+json"}, b"{}"),
        Reply(302, {"location": "/login"}, b""),
        Reply(200, {"hx-redirect": "/login"}, b""),
    ],
)
def test_an_emperor_with_another_secret_does_not_log_anybody_out(
    swarm: Swarm, wire: Wire, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setattr("voidlux_site.forwarding.passing_on.carry", lambda *_: reply)

    answer = _post(swarm, "/tasks", GOAL)

    assert (answer.status_code, answer.json()["code"]) == (503, "emperor_refuses")


def test_cookies_of_the_emperor_are_not_brought_back(
    swarm: Swarm, monkeypatch: pytest.MonkeyPatch, wire: Wire
) -> None:
    reply = Reply(200, {"set-cookie": "a=b", "content-type": "text/x", "server": "x"}, b"done")
    monkeypatch.setattr("voidlux_site.forwarding.passing_on.carry", lambda *_: reply)

    answer = _post(swarm, "/tasks", GOAL)

    assert (answer.content, answer.headers["Content-Type"]) == (b"done", "text/x")
    assert (answer.cookies, answer.headers.get("Server")) == ({}, None)


@pytest.mark.parametrize("path", ["/", "/admin/"])
@pytest.mark.parametrize("has_token", [True, False])
def test_only_a_member_with_the_token_acts_for_the_operator(
    swarm: Swarm, path: str, has_token: bool
) -> None:
    with swarm.cluster.acting(swarm.emperor):
        token = api_token() if has_token else "swarm.guessed"
        headers = {"authorization": f"Bearer {token}", "x-voidlux-forwarded-by": "f" * 32}
        answer = Client(headers=headers).get(path)

    assert answer.status_code == (200 if has_token and path == "/" else 302)


def test_a_node_without_a_swarm_lets_nobody_in_that_way(db: None) -> None:
    headers = {"authorization": f"Bearer {api_token()}", "x-voidlux-forwarded-by": "f" * 32}

    assert Client(headers=headers).get("/").headers["Location"] == "/login"
    assert not settings.ENVIRONMENT.auth_secret.get_secret_value()
