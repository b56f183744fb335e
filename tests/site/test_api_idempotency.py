from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from p2p.clock import now_utc
from swarm.models import Agent
from tests.support.web_clients import bearer_client, post_json
from voidlux_site.access import api_token
from voidlux_site.models import StoredAnswer

AGENTS = "/api/swarm/agents"
KEY = {"Idempotency-Key": "k-1"}


def _add(name: str, **headers: str) -> Any:
    return post_json(bearer_client(), AGENTS, {"name": name}, **headers)


def test_the_same_request_is_done_once_and_answered_twice(db: None) -> None:
    first = _add("a-1", **KEY)
    second = _add("a-1", **KEY)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Agent.objects.count() == 1


def test_without_a_key_the_second_request_is_a_second_one(db: None) -> None:
    _add("a-1")

    assert _add("a-1").json()["code"] == "name_taken"


def test_a_key_with_another_body_is_refused_and_does_nothing(db: None) -> None:
    _add("a-1", **KEY)

    response = _add("a-2", **KEY)

    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_key_reused"
    assert response.json()["detail"] == (
        "Idempotency-Key 'k-1' was used for another request (POST /api/swarm/agents)"
    )
    assert list(Agent.objects.values_list("name", flat=True)) == ["a-1"]


def test_a_refusal_is_not_kept(db: None) -> None:
    refused = _add("not a name", **KEY)

    assert refused.json()["code"] == "bad_name"
    assert StoredAnswer.objects.count() == 0
    assert _add("a-1", **KEY).status_code == 201


def test_a_failing_last_write_leaves_nothing(db: None, monkeypatch: Any) -> None:
    def explode(*args: object, **kwargs: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(StoredAnswer.objects, "create", explode)

    response = _add("a-1", **KEY)

    assert response.status_code == 500
    assert Agent.objects.count() == 0


def test_a_key_that_is_too_long_is_refused(db: None) -> None:
    response = _add("a-1", **{"Idempotency-Key": "k" * 201})

    assert response.json()["detail"] == "Idempotency-Key has 201 characters, at most 200"
    assert Agent.objects.count() == 0


def test_a_key_is_free_again_after_a_day(db: None) -> None:
    _add("a-1", **KEY)
    StoredAnswer.objects.update(created_at=now_utc() - timedelta(hours=25))

    assert _add("a-2", **KEY).status_code == 201


def test_a_stranger_gets_no_stored_answer(db: None, client: Any) -> None:
    _add("a-1", **KEY)

    assert post_json(client, AGENTS, {"name": "a-1"}, **KEY).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_done_once() -> None:
    token, together = api_token(), threading.Barrier(2)

    def add(_: int) -> tuple[int, str]:
        client = Client(headers={"authorization": f"Bearer {token}"})
        together.wait(timeout=10)
        try:
            response = post_json(client, AGENTS, {"name": "a-1"}, **KEY)
            return response.status_code, response.json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(add, range(2)))

    assert [status for status, _ in answers] == [201, 201]
    assert answers[0] == answers[1]
    assert Agent.objects.count() == 1
