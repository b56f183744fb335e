"""Whoever is logged in at one member is logged in at all of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pydantic import SecretStr

from tests.support.cluster import Cluster, SimNode
from tests.support.swarm_of_three import Swarm
from tests.support.web_clients import bearer_client, operator_client
from voidlux_site.access import api_token, is_api_token, new_login_path
from voidlux_site.environment_types import trusted_origins

SEEN = {"host": "127.0.0.1:9090", "origin": "http://127.0.0.1:9090"}


def _status(cluster: Cluster, node: SimNode, client: Client, path: str = "/") -> int:
    with cluster.acting(node):
        return client.get(path).status_code


def _anna(swarm: Swarm, node: SimNode) -> User:
    with swarm.cluster.acting(node):
        return User.objects.create_superuser("anna", password="a long enough word")


def test_a_session_of_one_member_is_good_at_all(swarm: Swarm) -> None:
    with swarm.cluster.acting(swarm.workers[0]):
        client = operator_client()

    assert [_status(swarm.cluster, node, client) for node in swarm.members] == [200, 200, 200]
    assert [_status(swarm.cluster, node, client, "/admin/") for node in swarm.members] == [200] * 3
    for node in swarm.members:
        with swarm.cluster.acting(node):
            assert [user.username for user in User.objects.all()] == ["operator"]


def test_it_is_the_operators_whoever_has_its_number_there(swarm: Swarm) -> None:
    first, second = swarm.workers
    anna = _anna(swarm, second)
    with swarm.cluster.acting(first):
        client = operator_client()
        assert User.objects.get().id == anna.id

    with swarm.cluster.acting(second):
        html = client.get("/admin/").content.decode().lower()

    assert "operator" in html
    assert "anna" not in html


def test_a_user_of_one_member_is_nobody_at_another(swarm: Swarm) -> None:
    first, second = swarm.workers
    assert _anna(swarm, first).id == _anna(swarm, second).id
    client = Client()
    with swarm.cluster.acting(first):
        client.post("/admin/login/", {"username": "anna", "password": "a long enough word"})
        assert client.get("/").status_code == 200
        kept = client.cookies.output()

    assert _status(swarm.cluster, second, client) == 302
    assert client.cookies.output() != kept


def test_a_session_of_another_swarm_or_secret_is_refused(cluster: Cluster, swarm: Swarm) -> None:
    stranger = cluster.add("stranger", swarm="elsewhere")
    changed = cluster.add("changed", swarm="home", auth_secret=SecretStr("the next secret of all"))
    alone = cluster.add("alone")
    with cluster.acting(swarm.emperor):
        client, path, token = operator_client(), new_login_path(), api_token()

    for node in (stranger, changed, alone):
        assert _status(cluster, node, client) == 302
        with cluster.acting(swarm.emperor):
            client = operator_client()
        assert _status(cluster, node, Client(), path) == 410
        with cluster.acting(node):
            assert not is_api_token(token)
            assert not User.objects.exists()


def test_a_form_of_one_member_may_be_sent_to_another(swarm: Swarm) -> None:
    client = Client(enforce_csrf_checks=True, headers=SEEN)
    with swarm.cluster.acting(swarm.workers[0]):
        client.get(new_login_path())
        found = re.search(r'X-CSRFToken": "(\w+)"', client.get("/").content.decode())
    assert found is not None

    with swarm.cluster.acting(swarm.emperor):
        refused = [
            client.post("/posts/new", {}),
            client.post("/posts/new", {}, headers={"x-csrftoken": "x" * 64}),
            client.post(
                "/posts/new", {}, headers={"x-csrftoken": found[1], "origin": "http://evil.example"}
            ),
        ]
        taken = client.post("/posts/new", {}, headers={"x-csrftoken": found[1]})

    assert [each.status_code for each in refused] == [403, 403, 403]
    assert taken.status_code == 422  # the form is looked at: it is empty


def test_a_form_from_behind_a_proxy_that_ends_tls_is_taken(swarm: Swarm, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["swarm.example", ".corp.example"]
    settings.CSRF_TRUSTED_ORIGINS = trusted_origins(settings.ALLOWED_HOSTS)
    statuses = []
    for host, origin in (
        ("swarm.example", "https://swarm.example"),
        ("a.corp.example", "https://a.corp.example"),
        ("swarm.example", "https://evil.example"),
        ("swarm.example", "https://swarm.example:8443"),
    ):
        client = Client(enforce_csrf_checks=True, headers={"host": host, "origin": origin})
        with swarm.cluster.acting(swarm.emperor):
            client.get(new_login_path())
            found = re.search(r'X-CSRFToken": "(\w+)"', client.get("/").content.decode())
            assert found is not None
            sent = client.post("/posts/new", {}, headers={"x-csrftoken": found[1]})
        statuses.append(sent.status_code)

    assert statuses == [422, 422, 403, 403]
    assert trusted_origins(["*", "[::1]"]) == ["https://[::1]"]


def test_a_link_of_one_member_is_good_once_at_each(swarm: Swarm) -> None:
    with swarm.cluster.acting(swarm.workers[0]):
        path = new_login_path()

    first = [_status(swarm.cluster, node, Client(), path) for node in swarm.members]
    second = [_status(swarm.cluster, node, Client(), path) for node in swarm.members]

    assert (first, second) == ([302] * 3, [410] * 3)


def test_the_token_of_one_member_is_that_of_all(swarm: Swarm) -> None:
    with swarm.cluster.acting(swarm.workers[0]):
        client = bearer_client()

    statuses = [_status(swarm.cluster, node, client, "/api/swarm/status") for node in swarm.members]
    assert statuses == [200] * 3


@pytest.mark.parametrize("host", ["swarm.example", "127.0.0.1.evil.example"])
def test_a_name_that_the_members_were_not_told_is_refused(swarm: Swarm, host: str) -> None:
    with swarm.cluster.acting(swarm.emperor):
        assert operator_client().get("/", headers={"host": host}).status_code == 400
