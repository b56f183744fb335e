from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from p2p.local import local_node
from p2p.models import NodeState
from tests.support.web_clients import operator_client
from voidlux_site.access import (
    LOGIN_LINK_TTL_S,
    api_token,
    bearer_of,
    is_api_token,
    new_login_path,
    use_login_token,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def _token(path: str) -> str:
    return path.removeprefix("/login/")


def test_the_api_token_is_private_and_stays_the_same() -> None:
    first, second = api_token(), api_token()

    path = local_node().home / "api-token"
    assert first == second == path.read_text("ascii")
    assert len(first) == 43
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("candidate", ["", "x", "ä" * 43])
def test_another_token_is_not_the_api_token(candidate: str) -> None:
    assert not is_api_token(candidate)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("Basic abc", ""), ("", ""), ("Bearer", "")],
)
def test_bearer_of_takes_only_bearer_tokens(header: str, token: str) -> None:
    assert bearer_of(header) == token


def test_a_login_link_works_once(db: None) -> None:
    token = _token(new_login_path(NOW))

    user = use_login_token(token, NOW)
    again = use_login_token(token, NOW)

    assert user is not None
    assert (user.username, user.is_staff, user.is_superuser) == ("operator", True, True)
    assert not user.has_usable_password()
    assert again is None


def test_a_login_link_expires_and_is_gone_then(db: None) -> None:
    token = _token(new_login_path(NOW))

    user = use_login_token(token, NOW + timedelta(seconds=LOGIN_LINK_TTL_S))

    assert user is None
    assert not NodeState.objects.filter(key__startswith="login:").exists()


def test_only_the_hash_of_a_link_is_kept(db: None) -> None:
    token = _token(new_login_path(NOW))

    rows = NodeState.objects.filter(key__startswith="login:")

    assert [token in row.key or token in row.value for row in rows] == [False]


def test_a_new_link_forgets_expired_ones(db: None) -> None:
    new_login_path(NOW)

    new_login_path(NOW + timedelta(hours=1))

    assert NodeState.objects.filter(key__startswith="login:").count() == 1


def test_a_link_logs_the_browser_in_and_leads_to_the_dashboard(db: None) -> None:
    client = operator_client()

    response = client.get("/")

    assert response.status_code == 200


def test_a_used_link_explains_how_to_get_another(db: None) -> None:
    path = new_login_path()
    Client().get(path)

    response = Client().get(path)

    assert response.status_code == 410
    assert b"This link is used up" in response.content
    assert b"python manage.py loginlink" in response.content
    assert Client().get("/").status_code == 302


def test_logging_out_takes_a_post_and_ends_the_session(db: None) -> None:
    client = operator_client()

    assert client.get("/logout").status_code == 405
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").headers["Location"] == "/login"


def test_the_command_prints_a_link_that_works(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("loginlink")

    url = capsys.readouterr().out.strip()
    assert url.startswith("http://127.0.0.1:9091/login/")
    assert Client().get(url.removeprefix("http://127.0.0.1:9091")).headers["Location"] == "/"


@pytest.mark.django_db(transaction=True)
def test_of_two_that_use_a_link_at_once_one_gets_in() -> None:
    token, together = _token(new_login_path(NOW)), threading.Barrier(2)

    def use(_: int) -> bool:
        together.wait(timeout=10)
        try:
            return use_login_token(token, NOW) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        entered = list(pool.map(use, range(2)))

    assert sorted(entered) == [False, True]
