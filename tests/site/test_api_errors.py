from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from swarm.models import Task
from tests.support.web_clients import bearer_client, operator_client, post_json

TASKS = "/api/swarm/tasks"
ABSENT = UUID(int=7)


def _problem(response: Any) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert response.status_code == body["status"]
    return body


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "x"}])
def test_a_stranger_gets_401_as_a_problem(db: None, header: dict[str, str]) -> None:
    response = Client().get(TASKS, headers=header)

    assert _problem(response) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "send the bearer token of VOIDLUX_HOME/api-token, or log in",
        "code": "unauthenticated",
    }
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_health_is_public(db: None) -> None:
    assert Client().get("/api/swarm/health").json() == {"status": "ok"}


def test_the_session_reads_but_writes_only_with_its_csrf_token(db: None) -> None:
    client = operator_client(enforce_csrf_checks=True)

    assert client.get(TASKS).status_code == 200
    refused = post_json(client, TASKS, {"description": "- [ ] a", "repository": "/r"})

    assert _problem(refused)["code"] == "forbidden"
    assert Task.objects.count() == 0


def test_the_session_writes_with_its_csrf_token(db: None) -> None:
    client = operator_client(enforce_csrf_checks=True)
    client.get("/")
    token = next(each.value for name, each in client.cookies.items() if "csrf" in name)

    body = {"description": "- [ ] a\n  ```sh\n  true\n  ```", "repository": "/tmp/r.git"}
    response = post_json(client, TASKS, body, **{"X-CSRFToken": token})

    assert response.status_code == 201, response.content


def test_validation_names_field_value_and_limit(db: None) -> None:
    response = post_json(
        bearer_client(), "/api/swarm/offerings", {"idle_agents": 51, "price_per_task": -1}
    )

    assert _problem(response) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "idle_agents: Input should be less than or equal to 50",
        "code": "invalid",
        "errors": [
            {
                "field": "idle_agents",
                "message": "Input should be less than or equal to 50",
                "value": 51,
                "limit": 50,
            },
            {
                "field": "price_per_task",
                "message": "Input should be greater than or equal to 0",
                "value": -1,
                "limit": 0,
            },
        ],
    }


def test_an_unknown_field_is_refused(db: None) -> None:
    body = {"description": "- [ ] a", "repository": "/r", "colour": "red"}

    response = post_json(bearer_client(), TASKS, body)

    assert _problem(response)["errors"] == [
        {
            "field": "colour",
            "message": "Extra inputs are not permitted",
            "value": "red",
            "limit": None,
        }
    ]
    assert Task.objects.count() == 0


def test_a_long_value_is_cut_in_the_answer(db: None) -> None:
    body = {"description": "- [ ] a", "repository": "r" * 5000}

    response = post_json(bearer_client(), TASKS, body)

    assert _problem(response)["errors"][0]["value"] == "r" * 200 + "..."
    assert _problem(response)["errors"][0]["limit"] == 512


@pytest.mark.parametrize("text", ["{", "", "nonsense"])
def test_malformed_json_is_400(db: None, text: str) -> None:
    response = bearer_client().post(TASKS, text, content_type="application/json")

    assert response.status_code in (400, 422)
    assert _problem(response)["code"] in ("bad_request", "invalid")
    if text:
        assert response.status_code == 400


def test_a_refusal_of_the_domain_keeps_its_code(db: None) -> None:
    response = post_json(bearer_client(), TASKS, {"description": "- [x] a", "repository": "/r.git"})

    assert _problem(response)["code"] == "bad_outline"
    assert response.status_code == 422


@pytest.mark.parametrize("path", [f"{TASKS}/{ABSENT}", f"{TASKS}/{ABSENT.hex}"])
def test_an_absent_task_is_404_by_either_form_of_its_id(db: None, path: str) -> None:
    response = bearer_client().get(path)

    assert _problem(response) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": f"no task {ABSENT}",
        "code": "not_found",
    }


def test_an_unknown_address_is_a_problem_too(db: None) -> None:
    response = bearer_client().get("/api/swarm/nothing")

    assert _problem(response)["detail"] == "nothing at /api/swarm/nothing"


def test_a_wrong_method_names_what_is_allowed(db: None) -> None:
    response = bearer_client().put(TASKS)

    assert _problem(response)["code"] == "method_not_allowed"
    assert set(response.headers["Allow"].split(", ")) == {"GET", "POST"}


def test_a_body_above_the_limit_is_413(db: None) -> None:
    response = bearer_client().post(TASKS, "x" * (1024 * 1024 + 1), content_type="application/json")

    problem = _problem(response)
    assert problem["code"] == "body_too_large"
    assert problem["detail"] == "body of 1048577 bytes exceeds 1048576"


def test_a_bug_is_500_without_its_words(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret of the node")

    monkeypatch.setattr("marketplace.api.wallet.describe_wallet", explode)

    response = bearer_client().get("/api/swarm/wallet")

    assert _problem(response)["code"] == "internal"
    assert b"secret" not in response.content


def test_the_documentation_loads_nothing_from_elsewhere(db: None) -> None:
    page = Client().get("/api/docs")

    assert page.status_code == 200
    assert b"/static/ninja/swagger-ui-bundle.js" in page.content
    assert b"http://" not in page.content
    assert b"https://" not in page.content
    assert Client().get("/api/openapi.json").json()["info"]["title"] == "VoidLux"
